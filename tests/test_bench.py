# SPDX-License-Identifier: Apache-2.0
"""The bench works, and its load generator believes nothing: no figure is judged here, times belong to the bench."""
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ["LIAISON_BUILD"]).absolute()
BENCH = BUILD / "bench"
SECONDS = 120


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "certs"
    authority = "CN=Bench authority,C=FR"
    subprocess.run([ROOT / "certs/make-authority", folder, "--subject", authority], check=True, capture_output=True)
    for name, kind in (("broker", "server"), ("chu", "client")):
        subprocess.run([ROOT / "certs/make-certificate", folder, name, "--type", kind, "--subject", f"CN={name},C=FR",
                        *(["--san", "ip:127.0.0.1"] if kind == "server" else [])], check=True, capture_output=True)
    return folder


def answering(certs, answer):
    """A TLS server on a port of the loopback that gives ``answer(control id)`` to each frame of one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "broker.pem", certs / "broker.key")
    context.load_verify_locations(certs / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(SECONDS)

    def serve():
        try:
            with listening, listening.accept()[0] as raw, context.wrap_socket(raw, server_side=True) as link:
                held = b""
                while data := link.recv(65536):
                    held += data
                    while b"\x1c\r" in held:
                        frame, held = held.split(b"\x1c\r", 1)
                        link.sendall(answer(frame.split(b"|")[9]))
        except OSError:
            pass  # the load generator has gone: its exit status is what counts

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


def load(certs, port, *more):
    return subprocess.run(
        [str(one) for one in (BENCH / "load", "--to", f"127.0.0.1:{port}", "--cert", certs / "chu.pem", "--key", certs / "chu.key",
         "--ca", certs / "ca.pem", "--connections", 1, "--depth", 4, "--warm", 0.1, "--seconds", 0.3, *more)],
        capture_output=True, text=True, timeout=SECONDS)


def good(control):
    return b"\x0bMSH|^~\\&|A|B|C|D|20261121||ACK|X|T|2.5\rMSA|AA|" + control + b"\r\x1c\r"


def test_a_run_prints_its_table(tmp_path):
    file = tmp_path / "figures.json"
    done = subprocess.run([ROOT / "bench/run", "--programs", BUILD, "--pairs", "1", "--seconds", "0.5", "--warm", "0.2", "--patience", "0",
                           "--works", "8x4,1x1x60000,2x1xreport", "--directory", tmp_path, "--json", file],
                          capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^(?:1|58\.5938|134\.[0-9]+) KB \d+ x \d+  +[\d,]+  ", done.stdout, re.M)) == 3, done.stdout
    for row in json.loads(file.read_text())["rows"]:
        assert row["product_rate"] > 0 and row["ceiling_rate"] > 0 and row["sync_before_us"] > 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["figures.json"], "something was left behind"


def test_good_answers_are_counted(certs):
    done = load(certs, answering(certs, good))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["messages"] > 0 and told["p50_us"] <= told["p99_us"] <= told["max_us"]


@pytest.mark.parametrize("wrong", [
    lambda control: good(control).replace(b"|AA|", b"|AE|"),
    lambda control: good(control).replace(b"|AA|", b"|AR|"),
    lambda control: good(control[:-1] + (b"1" if control[-1:] != b"1" else b"2")),
    lambda control: good(control) * 2,
    lambda control: b"\x0bnonsense\x1c\r",
], ids=["AE", "AR", "for another message", "twice", "nonsense"])
def test_a_wrong_answer_ends_the_run(certs, wrong):
    done = load(certs, answering(certs, wrong))
    assert done.returncode == 1
    assert "answer" in done.stderr


def test_a_file_is_sent_under_ids_of_its_own(certs):
    seen = []
    message = sorted((ROOT / "tests/fixtures/messages").glob("*.hl7"))[0]
    done = load(certs, answering(certs, lambda control: seen.append(control) or good(control)), "--message", message)
    assert done.returncode == 0, done.stderr
    assert len(seen) == len(set(seen)) > 0


def test_wrong_answers_are_passed_over_when_told_so(certs):
    """As of a server that answers once more what it answered before: only the right answers count."""
    seen = []

    def again(control):
        seen.append(control)
        return b"".join(good(one) for one in seen[-3:])
    done = load(certs, answering(certs, again), "--depth", 1, "--pass-over")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["messages"] <= len(seen)


def test_more_answers_than_messages_end_the_run(certs):
    done = load(certs, answering(certs, lambda control: good(control) * 2), "--depth", 1, "--any-answer")
    assert done.returncode == 1
    assert "more answers" in done.stderr or "answer to nothing" in done.stderr


def test_the_flat_ones_print_their_rows():
    with tempfile.TemporaryDirectory(prefix="flat-") as folder:  # the path of a control socket has 107 bytes at most
        done = subprocess.run([ROOT / "bench/flat", "--programs", BUILD, "--pairs", "1", "--seconds", "0.3", "--patience", "0", "--records", "500",
                               "--peers", "20", "--routes", "20", "--links", "20", "--directory", folder],
                              capture_output=True, text=True, timeout=SECONDS)
        assert os.listdir(folder) == [], "something was left behind"
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r" us a message, small +[\d.]+: [\d.]+", done.stdout)) == 4, done.stdout


def test_a_recovery_is_timed(tmp_path):
    done = subprocess.run([ROOT / "bench/recovery", "--programs", BUILD, "--records", "500", "--starts", "2", "--seconds", "0.3", "--directory", tmp_path],
                          capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"([\d,]+) records: ready in [\d.]+ s, recovered in [\d.]+ s: [\d.]+ s per million", done.stdout)
    assert len(rows) == 2 and all(int(row.replace(",", "")) >= 500 for row in rows), done.stdout
    assert list(tmp_path.iterdir()) == [], "something was left behind"

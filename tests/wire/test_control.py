# SPDX-License-Identifier: Apache-2.0
"""What operators do: the program `liaison` and the socket behind it. Each scenario reads like a page of the operator's manual."""
import base64
import contextlib
import datetime
import hashlib
import ipaddress
import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from liaison_harness.authority import SERVER
from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message

MONTHS = datetime.timedelta(days=400)


@pytest.fixture
def lasting(brokers, authority, configuration):
    """A broker whose certificate does not end soon: all is well with it."""
    server = authority.issue("broker-lasting", usage=SERVER, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")],
                             until=MONTHS)
    return brokers(configuration, server=server).start()


def push(broker, authority, **options):
    """Send one message; its id, as the log tells it."""
    with contextlib.closing(broker.mllp(authority.chu)) as sender:
        content = message(**options)
        sender.frame(content)
        sender.ack()
    control = content.split(b"|")[9].decode()
    return int(broker.wait_log("received", control=control)["id"]), content


def ask(broker, *lines, path=None):
    """Lines as they are to the socket; the objects that come back until the end of each."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(20)
        one.connect(str(path or broker.folder / "control.sock"))
        answers = []
        stream = one.makefile("rb")
        for line in lines:
            one.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
            while True:
                row = stream.readline()
                if not row:
                    return answers
                answers.append(json.loads(row))
                if "row" not in answers[-1]:
                    break
        return answers


def test_status_tells_in_a_few_lines_that_all_is_well(lasting, authority):
    with contextlib.closing(lasting.mllp(authority.issue("chu", until=MONTHS, file_name="chu-lasting"))) as sender:
        assert sender.ask(message()).code == "AA"
    told = lasting.liaison("status")
    assert told.returncode == 0, told
    lines = told.stdout.splitlines()
    assert 5 <= len(lines) <= 8
    assert lines[0].startswith("liaisond    well")
    assert "1 accepted" in told.stdout and "1 waiting in 1 inbox," in told.stdout


def test_status_says_what_is_not_well(broker, authority, configuration):
    told = broker.liaison("status")  # its certificate ends within the day
    assert told.returncode == 1
    assert "! our certificate expires soon" in told.stdout


def test_show_tells_the_life_of_a_message(lasting, authority):
    seq, _ = push(lasting, authority)
    assert "has not acknowledged it" in lasting.liaison("why", str(seq)).stdout
    reader = lasting.pull(authority.ehpad)
    assert reader.message(seq).status == 200
    assert reader.ack("ehpad", accepted=[seq]).status == 200
    told = lasting.liaison("show", str(seq))
    assert told.returncode == 0, told
    words = [line.split()[1] for line in told.stdout.splitlines() if line[:2] == "20"]
    assert words == ["accepted", "routed", "read", "accepted"]
    assert "ehpad took it from inbox ehpad" in told.stdout
    assert "LILAS" not in told.stdout and "4711" not in told.stdout.replace(str(seq), "")


def test_a_resend_is_told_as_one(lasting, authority):
    seq, content = push(lasting, authority)
    with contextlib.closing(lasting.mllp(authority.chu)) as sender:
        sender.frame(content)
        sender.ack()
    again = wait_until(lambda: lasting.log("duplicate"))[-1]
    told = lasting.liaison("show", str(seq)).stdout
    assert "duplicate" in told
    assert again["id"] == str(seq)


def test_a_rejected_item_is_not_well(lasting, authority):
    seq, _ = push(lasting, authority)
    answer = lasting.pull(authority.ehpad).ack("ehpad", rejected=[{"seq": seq, "code": "unknown-patient", "text": "no such resident"}])
    assert answer.status == 200
    told = lasting.liaison("why", str(seq))
    assert told.returncode == 1
    assert "ehpad rejected it from inbox ehpad" in told.stdout and "unknown-patient, no such resident" in told.stdout
    assert "rejected" in lasting.liaison("queue").stdout


def test_a_refused_message_is_told_with_rule_and_place(lasting, authority):
    with contextlib.closing(lasting.mllp(authority.chu)) as sender:
        sender.frame(message("CANARY1", version="7.7", body="PID|1||CANARYID^^^CHU||CANARYNAME"))
        sender.ack()
    seq = int(lasting.wait_log("refused")["id"])
    told = lasting.liaison("show", str(seq))
    assert told.returncode == 1
    assert "MSH-12.1, 203" in told.stdout and "refused (AE)" in told.stdout
    assert "CANARYNAME" not in told.stdout and "CANARYID" not in told.stdout
    found = lasting.liaison("search", "--refused")
    assert found.returncode == 0 and str(seq) in found.stdout


def test_content_is_given_for_a_reason_only_and_journalled_first(lasting, authority):
    seq, content = push(lasting, authority)
    assert lasting.liaison("show", str(seq), "--content").returncode == 2
    given = lasting.liaison("show", str(seq), "--content", "--reason", "ticket 42 of CHU")
    assert given.returncode == 0, given
    assert given.stdout.encode().replace(b"\n", b"\r") == content
    assert hashlib.sha256(content).hexdigest() in given.stderr
    told = lasting.liaison("show", str(seq)).stdout
    assert f"by uid:{os.getuid()}(" in told and "ticket 42 of CHU" in told
    assert lasting.wait_log("operator", id=seq, act="show-content")
    assert "ticket 42" not in lasting.log_text()


def test_content_over_the_socket_without_a_reason_is_refused(lasting, authority):
    seq, _ = push(lasting, authority)
    answers = ask(lasting, {"command": "show", "id": seq, "content": True})
    assert answers[-1]["error"]["code"] == "request"
    assert len(answers) == 1


def test_a_large_message_comes_whole(lasting, authority):
    seq, content = push(lasting, authority, filler=300_000)
    answers = ask(lasting, {"command": "show", "id": seq, "content": True, "reason": "test"})
    data = b"".join(base64.b64decode(row["row"]["data"]) for row in answers if row.get("row", {}).get("kind") == "data")
    assert data == content
    assert answers[-1]["ok"] is True


def test_what_never_was_is_told_so(lasting):
    for command in ("show", "why"):
        told = lasting.liaison(command, "999999")
        assert told.returncode == 1
        assert "no record 999999" in told.stderr


def test_queue_and_search_find_it(lasting, authority):
    seq, content = push(lasting, authority)
    control = content.split(b"|")[9].decode()
    overview = lasting.liaison("queue")
    assert overview.returncode == 0
    row = next(line for line in overview.stdout.splitlines() if line.startswith("ehpad"))
    assert row.split()[3] == "1"
    one = lasting.liaison("queue", "ehpad").stdout.splitlines()
    assert one[1].split()[0] == str(seq) and control in one[1]
    assert str(seq) in lasting.liaison("search", "--control", control, "--peer", "chu", "--type", "ADT^A01").stdout
    assert str(seq) not in lasting.liaison("search", "--control", control, "--peer", "ehpad").stdout
    assert lasting.liaison("queue", "nowhere").returncode == 1


def test_peers_and_certificates(lasting, authority):
    push(lasting, authority)
    peers = lasting.liaison("peers").stdout
    assert any(line.split()[0] == "chu" and "not since" not in line for line in peers.splitlines())
    assert any(line.split()[0] == "ehpad" and line.endswith("not since the start") for line in peers.splitlines())
    told = lasting.liaison("certs")
    assert told.returncode == 1  # the sender's ends within the day
    row = next(line for line in told.stdout.splitlines() if line.startswith("chu"))
    assert "within 1 days" in row and authority.chu.serial.lstrip("0") in row.upper()


def test_check_and_rebuild(lasting, authority):
    seq, _ = push(lasting, authority)
    lasting.pull(authority.ehpad).ack("ehpad", accepted=[seq])
    checked = lasting.liaison("check")
    assert checked.returncode == 0, checked
    before = lasting.liaison("show", str(seq)).stdout
    rebuilt = lasting.liaison("rebuild", "--reason", "test")
    assert rebuilt.returncode == 0 and "rows" in rebuilt.stdout, rebuilt
    assert lasting.liaison("show", str(seq)).stdout == before
    assert lasting.wait_log("operator", act="rebuild") and lasting.wait_log("rebuilt")


def test_the_view_survives_a_kill(lasting, authority):
    seq, _ = push(lasting, authority)
    before = lasting.liaison("show", str(seq)).stdout
    lasting.kill()
    lasting.restart()
    after = lasting.liaison("show", str(seq)).stdout
    assert [line for line in after.splitlines() if line[:2] == "20"] == [line for line in before.splitlines() if line[:2] == "20"]


def test_a_view_that_is_not_ours_is_made_anew(lasting, authority):
    seq, _ = push(lasting, authority)
    assert lasting.stop() == 0
    lasting.restart()  # what was written before has a file from now on
    views = lasting.folder / "state" / "views"
    parts = wait_until(lambda: list(views.glob("*.trace")), what="a file of the trace")
    assert lasting.stop() == 0
    for part in parts:
        part.write_bytes(b"not a view" * 1000)
    (views / "trace.db").write_bytes(b"of an older version")
    lasting.restart()
    assert lasting.liaison("show", str(seq)).returncode == 0
    assert lasting.log("view-failed", view="trace") and lasting.wait_log("rebuilt", view="trace")
    wait_until(lambda: not (views / "trace.db").exists(), what="the file of an older version to go")


def test_tail_filters(lasting, authority):
    seq, _ = push(lasting, authority)
    with contextlib.closing(lasting.mllp(authority.chu)) as sender:
        sender.frame(message(version="7.7"))
        sender.ack()
    lasting.wait_log("refused")
    life = lasting.liaison("tail", "--id", str(seq)).stdout.splitlines()
    assert life and all(f" id={seq} " in line + " " for line in life)
    errors = lasting.liaison("tail", "--errors").stdout.splitlines()
    assert errors and all(line.split()[1].startswith(("warn", "error")) for line in errors)
    assert len(lasting.liaison("tail", "-n", "2").stdout.splitlines()) == 2
    assert lasting.liaison("tail", "--since", "1h", "--peer", "chu").stdout
    assert not lasting.liaison("tail", "--since", "2099-01-01").stdout
    whole = ask(lasting, {"command": "tail", "offset": 0})
    assert [row["row"]["text"] for row in whole[:-1]] == lasting.log_text().splitlines()[:len(whole) - 1]
    assert whole[-1]["end"] is True


def test_events_are_the_catalogue(lasting):
    told = lasting.liaison("events").stdout
    assert "handshake-refused" in told and "A TLS handshake was refused" in told


def test_the_socket_is_the_brokers_alone(lasting, brokers, authority, configuration):
    path = lasting.folder / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    # Another daemon does not take it over.
    other = brokers(configuration)
    other.configuration.top["control"] = {"socket": str(path), "group": ""}
    render = other.configuration.render
    other.configuration.render = lambda *a: render(*a).replace(str(other.folder / "control.sock"), str(path))
    del other.configuration.top["control"]
    with pytest.raises(AssertionError, match="liaisond ended"):
        other.start()
    assert lasting.liaison("peers").returncode == 0
    # One that died leaves it behind; the next start replaces it.
    configuration.render = render
    lasting.kill()
    assert path.exists()
    lasting.restart()
    assert lasting.liaison("peers").returncode == 0
    assert lasting.stop() == 0
    assert not path.exists()
    told = lasting.liaison("status")
    assert told.returncode == 2 and "is liaisond running?" in told.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("group, admitted", [(0, True), (65534, False)])
def test_others_are_admitted_by_their_group(lasting, group, admitted):
    lasting.folder.chmod(0o755)
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(b'{\"command\":\"peers\"}\\n'); print(s.recv(65536).decode())")
    told = subprocess.run([sys.executable, "-c", code, str(lasting.folder / "control.sock")], user=65534, group=group, extra_groups=[],
                          capture_output=True, text=True, timeout=20, cwd="/")
    assert (told.returncode == 0 and '"kind":"peer"' in told.stdout) == admitted, told
    assert admitted or "PermissionError" in told.stderr


def test_the_longest_path_that_the_configuration_takes(brokers, authority, configuration):
    one = brokers(configuration)
    folder = one.folder / ("d" * (107 - len(str(one.folder / "control.sock")) - 1))
    folder.mkdir()
    render = configuration.render
    configuration.render = lambda *a: render(*a).replace("control.sock", folder.name + "/control.sock")
    one.start()
    assert one.liaison("peers").returncode == 0
    assert one.stop() == 0
    assert not list(folder.iterdir())


@pytest.mark.parametrize("line", [
    b"\n", b"{}\n", b"[]\n", b"null\n", b'{"command":"drop"}\n', b'{"command":"show"}\n', b'{"command":"show","id":-1}\n',
    b'{"command":"show","id":"1"}\n', b'{"command":"status","id":1}\n', b'{"command":"show","id":1,"id":2}\n',
    b'{"command":"search","control":"' + b"x" * 600 + b'"}\n', b'{"command":"search","peer":"a\\u0000b"}\n', b"\xff\xfe\n",
    b'{"command":' + b"[" * 30000 + b"\n",
])
def test_a_line_that_is_none_is_answered_so(lasting, line):
    answers = ask(lasting, line, {"command": "events"})
    assert answers[0]["error"]["code"] == "request"
    assert answers[-1]["ok"] is True  # and the connection goes on


def test_a_line_without_end_ends_the_connection(lasting):
    answers = ask(lasting, b"x" * 70000)
    assert answers == [{"error": {"code": "request", "message": "a line has at most 65536 bytes"}}]
    assert lasting.liaison("peers").returncode == 0


def test_too_many_connections_are_turned_away(lasting):
    path = str(lasting.folder / "control.sock")
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.connect(path)
        with socket.socket(socket.AF_UNIX) as late:
            late.settimeout(10)
            late.connect(path)
            assert json.loads(late.recv(4096))["error"]["code"] == "busy"
    wait_until(lambda: lasting.liaison("peers").returncode == 0)


def options(broker, authority, identity, port, flag):
    return [flag, f"127.0.0.1:{broker.ports[port]}", "--cert", str(identity.pem), "--key", str(identity.key_file), "--ca",
            str(authority.pem)]


def test_send_shows_the_acknowledgement(lasting, authority, tmp_path):
    (tmp_path / "good.hl7").write_bytes(message("S1"))
    (tmp_path / "bad.hl7").write_bytes(message("S2", version="7.7"))
    (tmp_path / "lines.hl7").write_bytes(message("S3", end="\n"))
    to = options(lasting, authority, authority.chu, "mllp", "--to")
    good = lasting.liaison("send", str(tmp_path / "good.hl7"), *to)
    assert good.returncode == 0 and good.stdout.startswith("AA S1 -> "), good
    bad = lasting.liaison("send", str(tmp_path / "bad.hl7"), *to)
    assert bad.returncode == 1 and bad.stdout.startswith("AE S2 -> ") and "ERR MSH-12.1 203" in bad.stdout, bad
    kept = lasting.liaison("send", str(tmp_path / "lines.hl7"), *to)
    assert kept.returncode == 1 and "ERR MSH 100" in kept.stdout, kept
    converted = lasting.liaison("send", str(tmp_path / "lines.hl7"), *to, "--segment-end", "cr")
    assert converted.returncode == 0, converted
    many = lasting.liaison("send", *[str(tmp_path / "good.hl7")] * 20, *to, "--pipeline", "8", "--raw")
    assert many.returncode == 0 and many.stdout.count("MSA|AA|S1") == 20


def test_send_says_why_it_could_not(lasting, authority, tmp_path):
    (tmp_path / "good.hl7").write_bytes(message())
    stranger = authority.issue("stranger")
    told = lasting.liaison("send", str(tmp_path / "good.hl7"), *options(lasting, authority, stranger, "mllp", "--to"))
    assert told.returncode == 2 and "it may not know our certificate" in told.stderr, told
    told = lasting.liaison("pull", *options(lasting, authority, stranger, "pull", "--from"))
    assert told.returncode == 2 and "it may not know our certificate" in told.stderr, told
    told = lasting.liaison("send", str(tmp_path / "good.hl7"), *options(lasting, authority, authority.chu, "mllp", "--to"),
                           "--server-name", "somewhere.else")
    assert told.returncode == 2 and "the server's certificate is refused" in told.stderr, told
    assert not lasting.log("received")


@pytest.mark.parametrize("arguments, sentence", [
    (["tail", "--since", "yesterday"], '--since does not take "yesterday"'),
    (["search", "--since", "yesterday", "--peer", "chu"], '--since does not take "yesterday"'),
    (["queue", "parked", "--limit", "few"], '--limit does not take "few"'),
    (["queue", "--limit", "3"], "--after, --limit and --dead go with a DESTINATION"),
    (["show", "DEMO-1"], '"DEMO-1" is no id of ours'),
    (["why", "DEMO-1"], "liaison search --control ID"),
    (["show", "1", "--document", "first"], '--document does not take "first"'),
    (["send", "x.hl7", "--to", "127.0.0.1:1"], "a FILE, --to, --cert, --key and --ca are all needed"),
    (["send", "x.hl7", "--pipeline", "0"], '--pipeline does not take "0"'),
    (["pull", "--wait", "61"], '--wait does not take "61"'),
])
def test_wrong_usage_is_told_by_what_is_wrong(lasting, arguments, sentence):
    told = lasting.liaison(*arguments)
    assert told.returncode == 2 and sentence in told.stderr and "usage: liaison" in told.stderr, told


def test_pull_fetches_then_acknowledges(lasting, authority, tmp_path):
    seq, content = push(lasting, authority)
    into = tmp_path / "into"
    into.mkdir()
    pull = options(lasting, authority, authority.ehpad, "pull", "--from")
    assert "ehpad" in lasting.liaison("pull", *pull).stdout
    listed = lasting.liaison("pull", *pull, "--inbox", "ehpad")
    assert listed.returncode == 0 and str(seq) in listed.stdout, listed
    taken = lasting.liaison("pull", *pull, "--inbox", "ehpad", "--into", str(into), "--accept")
    assert taken.returncode == 0 and f"accepted {seq}" in taken.stdout, taken
    assert (into / f"{seq}.hl7").read_bytes() == content
    assert sorted(one.name for one in into.iterdir()) == [f"{seq}.hl7"]
    again = lasting.liaison("pull", *pull, "--inbox", "ehpad")
    assert str(seq) not in again.stdout.split()


def test_pull_fetches_documents_and_rejects(lasting, authority, tmp_path):
    document = b"<?xml version='1.0'?><ClinicalDocument xmlns='urn:hl7-org:v3'/>"
    obx = "OBX|1|ED|11502-2^CR d'examens biologiques^LN||^TEXT^XML^Base64^" + base64.b64encode(document).decode() + "||||||F"
    seq, _ = push(lasting, authority, kind="ORU^R01^ORU_R01", body="PID|1||1^^^CHU\r" + obx)
    into = tmp_path / "into"
    into.mkdir()
    pull = options(lasting, authority, authority.ehpad, "pull", "--from") + ["--inbox", "ehpad"]
    taken = lasting.liaison("pull", *pull, "--into", str(into))
    assert taken.returncode == 0, taken
    assert (into / f"{seq}-1.xml").read_bytes() == document
    given = lasting.liaison("show", str(seq), "--document", "1", "--reason", "test")
    assert given.stdout.encode() == document
    rejected = lasting.liaison("pull", *pull, "--reject", str(seq), "--code", "no-such-resident", "--text", "moved out")
    assert rejected.returncode == 0 and f"rejected {seq}" in rejected.stdout, rejected
    absent = lasting.liaison("pull", *pull, "--reject", "999999", "--code", "x")
    assert absent.returncode == 1


def test_help_everywhere(lasting):
    for command in ("", "status", "tail", "queue", "search", "show", "why", "peers", "certs", "check", "rebuild", "events", "send",
                    "pull", "reload", "hold", "release", "drop", "replay"):
        told = lasting.liaison(*filter(None, [command]), "--help")
        assert told.returncode == 0 and "Exit status: 0" in told.stdout
    assert lasting.liaison("stat").returncode == 0
    assert lasting.liaison("s").returncode == 2
    assert lasting.liaison("show").returncode == 2

# SPDX-License-Identifier: Apache-2.0
"""Nights that operators have: what the log, `liaison status` and `liaison check` then say, and how much of it."""
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from liaison_harness import LIAISON, LIAISOND
from liaison_harness.authority import HOUR, SERVER
from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message

MONTHS = 4000 * HOUR


@pytest.fixture
def lasting(brokers, authority, configuration):
    """A broker with nothing to say about certificates: neither its own nor its sender's ends soon."""
    server = authority.issue("broker-lasting", usage=SERVER, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")],
                             until=MONTHS)
    made = brokers(configuration, server=server).start()
    made.sender = authority.issue("chu", until=MONTHS, file_name="chu-lasting")
    made.reader = authority.issue("ehpad", until=MONTHS, file_name="ehpad-lasting")
    return made


def push(broker, *controls):
    sender = broker.mllp(broker.sender)
    for control in controls:
        assert sender.ask(message(control)).code == "AA"
    return [int(broker.wait_log("received", control=control)["id"]) for control in controls]


def damage(broker, mark):
    """One bit behind ``mark`` in the first segment."""
    segment = sorted((broker.folder / "state" / "journal").glob("*.seg"))[0]
    with open(segment, "r+b") as file:
        at = file.read().index(mark) + len(mark)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_message_damaged_on_disk_is_told_with_its_id_once(lasting):
    ids = push(lasting, "D-BEFORE", "D-DAMAGED", "D-AFTER")
    assert lasting.stop() == 0
    damage(lasting, b"D-DAMAGED|T|2.5")
    lasting.start()
    assert lasting.liaison("status").returncode == 0, "nobody has asked for it yet"
    reader = lasting.pull(lasting.reader)
    assert [reader.message(one).status for one in ids] == [200, 500, 200]
    assert reader.message(ids[1]).json["code"] == "damaged"
    shown = lasting.liaison("show", str(ids[1]), "--content", "--reason", "a reader complains")
    assert shown.returncode == 1 and "damaged" in shown.stderr
    told = lasting.wait_log("record-damaged", id=ids[1])
    assert told.level == "error" and told["segment"] and told["offset"]
    assert len(lasting.log("record-damaged")) == 1
    assert lasting.metric("liaison_journal_damaged_total") == 1
    status = lasting.liaison("status")
    assert status.returncode == 1 and "! records are damaged on disk" in status.stdout
    checked = lasting.liaison("check")
    assert checked.returncode == 1 and f"offset={told['offset']}" in checked.stdout


def test_the_check_finds_damage_and_status_goes_on_saying_so(lasting):
    push(lasting, "C-DAMAGED")
    assert lasting.stop() == 0
    damage(lasting, b"C-DAMAGED|T|2.5")
    lasting.start()
    assert lasting.liaison("check").returncode == 1
    assert "! records are damaged on disk" in lasting.liaison("status").stdout


@pytest.mark.parametrize("lose", ["delete", "overwrite"])
def test_a_lost_view_comes_back_by_itself(lasting, lose):
    seq, = push(lasting, "V1")
    views = lasting.folder / "state" / "views"
    assert lasting.stop() == 0
    lasting.start()  # what was written before has a file from now on
    parts = wait_until(lambda: list(views.glob("*.trace")), what="a file of the trace")
    assert lasting.liaison("search", "--control", "V1").returncode == 0
    if lose == "delete":
        shutil.rmtree(views)
    else:
        for part in parts:
            part.write_bytes(os.urandom(part.stat().st_size))
    push(lasting, "V2")
    lasting.liaison("search", "--control", "V1")
    lasting.wait_log("rebuilt", view="trace")
    assert lasting.log("view-failed", view="trace")
    wait_until(lambda: str(seq) in lasting.liaison("search", "--control", "V1").stdout, what="the message in the new view")
    wait_until(lambda: lasting.liaison("status").returncode == 0, what="all well again")


def test_an_expired_certificate_that_tries_for_ever_makes_few_lines(lasting, authority):
    expired = authority.issue("chu", since=-48 * HOUR, until=-HOUR, file_name="chu-expired")
    for _ in range(50):
        with pytest.raises(OSError):
            lasting.mllp(expired).ask(message())
    lasting.wait_metric(50, "liaison_handshakes_refused_total", reason="expired")
    assert 1 <= len(lasting.log("handshake-refused")) <= 8  # four a minute; a minute may pass
    assert len(lasting.log("before-authentication")) <= 8
    # Another reason is told at once.
    stranger = authority.issue("stranger")
    with pytest.raises(Exception):
        lasting.mllp(stranger).ask(message())
    assert lasting.wait_log("peer-unknown")["serial"] == stranger.serial
    assert lasting.metric("liaison_handshakes_refused_total", reason="unknown peer") == 1


def test_who_connects_is_told_with_serial_and_end(lasting):
    push(lasting, "S1")
    line = lasting.wait_log("connected", peer="chu")
    assert line["serial"] == lasting.sender.serial
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["not_after"])


def test_a_partners_certificate_that_ends_soon_is_an_alert(lasting, authority):
    soon = authority.issue("chu", until=13 * 24 * HOUR + HOUR, file_name="chu-soon")
    lasting.mllp(soon).ask(message())
    status = lasting.liaison("status")
    assert status.returncode == 1 and "! the certificate of chu expires in 13 days" in status.stdout
    assert lasting.metric("liaison_certificate_days", peer="chu") == 13
    line = lasting.wait_log("certificate-ends", whose="chu")
    assert (line["within"], line["days"], line["serial"]) == ("14", "13", soon.serial)
    lasting.mllp(soon).ask(message())
    time.sleep(1.5)
    assert len(lasting.log("certificate-ends", whose="chu")) == 1, "once for a certificate, however often it comes"


def test_our_certificate_that_ends_soon_is_told_in_the_log(broker, lasting):
    line = broker.wait_log("certificate-ending-now", whose="broker")  # it lasts for hours
    assert line.level == "error" and (line["days"], line["within"]) == ("0", "1")
    assert line["serial"] == broker.server.serial
    time.sleep(2.5)
    assert len(broker.log("certificate-ending-now")) == 1, "once, not at every look"
    assert not lasting.log("certificate-ending-now")


def test_a_long_control_id_does_not_push_the_rest_out_of_sight(lasting):
    seq, = push(lasting, "L" * 100)
    row = lasting.liaison("search", "--peer", "chu").stdout.splitlines()[1]
    assert row.split()[0] == str(seq) and f" {'L' * 40}... " in row and len(row) < 150
    assert "L" * 100 in lasting.liaison("show", str(seq)).stdout


def test_a_reused_control_id_names_the_first_message(lasting):
    first, = push(lasting, "R1")
    assert lasting.mllp(lasting.sender).ask(message("R1", filler=3)).code == "AE"
    assert lasting.wait_log("same-id-other-bytes")["first"] == str(first)


def test_tail_follows_over_a_rotation(lasting):
    """Lines of the old file that come between two questions are not lost."""
    sender = lasting.mllp(lasting.sender)
    sender.ask(message("T0"))
    tail = subprocess.Popen([LIAISON, "-c", lasting.file, "tail", "-f", "--peer", "chu"], stdout=subprocess.PIPE, text=True)
    seen = []
    try:
        while not (seen and "control=T0" in seen[-1]):
            seen.append(tail.stdout.readline())
        for n in range(1, 401):
            sender.ask(message(f"T{n}"))
            if n == 200:
                lasting.wait_log("received", control="T200")
                lasting.log_file.rename(str(lasting.log_file) + ".1")
                lasting.process.send_signal(signal.SIGHUP)
        while "control=T400" not in seen[-1]:
            seen.append(tail.stdout.readline())
            assert seen[-1], "tail has ended"
    finally:
        tail.terminate()
        tail.wait(10)
        tail.stdout.close()
    controls = [match[1] for line in seen for match in re.finditer(r" received .* control=(T\d+) ", line)]
    assert controls == [f"T{n}" for n in range(401)]


@pytest.mark.parametrize("mistake, told", [
    ("other-key", "the key does not fit the certificate"),
    ("client", "is not one for a server"),
    ("ended", "the certificate ended on "),
    ("no-authorities", "no authorities in PEM form"),
])
def test_the_check_of_a_configuration_tries_its_certificates(brokers, authority, configuration, mistake, told):
    broker = brokers(configuration)
    server, authorities = authority.server, authority.pem
    if mistake == "client":
        server = authority.chu
    if mistake == "ended":
        server = authority.issue("broker", usage=SERVER, since=-48 * HOUR, until=-HOUR, file_name="broker-ended")
    if mistake == "no-authorities":
        authorities = authority.server.key_file
    key = authority.ehpad.key_file if mistake == "other-key" else server.key_file
    tls = {"certificate": str(server.pem), "key": str(key), "authorities": str(authorities)}
    broker.file.write_text(configuration.render(broker.folder, tls, 0))
    checked = subprocess.run([LIAISOND, "-n", "-c", broker.file], capture_output=True, text=True)
    assert checked.returncode == 1 and told in checked.stderr, checked

# SPDX-License-Identifier: Apache-2.0
"""Starts that must not happen, and ends that must be clean."""
import fcntl
import os
import signal
import subprocess
import threading
import time

import pytest

from liaison_harness import LIAISOND
from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed, frame

STOP_SECONDS = 10  # from SIGTERM to the end


def run(broker, **options):
    """Start one more on the same configuration, which is to end by itself."""
    return subprocess.run([LIAISOND, "-c", broker.file], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, **options)


def segments(broker):
    return sorted((broker.folder / "state" / "journal").glob("*.seg"))


# Ends


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered(broker, authority, ending):
    """Messages that were read are answered AA, or AR when they came too late; all that were accepted are there afterwards, and no other."""
    clients = [broker.mllp(authority.chu) for _ in range(4)]
    sent = {n: [message(f"F{n}-{k}", filler=3000 + 40000 * (k % 9 == 0)) for k in range(60)] for n in range(4)}
    answers = {n: [] for n in range(4)}

    def collect(n):
        try:
            while len(answers[n]) < 60:
                answers[n].append(clients[n].ack(15))
        except Closed as closed:
            assert closed.rest == b"", "half an answer"
        except OSError:
            pass
    threads = [threading.Thread(target=collect, args=(n,)) for n in sent]
    pushers = [threading.Thread(target=push, args=(clients[n], sent[n])) for n in sent]
    for thread in threads + pushers:
        thread.start()
    broker.wait_log("received")
    since = time.monotonic()
    broker.process.send_signal(ending)
    assert broker.wait(STOP_SECONDS) == 0
    assert time.monotonic() - since < STOP_SECONDS
    for thread in threads + pushers:
        thread.join(20)
    accepted = []
    for n, acks in answers.items():
        assert [ack.control for ack in acks] == [f"F{n}-{k}" for k in range(len(acks))], "an answer out of order"
        assert {ack.code for ack in acks} <= {"AA", "AR"}
        codes = "".join(ack.code for ack in acks)
        assert "ARAA" not in codes, "accepted behind one that was not"
        accepted += [ack.control for ack in acks if ack.code == "AA"]
    assert accepted
    assert broker.log()[-1].event == "stopped"
    broker.restart()
    there = [item["control_id"] for item in broker.pull(authority.ehpad).items("ehpad", limit=1000).json["items"]]
    assert len(there) == len(set(there))
    assert set(accepted) <= set(there)
    # One whose answer was lost with the connection may be there as well, none that was told AR.
    assert not {ack.control for acks in answers.values() for ack in acks if ack.code == "AR"} & set(there)


def push(client, contents):
    try:
        for content in contents:
            client.send(frame(content))
    except OSError:
        pass


def test_idle_and_half_sent_do_not_hold_the_end(broker, authority):
    idle, half = broker.mllp(authority.chu), broker.mllp(authority.chu)
    half.send(frame(message("HALF"))[:60])
    reader = broker.pull(authority.ehpad)
    poll = threading.Thread(target=lambda: silently(lambda: reader.items("ehpad", wait=60)))
    poll.start()
    time.sleep(0.3)
    since = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - since < STOP_SECONDS
    poll.join(10)
    assert not poll.is_alive()
    assert idle.ended() == b""
    broker.restart()
    assert broker.pull(authority.ehpad).items("ehpad").json["items"] == []


def silently(call):
    try:
        call()
    except Exception:
        pass


def test_ended_ten_times(broker, authority):
    """Each start finds all that the ends before left, and no damage."""
    for n in range(10):
        client = broker.mllp(authority.chu)
        assert client.ask(message(f"E{n}")).code == "AA"
        client.close()
        assert broker.stop() == 0
        broker.restart()
    items = broker.pull(authority.ehpad).items("ehpad", limit=1000).json["items"]
    assert [item["control_id"] for item in items] == [f"E{n}" for n in range(10)]
    assert not broker.log("quarantined")


# Starts


def test_a_second_one_is_refused(broker, authority):
    told = run(broker)
    assert told.returncode == 1
    assert "another liaisond uses it" in told.stderr
    assert broker.mllp(authority.chu).ask(message()).code == "AA"
    # The lock goes with its holder, however that ends.
    broker.kill()
    broker.restart()


def test_a_state_that_cannot_be_written(broker, authority):
    assert broker.mllp(authority.chu).ask(message()).code == "AA"
    assert broker.stop() == 0
    state = broker.folder / "state"
    mounted = os.geteuid() == 0
    if mounted:  # root may write where the mode says no
        subprocess.run(["mount", "--bind", state, state], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
    else:
        for folder in (state, state / "journal"):
            folder.chmod(0o500)
    try:
        told = run(broker)
    finally:
        if mounted:
            subprocess.run(["umount", state], check=True)
        else:
            for folder in (state, state / "journal"):
                folder.chmod(0o700)
    assert told.returncode == 1
    why = "lies on a file system that is mounted read-only" if mounted else "cannot be written"
    assert f"{state}: state: {why}" in told.stderr, told.stderr
    broker.restart()
    assert len(broker.pull(authority.ehpad).items("ehpad").json["items"]) == 1


def test_a_segment_of_a_later_version(broker, authority):
    """Not guessed at, not touched: the operator is told which file."""
    assert broker.mllp(authority.chu).ask(message()).code == "AA"
    assert broker.stop() == 0
    segment = segments(broker)[0]
    whole = segment.read_bytes()
    patched = bytearray(whole)
    for copy in (0, 2048):  # conf/doc/journal.md: two copies of the head, the version behind the magic
        assert patched[copy:copy + 8] == b"LIAISONJ"
        patched[copy + 8:copy + 12] = (99).to_bytes(4, "little")
    segment.write_bytes(patched)
    told = run(broker)
    assert told.returncode == 1
    lines = broker.log()
    assert any(line.is_("quarantined", segment=int(segment.stem)) and "format version" in line["why"] for line in lines), lines[-4:]
    assert any(line.event == "fatal" and "another format version" in line["why"] for line in lines), lines[-4:]
    assert "another format version" in told.stderr, told.stderr
    assert segment.read_bytes() == patched
    segment.write_bytes(whole)
    broker.restart()
    assert len(broker.pull(authority.ehpad).items("ehpad").json["items"]) == 1


def test_a_key_that_others_may_read(broker):
    assert broker.stop() == 0
    broker.server.key_file.chmod(0o640)
    try:
        told = run(broker)
    finally:
        broker.server.key_file.chmod(0o600)
    assert told.returncode == 1
    assert str(broker.server.key_file) in told.stderr


def test_the_lock_is_of_the_directory(broker):
    """It is a lock of the system's, not a file that a crash leaves behind."""
    broker.kill()
    descriptors = [os.open(path, os.O_RDWR) for path in (broker.folder / "state").iterdir() if path.is_file()]
    try:
        for one in descriptors:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds any
    finally:
        for one in descriptors:
            os.close(one)
    broker.restart()

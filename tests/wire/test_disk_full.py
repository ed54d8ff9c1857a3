# SPDX-License-Identifier: Apache-2.0
"""The disk fills up, to the floor and to its last byte: pushes are told to come again, what was taken can still be read and acknowledged,
and intake opens by itself when there is room. The state lies on a small file system of its own, which takes root to mount."""
import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest

from liaison_harness import SOURCE
from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed

sys.path.insert(0, str(SOURCE / "tests" / "crash"))
import arrivals  # noqa: E402
import checker  # noqa: E402

SIZE = 64 << 20


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request, brokers, configuration, tmp_path):
    """A broker, not started, whose state lies on 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    configuration.journal = {"segment_size": "4M", "disk_floor": "16M", "reserve": "2M"}
    broker = brokers(configuration)
    state = broker.folder / "state"
    if request.param == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", state]
    else:
        image = tmp_path / "image"
        with open(image, "wb") as stream:
            stream.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, stdin=subprocess.DEVNULL)
        command = ["mount", "-o", "loop", image, state]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"{request.param} cannot be mounted here: {mounted.stderr.strip()}")
    os.chmod(state, 0o700)
    try:
        yield broker
        if broker.process and broker.process.poll() is None:
            assert broker.stop() == 0
    finally:
        if broker.process and broker.process.poll() is None:
            broker.kill()
        subprocess.run(["umount", state], check=True)


def free(broker):
    told = os.statvfs(broker.folder / "state")
    return told.f_bavail * told.f_frsize


def fill(broker, leave, name="filler"):
    """Take all but ``leave`` bytes; with 0 to the last byte."""
    with open(broker.folder / "state" / name, "ab", buffering=0) as stream, contextlib.suppress(OSError):
        while leave == 0 or free(broker) > leave:
            if not stream.write(b"\xff" * (max(min(free(broker) - leave, 1 << 20), 512) if leave else 4096)):
                break
        os.fsync(stream.fileno())


def make_room(broker, name="filler"):
    (broker.folder / "state" / name).unlink()


class Sender(threading.Thread):
    """One message after the other; what is not accepted is sent again until it is. Its record is checker.py's."""

    def __init__(self, broker, authority, name):
        super().__init__(daemon=True)
        self.broker, self.authority, self.label = broker, authority, name
        self.record, self.codes = [], []
        self.ending = threading.Event()
        self.failure = None

    def run(self):
        try:
            number, client = 0, self.broker.mllp(self.authority.chu)
            while not self.ending.is_set():
                content = message(f"{self.label}-{number}", filler=30000, application=self.label)
                while not self.ending.is_set() and not self.accepted(client, content, f"{self.label}-{number}"):
                    time.sleep(0.05)
                number += 1
        except (Closed, OSError):
            self.record.append(f"cut\t{self.label}\n")
        except BaseException as failure:
            self.failure = failure

    def accepted(self, client, content, control):
        self.record.append(f"send\t{self.label}\t{control}\t{hashlib.sha256(content).hexdigest()}\n")
        ack = client.ask(content, seconds=30)
        self.record.append(f"ack\t{self.label}\t{control}\t{ack.code}\n")
        assert ack.code in ("AA", "AR"), ack.text
        if ack.code == "AR":
            assert [error.code for error in ack.errors] == ["207"], ack.text
        self.codes.append(ack.code)
        return ack.code == "AA"


@contextlib.contextmanager
def senders(broker, authority, count=3):
    made = [Sender(broker, authority, f"D{n}") for n in range(count)]
    for one in made:
        one.start()
    try:
        yield made
    finally:
        for one in made:
            one.ending.set()
        for one in made:
            one.join(40)
            assert not one.is_alive()
            if one.failure:
                raise one.failure


def whole_inbox(broker, authority):
    reader = broker.pull(authority.ehpad)
    return arrivals.listed(reader, "ehpad"), reader


def assert_nothing_lost(broker, authority, made):
    items, _ = whole_inbox(broker, authority)
    rows = arrivals.fetched(lambda: broker.pull(authority.ehpad), items)
    assert checker.check([line for one in made for line in one.record], rows) == []
    assert len({row.split("\t")[2] for row in rows}) == len(rows), "something arrived twice"
    return len(rows)


@pytest.mark.parametrize("left", [3 << 20, 0], ids=["below-the-floor", "to-the-last-byte"])
def test_full_and_free_again(small, authority, left):
    broker = small.start()
    with senders(broker, authority) as made:
        wait_until(lambda: all(len(one.codes) >= 5 for one in made), what="messages")
        fill(broker, left)
        broker.wait_log("disk-floor", seconds=20)
        wait_until(lambda: all(one.codes[-1] == "AR" for one in made), seconds=20, what="AR for all")
        assert broker.wait_log("deferred").level == "warning"
        assert broker.metric("liaison_disk_floor") == 1
        assert "disk space is below the floor" in broker.liaison("status").stdout

        # What was taken is listed, read, and acknowledged: the reserve records it.
        items, reader = whole_inbox(broker, authority)
        assert len(items) >= 15
        for item in items[:10]:
            assert reader.message(item["seq"]).status == 200
        taken = [item["seq"] for item in items[:5]]
        answer = reader.ack("ehpad", accepted=taken)
        assert answer.status == 200, answer
        assert [one["result"] for one in answer.json["results"]] == ["accepted"] * 5
        assert [item["seq"] for item in whole_inbox(broker, authority)[0][:3]] == [item["seq"] for item in items[5:8]]

        # Room again, and nobody does anything else.
        since = time.monotonic()
        make_room(broker)
        broker.wait_log("disk-floor-left", seconds=20)
        wait_until(lambda: all(one.codes[-1] == "AA" for one in made), seconds=20, what="AA for all")
        assert time.monotonic() - since < 10
        wait_until(lambda: all(one.codes[-5:] == ["AA"] * 5 for one in made), what="it goes on")
    # What the reader took was delivered, the rest is there.
    for one in made:
        for control in [item["control_id"] for item in items[:5]]:
            one.record = [line for line in one.record if line.split("\t")[2:3] != [control]]
    assert assert_nothing_lost(broker, authority, made) > 20
    assert broker.liaison("check").stdout.count("checksums and chain good") == 1
    assert broker.metric("liaison_disk_floor") == 0


def test_killed_and_started_on_a_full_disk(small, authority):
    broker = small.start()
    with senders(broker, authority) as made:
        wait_until(lambda: all(len(one.codes) >= 5 for one in made), what="messages")
        fill(broker, 0)
        wait_until(lambda: all(one.codes[-1] == "AR" for one in made), seconds=20, what="AR for all")
        broker.kill()
    fill(broker, 0, "more")
    broker.restart()
    items, reader = whole_inbox(broker, authority)
    assert len(items) >= 15
    assert reader.message(items[0]["seq"]).status == 200
    ack = broker.mllp(authority.chu).ask(message("FULL"))
    assert (ack.code, ack.errors[0].code) == ("AR", "207")
    assert_nothing_lost(broker, authority, made)
    make_room(broker)
    make_room(broker, "more")
    broker.wait_log("disk-floor-left", seconds=20)
    assert broker.mllp(authority.chu).ask(message("FULL")).code == "AA"
    assert broker.liaison("check").stdout.count("checksums and chain good") == 1

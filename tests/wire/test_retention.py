# SPDX-License-Identifier: Apache-2.0
"""Retention of one hour under load, in a build whose journal time can be made to run 3600 times as fast: what nobody has taken stays, byte
for byte; what was taken goes; duplicates are known for as long as was promised; and everything but the journal can be made anew from it."""
import contextlib
import difflib
import hashlib
import json
import re
import shutil
import threading
import time

import pytest

from liaison_harness.broker import free_port, wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import frame
from liaison_harness.operators import rows

PIECE = 20  # messages of one burst
KEPT = 7  # every so-manieth message is never taken from the inbox `slow`
LOAD_S = 9


@pytest.fixture
def hourly(brokers, configuration, authority, monkeypatch):
    """Small segments that live for an hour; `prompt` is emptied at once, `slow` in part."""
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "3600")
    configuration.journal = {"segment_size": "1M", "retention": "1h", "duplicate_window": "60h", "disk_floor": "16M", "reserve": "1M"}
    configuration.inboxes.clear()
    configuration.routes.clear()
    configuration.inbox("prompt", readers=["ehpad"], max_age="300d")
    configuration.inbox("slow", readers=["ehpad"], max_age="300d")
    configuration.route("all", to=["prompt", "slow"])
    return brokers(configuration).start()


class Load(threading.Thread):
    """Bursts of messages, a reader behind each burst."""

    def __init__(self, broker, authority):
        super().__init__(daemon=True)
        self.sender, self.reader = broker.mllp(authority.chu), broker.pull(authority.ehpad)
        self.sent = {}  # control id -> content
        self.taken, self.kept = [], []  # (seq, control id)
        self.failure = None

    def run(self):
        try:
            end = time.monotonic() + LOAD_S
            while time.monotonic() < end:
                self.burst()
                time.sleep(0.1)
        except BaseException as failure:
            self.failure = failure

    def burst(self):
        batch = [message(f"R{len(self.sent) + n:05d}", filler=2000 + 700 * n) for n in range(PIECE)]
        self.sender.send(b"".join(frame(one) for one in batch))
        for content in batch:
            ack = self.sender.ack()
            assert ack.code == "AA", ack.text
            self.sent[ack.control] = content
        items = self.reader.items("prompt", limit=1000).json["items"]
        everything = [item["seq"] for item in items]
        left = [item for n, item in enumerate(items) if (len(self.taken) + len(self.kept) + n) % KEPT == 0]
        self.settle("prompt", everything)
        self.settle("slow", [seq for seq in everything if seq not in {item["seq"] for item in left}])
        self.kept += [(item["seq"], item["control_id"]) for item in left]
        self.taken += [(item["seq"], item["control_id"]) for item in items if item not in left]

    def settle(self, inbox, seqs):
        answer = self.reader.ack(inbox, accepted=seqs)
        assert answer.status == 200, answer
        assert {one["result"] for one in answer.json["results"]} <= {"accepted"}, answer.json


def listing(broker, authority, inbox):
    """The whole inbox, as a reader sees it."""
    reader, items, more = broker.pull(authority.ehpad), [], True
    while more:
        page = reader.items(inbox, limit=50, after=items[-1]["seq"] if items else 0).json
        assert page["unreadable"] == []
        items += page["items"]
        more = page["more"]
    return items


def view(broker, upto):
    """Every message up to ``upto`` that the trace knows, its documents, and the records about it up to there."""
    told, before = {"message": [], "document": [], "hop": []}, upto + 1
    while page := rows(broker, command="search", after=before, limit=500):
        for seq in (row["id"] for row in page):
            for row in rows(broker, command="show", id=seq):
                if row["kind"] in told and not (row["kind"] == "hop" and row["record"] > upto):
                    told[row["kind"]].append((seq, json.dumps(row, sort_keys=True)))
        before = page[-1]["id"]
    return {kind: sorted(found) for kind, found in told.items()}


def newest(broker):
    """The newest record of which the log tells."""
    lines = [line for line in broker.log() if line.get("newest")]
    ids = [int(line["id"]) for line in broker.log() if line.get("id")]
    return max(ids + [int(line["newest"]) for line in lines])


def operators_view(broker, samples):
    """What the control program says of both queues and of some messages; but for ages, which go on."""
    commands = [("queue", "prompt"), ("queue", "slow")] + [("show", str(seq)) for seq in samples]
    return re.sub(r"\d+ h \d+ min|\d+ (s|min|days)\b", "AGE", "".join(broker.liaison(*command).stdout for command in commands))


def quiet(broker):
    """Wait until retention has nothing more to do."""
    count = -1
    while count != len(broker.log("segment-removed")):
        count = len(broker.log("segment-removed"))
        time.sleep(2.5)


def test_an_hour(hourly, authority, monkeypatch):
    broker = hourly
    load = Load(broker, authority)
    load.start()
    load.join(120)
    assert not load.is_alive() and load.failure is None, load.failure
    assert len(load.kept) > 20

    # Hours pass: the first messages' segments are gone, also those that hold what was carried forward at first.
    first_gone = wait_until(lambda: [line for line in broker.log("segment-removed") if int(line["segment"]) >= 6], 60, "removals")
    assert any(int(line["carried"]) > 0 for line in broker.log("segment-removed")), first_gone

    # What was not taken is there, byte for byte, in order; what was taken is not.
    reader = broker.pull(authority.ehpad)
    items = listing(broker, authority, "slow")
    assert [(item["seq"], item["control_id"]) for item in items] == load.kept
    for seq, control in load.kept:
        content = reader.message(seq)
        assert content.status == 200 and content.body == load.sent[control], (seq, control, content)
    assert listing(broker, authority, "prompt") == []
    assert {reader.message(seq).status for seq, _ in load.taken[:20]} <= {404, 410}

    # An old one comes again: it is known though its segment is gone.
    sender = broker.mllp(authority.chu)
    for seq, control in load.taken[:3] + load.kept[:3]:
        assert sender.ask(load.sent[control]).code == "AA"
        assert broker.wait_log("duplicate", control=control)["id"] == str(seq)
    assert listing(broker, authority, "slow") == items

    # A start changes nothing. From here on journal time runs like ours, so that what is looked at stands still.
    monkeypatch.delenv("LIAISON_CLOCK_RATE")
    assert broker.stop() == 0
    broker.restart()
    assert listing(broker, authority, "slow") == items
    assert listing(broker, authority, "prompt") == []
    sender = broker.mllp(authority.chu)
    for seq, control in load.taken[3:6] + load.kept[3:6]:
        assert sender.ask(load.sent[control]).code == "AA"
        assert broker.wait_log("duplicate", control=control)["id"] == str(seq)
    told = broker.liaison("check")
    assert "checksums and chain good" in told.stdout, told.stdout

    # The views made anew are the views that were.
    quiet(broker)
    upto = newest(broker)
    samples = [seq for seq, _ in load.kept[:3] + load.taken[-3:]]
    before, told_before = view(broker, upto), operators_view(broker, samples)
    assert before["message"] and before["hop"]
    for seq, _ in load.taken[-3:]:
        assert "It waits in inbox" not in broker.liaison("why", str(seq)).stdout
    for seq, _ in load.kept[:3]:
        assert "It waits in inbox slow" in broker.liaison("why", str(seq)).stdout
    assert broker.liaison("rebuild", "--reason", "to compare").returncode == 0
    broker.wait_log("operator", act="rebuild")
    assert view(broker, upto) == before
    told_after = operators_view(broker, samples)
    assert told_after == told_before, "\n".join(difflib.unified_diff(told_before.splitlines(), told_after.splitlines()))
    assert listing(broker, authority, "slow") == items

    # All but the journal deleted.
    assert broker.stop() == 0
    for one in (broker.folder / "state").iterdir():
        if one.name != "journal":
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    broker.restart()
    assert listing(broker, authority, "slow") == items
    quiet(broker)
    reader = broker.pull(authority.ehpad)
    for seq, control in load.kept:
        assert hashlib.sha256(reader.message(seq).body).digest() == hashlib.sha256(load.sent[control]).digest()
    known = {row[0]: row for row in before["message"]}
    now = {row[0]: row for row in view(broker, upto)["message"]}
    assert {seq: row for seq, row in now.items() if seq in known} == now, "the new view has what the old one had not"
    assert {seq for seq, _ in load.kept} <= now.keys()

    # Past the window, which moves on with the messages that come, a resend is a message like any other.
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "360000")
    assert broker.stop() == 0
    broker.restart()
    _, control = load.taken[0]
    sender = broker.mllp(authority.chu)
    time.sleep(1)
    assert sender.ask(message()).code == "AA"
    assert sender.ask(load.sent[control]).code == "AA"
    wait_until(lambda: any(int(line["id"]) > upto for line in broker.log("received", control=control)), what="it is received anew")


def come_and_go(broker, authority, over, what):
    """Messages come and are taken until ${over}."""
    sender, reader = broker.mllp(authority.chu), broker.pull(authority.ehpad)

    def gone():
        batch = [message(filler=20000) for _ in range(PIECE)]
        sender.send(b"".join(frame(one) for one in batch))
        assert {sender.ack().code for _ in batch} == {"AA"}
        everything = [item["seq"] for item in reader.items("prompt", limit=1000).json["items"]]
        assert reader.ack("prompt", accepted=everything).status == 200
        return over()
    wait_until(gone, 60, what)


def test_what_operators_did_lives_on(brokers, configuration, authority, monkeypatch):
    """A hold, and replays that wait longer than what they replay is kept for: through removals of segments and a kill."""
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "3600")
    configuration.journal = {"segment_size": "1M", "retention": "1h", "duplicate_window": "2h", "disk_floor": "16M", "reserve": "1M"}
    configuration.inboxes.clear()
    configuration.routes.clear()
    configuration.inbox("prompt", readers=["ehpad"], max_age="300d")
    configuration.inbox("late", readers=["ehpad"], max_age="300d")
    configuration.destination("away", free_port())
    configuration.route("all", to=["prompt"])
    broker = brokers(configuration).start()
    reader, sender = broker.pull(authority.ehpad), broker.mllp(authority.chu)
    contents = [message(filler=3000 + n) for n in range(PIECE)]
    assert all(sender.ask(content).code == "AA" for content in contents)
    first = [item["seq"] for item in reader.items("prompt", limit=1000).json["items"]]
    assert reader.ack("prompt", accepted=first).status == 200
    replayed = broker.liaison("replay", *map(str, first), "--to", "late", "--reason", "for the archive", "--yes")
    assert replayed.returncode == 0, replayed
    assert broker.liaison("hold", "away", "--reason", "they move").returncode == 0

    def all_is_there():
        with contextlib.closing(broker.pull(authority.ehpad)) as one:
            items = one.items("late").json["items"]
            bodies = [one.message(item["seq"]) for item in items]
        assert len(items) == PIECE and items[0]["seq"] > first[-1]
        assert [body.status for body in bodies] == [200] * PIECE and [body.body for body in bodies] == contents
        assert "held" in next(line for line in broker.liaison("queue").stdout.splitlines() if line.startswith("away "))
        return [item["seq"] for item in items]

    second = all_is_there()
    come_and_go(broker, authority, lambda: len(broker.log("segment-removed")) >= 4, "removals")
    assert all_is_there() == second
    broker.kill()
    broker.restart()
    assert all_is_there() == second
    told = broker.liaison("show", str(first[0])).stdout
    assert f"{second[0]}" in told and "for the archive" in told, told
    assert broker.liaison("check").returncode in (0, 1)
    assert "checksums and chain good" in broker.liaison("check").stdout

    # Once they are taken, what they needed goes as everything else does.
    reader = broker.pull(authority.ehpad)
    assert reader.ack("late", accepted=second).status == 200
    come_and_go(broker, authority, lambda: {reader.message(seq).status for seq in first + second} <= {404, 410}, "their removal")
    assert "held" in next(line for line in broker.liaison("queue").stdout.splitlines() if line.startswith("away "))

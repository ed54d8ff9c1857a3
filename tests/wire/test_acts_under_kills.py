# SPDX-License-Identifier: Apache-2.0
"""Operators act and the broker is killed: what was answered as done is done after the start, what was not answered is done whole or not at all."""
import contextlib
import json
import random
import socket
import threading
import time

from liaison_harness.broker import free_port
from liaison_harness.hl7 import message
from liaison_harness.mllp import frame

MESSAGES = 300
KILLS = 12


class Operator(threading.Thread):
    """Replays to `late`, drops from `ehpad`, holds and releases `away`, one act after the other, until nobody answers."""

    def __init__(self, broker, book, rng):
        super().__init__(daemon=True)
        self.broker, self.book, self.rng = broker, book, rng
        self.failure = None

    def ask(self, **line):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
            one.settimeout(30)
            one.connect(str(self.broker.folder / "control.sock"))
            one.sendall(json.dumps(line).encode() + b"\n")
            one.shutdown(socket.SHUT_WR)
            answers = [json.loads(row) for row in one.makefile("rb")]
        if not answers or "row" in answers[-1]:
            raise ConnectionError("it ended in the middle")
        if answers[-1].get("error", {}).get("code") == "busy":  # the view has not come so far
            return []
        assert answers[-1].get("ok"), answers[-1]
        return [one["row"] for one in answers[:-1]]

    def act(self):
        book, kind = self.book, self.rng.choice(["replay", "replay", "drop", "hold"])
        book.doubt = None
        if kind == "replay":
            ids = sorted(self.rng.sample(book.ids, self.rng.randrange(1, 40)))
            book.doubt = ("replay", ids)
            for row in self.ask(command="replay", ids=ids, to="late", reason="once more", yes=True):
                if row["result"] == "replayed":
                    book.replayed.append((row["as"], row["id"]))
        elif kind == "drop":
            ids = sorted(self.rng.sample(book.ids, 3))
            book.doubt = ("drop", ids)
            for row in self.ask(command="drop", ids=ids, destination="ehpad", reason="not these", yes=True):
                if row["result"] == "dropped":
                    book.dropped.add(row["id"])
        else:
            verb = "release" if book.held else "hold"
            book.doubt = (verb, None)
            self.ask(command=verb, destination="away", reason="because")
            book.held = not book.held
        book.doubt = None
        book.acts += 1

    def run(self):
        try:
            while True:
                self.act()
        except (ConnectionError, FileNotFoundError, json.JSONDecodeError):
            pass  # killed
        except BaseException as failure:
            self.failure = failure


class Book:
    """What the operator was told."""

    def __init__(self, ids):
        self.ids, self.replayed, self.dropped, self.held = ids, [], set(), False
        self.doubt, self.acts, self.doubts = None, 0, 0
        self.perhaps_replayed, self.perhaps_dropped = [], set()  # never answered

    def killed(self, held):
        """The act under way may have been done: what cannot be told from outside is kept as a doubt."""
        if self.doubt is None:
            assert held == self.held
            return
        self.doubts += 1
        verb, ids = self.doubt
        if verb == "replay":
            self.perhaps_replayed += ids
        elif verb == "drop":
            self.perhaps_dropped |= set(ids)
        else:
            self.held = held  # either is whole
            return
        assert held == self.held


def everything(broker, authority, inbox):
    """Every item with its bytes, in order."""
    items, after, more = [], 0, True
    with contextlib.closing(broker.pull(authority.ehpad)) as reader:
        while more:
            page = reader.items(inbox, limit=500, after=after).json
            assert page["unreadable"] == []
            items += page["items"]
            after, more = items[-1]["seq"] if items else 0, page["more"]
        return [(item["seq"], reader.message(item["seq"]).body) for item in items]


def is_held(broker):
    row = next(line for line in broker.liaison("queue").stdout.splitlines() if line.startswith("away "))
    return row.split()[2] == "held"


def test_acts_under_kills(brokers, configuration, authority):
    rng = random.Random(20261122)
    configuration.inbox("late", readers=["ehpad"])
    configuration.destination("away", free_port())
    broker = brokers(configuration).start()
    contents = [message(filler=500 + n) for n in range(MESSAGES)]
    with contextlib.closing(broker.mllp(authority.chu)) as sender:
        sender_ids = []
        for start in range(0, MESSAGES, 20):
            sender.send(b"".join(frame(one) for one in contents[start:start + 20]))
            sender_ids += [int(sender.ack(30).msh(10)[1:]) for _ in contents[start:start + 20]]
    content = dict(zip(sender_ids, contents))
    book = Book(sender_ids)
    for _ in range(KILLS):
        operator = Operator(broker, book, rng)
        operator.start()
        time.sleep(rng.uniform(0.05, 0.4))
        broker.kill()
        operator.join(60)
        assert not operator.is_alive() and operator.failure is None, operator.failure
        broker.restart()
        book.killed(is_held(broker))
    assert book.acts > KILLS and book.replayed and book.dropped and book.doubts, vars(book)

    # Every replay that was told waits, once, behind those told before, with the bytes of its original; and no others but such as were never answered.
    late = everything(broker, authority, "late")
    of = dict(book.replayed)
    assert [seq for seq, _ in late if seq in of] == sorted(of) == [seq for seq, _ in book.replayed]
    by_content = {body: seq for seq, body in content.items()}
    for seq, body in late:
        original = by_content[body]
        assert of.get(seq, original) == original
        if seq not in of:
            assert original in book.perhaps_replayed
    assert len({body for _, body in late}) == len(late), "one of them waits twice"

    # What was dropped is gone, what was not is there.
    left = {seq for seq, _ in everything(broker, authority, "ehpad")}
    assert not left & book.dropped
    assert set(sender_ids) - left - book.dropped <= book.perhaps_dropped
    assert "checksums and chain good" in broker.liaison("check").stdout

# SPDX-License-Identifier: Apache-2.0
"""The road from a sender through the broker to a destination: what was sent, what arrived, what the broker says became of it."""
import hashlib

from .broker import wait_until
from .hl7 import message

QUICK = {"acknowledgement": "1s", "retry_first": "100ms", "retry_longest": "500ms"}


class Road:
    """A sender before the broker: what it sent, and what the receiver is to get."""

    def __init__(self, broker, identity):
        self.broker, self.client, self.sent = broker, broker.mllp(identity), []

    def send(self, *contents):
        for content in contents:
            self.client.frame(content)
        for _ in contents:
            assert self.client.ack(30).code == "AA"
        self.sent += contents
        return contents

    def push(self, count, **options):
        return self.send(*(message(**options) for _ in range(count)))

    def again(self, identity):
        """After a restart."""
        self.client = self.broker.mllp(identity)

    @property
    def shas(self):
        return [hashlib.sha256(content).hexdigest() for content in self.sent]


def waiting(broker, name="lab"):
    return broker.metric("liaison_waiting", destination=name)


def settled(broker, count, name="lab", seconds=20):
    """The lines of ``count`` messages that have their outcome, by message, in the order of the log."""
    def lines():
        found = [line for line in broker.log() if line.event in ("delivered", "item-rejected") and line.get("destination") == name
                 and not line.get("peer")]
        return found if len(found) >= count else None
    found = wait_until(lines, seconds, f"{count} outcomes at {name}: {[one.row for one in broker.log()][-12:]}")
    assert len(found) == count, "each message has one outcome"
    return found


def arrived(lab):
    return [one.sha for one in lab.messages]


def in_order(lab, road):
    """Everything arrived, byte for byte, each for the first time in the order in which it was sent."""
    assert [sha for _, _, sha in lab.first_arrivals] == road.shas
    assert lab.equal == 0, "two messages of one id were on their way"
    return True


def doubles(lab, road):
    """How often each message came beyond the first time."""
    seen = arrived(lab)
    return [seen.count(sha) - 1 for sha in road.shas]

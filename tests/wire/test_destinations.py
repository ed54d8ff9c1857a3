# SPDX-License-Identifier: Apache-2.0
"""Destinations that are dialled, and every way in which they may answer: nothing is lost, reordered, or sent twice without need."""
import hashlib

import pytest

from liaison_harness import destination as does
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.hl7 import control_id, message


@pytest.fixture
def lab(authority):
    """A receiver that accepts everything unless told otherwise."""
    made = Destination(authority).start()
    yield made
    made.stop()


@pytest.fixture
def configuration(configuration, lab):
    """All that `chu` sends goes to the inbox of `ehpad` and to the destination `lab`, which is tried again quickly."""
    configuration.destination("lab", lab.port, acknowledgement="1s", retry_first="100ms", retry_longest="500ms")
    configuration.routes[0]["to"] = ["ehpad", "lab"]
    return configuration


class Road:
    """A sender before the broker: what it sent, and what the receiver is to get."""

    def __init__(self, broker, identity):
        self.broker, self.client, self.sent = broker, broker.mllp(identity), []

    def send(self, *contents):
        for content in contents:
            self.client.frame(content)
        for _ in contents:
            assert self.client.ack().code == "AA"
        self.sent += contents
        return contents

    def push(self, count, **options):
        return self.send(*(message(**options) for _ in range(count)))

    def controls(self):
        return [content.split(b"|")[9].decode() for content in self.sent]

    def shas(self):
        return [hashlib.sha256(content).hexdigest() for content in self.sent]


@pytest.fixture
def road(broker, authority):
    return Road(broker, authority.chu)


def waiting(broker, name="lab"):
    return broker.metric("liaison_waiting", destination=name)


def drained(broker, name="lab", seconds=20):
    """All that waited is settled, as the gauge tells a second later."""
    wait_until(lambda: broker.metric("liaison_destination_in_flight", destination=name) == 0 and not waiting(broker, name), seconds,
               f"the end of the queue of {name}")


def outcome(broker, seq):
    return broker.liaison("show", str(seq)).stdout


def test_delivered(broker, road, lab):
    sent = road.push(5)
    wait_until(lambda: len(lab.messages) == 5, what="five messages")
    assert [one.content for one in lab.messages] == list(sent), "byte for byte, in order"
    told = wait_until(lambda: (lines := broker.log("delivered", destination="lab")) and len(lines) == 5 and lines)
    assert all(line["code"] == "AA" and line["tries"] == "1" for line in told)
    assert len(lab.connections) == 1, "an idle link stays open"
    drained(broker)
    print(broker.liaison("queue").stdout, outcome(broker, told[0]["id"]))

# SPDX-License-Identifier: Apache-2.0
"""Servers that nobody here wrote behind a destination: what reached them, whole, once, in order; and what their answers were taken for."""
import asyncio
import hashlib
import ipaddress
import ssl
import threading

import hl7
import pytest
from hl7.mllp import start_hl7_server

from liaison_harness.authority import SERVER
from liaison_harness.broker import free_port, wait_until
from partners import Node

MANY = 30


@pytest.fixture
def receiver(authority):
    """The certificate of a server that calls itself localhost."""
    return authority.issue("receiver", usage=SERVER, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])


def start(brokers, configuration, port, **settings):
    """A broker that hands on all it gets to the server on ``port``."""
    configuration.destination("receiver", port, **{"retry_first": "100ms", "retry_longest": "1s", **settings})
    configuration.routes[:] = []
    configuration.route("all", to=["receiver"])
    return brokers(configuration).start()


def numbered(content, count):
    """``count`` messages that differ in their control id, of one length."""
    control = content.split(b"|")[9]
    return [content.replace(control, b"NR-%03d" % n) for n in range(1, count + 1)]


def hand_in(broker, authority, contents):
    client = broker.mllp(authority.chu)
    for content in contents:
        assert client.ask(content).code == "AA"


def delivered(broker, count, seconds=40):
    """Their ids, once ``count`` are delivered and nothing waits any more."""
    lines = wait_until(lambda: len(told := broker.log("delivered")) >= count and told, seconds, f"the delivery of {count}")
    broker.wait_metric(0, "liaison_waiting", destination="receiver")
    return [line["id"] for line in lines]


def ids(broker):
    return [line["id"] for line in broker.log("received")]


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_node_hl7_server(brokers, configuration, authority, receiver, fixtures, packages, tmp_path):
    """It answers message n of a connection with n acknowledgements, n - 1 of them of messages settled long ago: only the right one settles.

    One message it refuses: that one is rejected, though the first answer to it accepts another; and those behind it are not, though each of them
    is answered by that refusal, too. One it leaves unanswered at first, but for the old acknowledgements: it is sent again.
    """
    port = free_port()
    partner = Node("node_hl7_server", tmp_path, packages, receiver, authority, port=port, refuse="NR-010", forget="NR-020")
    try:
        assert partner.next() == {"listening": port}
        contents = [fixtures[name] for name in ("laboratory", "imaging", "admission", "large")] + numbered(fixtures["admission"], MANY)
        controls = [fixtures.control(content) for content in contents]
        broker = start(brokers, configuration, port, acknowledgement="1s")
        hand_in(broker, authority, contents)
        there = delivered(broker, len(contents) - 1)
        refused = ids(broker)[controls.index("NR-010")]
        assert there == [one for one in ids(broker) if one != refused]
        assert [line["id"] for line in broker.log("item-rejected")] == [refused]
        assert broker.stop() == 0
    finally:
        partner.kill()
    assert not [one for one in partner.rest if "failed" in one]
    arrived = [one["sha256"] for one in partner.rest if "sha256" in one]
    again = controls.index("NR-020")
    assert arrived == [digest(content) for content in contents[:again + 1] + contents[again:]], "lost, doubled or reordered"
    assert sum("acknowledged" in one for one in partner.rest) > 4 * len(contents)
    assert broker.log("stray-answer"), "acknowledgements of other messages are told"


class PythonServer:
    """python3-hl7's asyncio server on a thread: it reads a message, answers by the code that ``verdict`` gives, and remembers it."""

    LIMIT = 8 << 20  # of a message; unless told it reads no more than 64 KiB

    def __init__(self, port, identity, authority, verdict=lambda control, times: "AA"):
        self.port, self.verdict, self.arrived, self.times = port, verdict, [], {}
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.pem))
        self.context.load_cert_chain(identity.pem, identity.key_file)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    async def serve(self, reader, writer):
        try:
            while True:
                message = await reader.readmessage()
                control = str(message["MSH"][0][10])
                self.times[control] = self.times.get(control, 0) + 1
                code = self.verdict(control, self.times[control])
                self.arrived.append((control, code, str(message).encode()))
                writer.writemessage(message.create_ack(code))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    def __enter__(self):
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            start_hl7_server(self.serve, "127.0.0.1", self.port, ssl=self.context, limit=self.LIMIT, encoding="utf-8"), self.loop).result(10)
        return self

    def __exit__(self, *_):
        async def end():
            self.server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.mark.parametrize("window", [1, 8])
def test_python3_hl7_server(brokers, configuration, authority, receiver, fixtures, window):
    with PythonServer(free_port(), receiver, authority) as partner:
        contents = [fixtures[name] for name in ("laboratory", "imaging", "admission", "large")]
        contents += numbered(fixtures["admission"], MANY)
        broker = start(brokers, configuration, partner.port, window=window)
        hand_in(broker, authority, contents)
        assert delivered(broker, len(contents)) == ids(broker)
    assert [content for _, _, content in partner.arrived] == contents, "lost, doubled or reordered"


def test_python3_hl7_server_refuses(brokers, configuration, authority, receiver, fixtures):
    """Its `AE` makes that message a dead letter, and the next one is sent; after its `AR` the same message comes again, and no other before it."""
    def verdict(control, times):
        if control == "NR-003":
            return "AE"
        return "AR" if control == "NR-005" and times < 3 else "AA"
    contents = numbered(fixtures["admission"], 8)
    with PythonServer(free_port(), receiver, authority, verdict) as partner:
        broker = start(brokers, configuration, partner.port)
        hand_in(broker, authority, contents)
        there = delivered(broker, 7)
        assert there == [one for one in ids(broker) if one in there]
        assert broker.wait_log("item-rejected", destination="receiver")["id"] == ids(broker)[2]
    assert [(control, code) for control, code, _ in partner.arrived] == [
        ("NR-001", "AA"), ("NR-002", "AA"), ("NR-003", "AE"), ("NR-004", "AA"), ("NR-005", "AR"), ("NR-005", "AR"), ("NR-005", "AA"),
        ("NR-006", "AA"), ("NR-007", "AA"), ("NR-008", "AA")]


def test_python3_hl7_server_comes_late(brokers, configuration, authority, receiver, fixtures):
    """Nobody there yet: told once as down, and once as up when all of it is delivered."""
    port = free_port()
    broker = start(brokers, configuration, port)
    contents = numbered(fixtures["admission"], 5)
    hand_in(broker, authority, contents)
    down = broker.wait_log("destination-down", destination="receiver")
    assert int(down["queued"]) >= 1
    assert broker.metric("liaison_destination_down", destination="receiver") == 1
    with PythonServer(port, receiver, authority) as partner:
        delivered(broker, len(contents))
        broker.wait_log("destination-up", destination="receiver")
    assert [content for _, _, content in partner.arrived] == contents
    assert len(broker.log("destination-down")) == len(broker.log("destination-up")) == 1

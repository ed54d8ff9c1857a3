# SPDX-License-Identifier: Apache-2.0
"""Peers that mean harm, or behave as if: what they may not reach, hold or bring down."""
import socket
import struct
import time

from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed, Mllp, frame


def https(broker, identity):
    """A connection to the pull API that is written byte by byte."""
    client = Mllp(broker.ports["pull"], identity, broker.authority.pem)
    broker.clients.append(client)
    return client


def request(client, path, **headers):
    rows = [f"GET {path} HTTP/1.1", "Host: liaison"] + [f"{name}: {value}" for name, value in headers.items()]
    client.send("\r\n".join(rows + ["", ""]).encode())


def abort(client):
    """End with a reset, as a machine that dies does."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def fill(broker, identity, count, **fields):
    """So many messages, sent at once, accepted in their order."""
    client = broker.mllp(identity)
    contents = [message(**fields) for _ in range(count)]
    client.send(b"".join(frame(content) for content in contents))
    for content in contents:
        ack = client.ack(20)
        assert ack.code == "AA" and f"|{ack.control}|".encode() in content, ack.raw


def count_answers(client, status, wanted, seconds=10):
    """Read until so many answers with this status have begun, or the end."""
    end = time.monotonic() + seconds
    mark = b"HTTP/1.1 %d " % status
    while client.held.count(mark) < wanted:
        try:
            client.more(end - time.monotonic())
        except Closed:
            break
    return client.held.count(mark)


def test_pipelined_requests_wait_for_their_reader(broker, authority):
    """More answers than a connection may have buffered: none is lost, and the connection lives on."""
    client = https(broker, authority.ehpad)
    client.send(b"GET /v1/inboxes HTTP/1.1\r\nHost: liaison\r\n\r\n" * 1500)
    assert count_answers(client, 200, 1500) == 1500
    client.send(b"GET /v1/inboxes HTTP/1.1\r\nHost: liaison\r\n\r\n")
    assert count_answers(client, 200, 1501) == 1501


def test_stop_while_workers_serve_clients_that_left(broker, authority):
    """What workers still did for them is given back: a leak is told at exit."""
    fill(broker, authority.chu, 1000)
    leaving = [https(broker, authority.ehpad) for _ in range(12)]
    for client in leaving:
        request(client, "/v1/inboxes/ehpad/items?limit=1000")
    time.sleep(0.03)
    for client in leaving:
        abort(client)
    time.sleep(0.03)
    assert broker.stop() == 0


def test_a_reader_that_does_not_read_gives_its_large_slot_back(brokers, configuration, authority):
    """Large content is read at large_rate or not at all: else few readers would stop every large message."""
    configuration.limits.update(large_slots=1, large_rate="16M")
    broker = brokers(configuration).start()
    large = message(filler=12 << 20)
    assert broker.mllp(authority.chu).ask(large, 30).code == "AA"
    lazy = https(broker, authority.ehpad)
    request(lazy, "/v1/messages/2")
    broker.wait_log("read-content", id=2)
    eager = broker.pull(authority.ehpad)
    assert eager.message(2).status == 503
    line = broker.wait_log("disconnected", 8, end="slow-reader")
    assert int(line["seconds"]) <= 5
    answer = eager.message(2)
    assert (answer.status, answer.body) == (200, large)


def oru(documents, title):
    return message(kind="ORU^R01", body="PID|1||4711\r" + "\r".join(
        f"OBX|{i + 1}|ED|11488-4^{title}^LN||^TEXT^XML^Base64^QUJD" for i in range(documents)))


def test_facts_past_their_ceiling_are_the_contents_fault(broker, authority):
    """What can never be journalled is not answered with "resend later"; what fits is listed."""
    sender = broker.mllp(authority.chu)
    for content in (oru(1000, "t" * 5000), message(application="A" * (5 << 20))):
        ack = sender.ask(content, 20)
        assert (ack.code, ack.errors[0].code) == ("AE", "207"), ack.raw
    assert sender.ask(oru(1000, "t" * 900), 20).code == "AA"
    listed = broker.pull(authority.ehpad).items("ehpad", limit=1000)
    assert listed.status == 200 and len(listed.body) < 1100000
    assert [item["document_count"] for item in listed.json["items"]] == [1000]

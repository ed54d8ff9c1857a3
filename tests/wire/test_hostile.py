# SPDX-License-Identifier: Apache-2.0
"""Peers that mean harm, or behave as if: what they may not reach, hold or bring down."""
import time

from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed, Mllp


def https(broker, identity):
    """A connection to the pull API that is written byte by byte."""
    client = Mllp(broker.ports["pull"], identity, broker.authority.pem)
    broker.clients.append(client)
    return client


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

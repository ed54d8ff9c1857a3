# SPDX-License-Identifier: Apache-2.0
"""Many connections, slow ones, rude ones: what one sender does never harms another."""
import contextlib
import socket
import struct
import threading
import time

from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import CR, FS, VT, frame


def test_many_senders_at_once(broker, authority):
    """Each answer belongs to its own sender, in its order."""
    senders, each = 16, 50
    wrong = []

    def send(number):
        client = broker.mllp(authority.chu)
        sent = [f"S{number}-{n}" for n in range(each)]
        client.send(b"".join(frame(message(control, application=f"APP{number}")) for control in sent))
        got = [client.ack() for _ in sent]
        if [ack.control for ack in got] != sent or {ack.code for ack in got} != {"AA"}:
            wrong.append(number)
    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not wrong
    broker.wait_metric(senders * each, "liaison_waiting", destination="ehpad")
    assert broker.metric("liaison_messages_total", peer="chu") == senders * each


def test_a_sender_that_reads_no_answers(brokers, configuration, authority):
    """It is dropped in time; the others do not notice."""
    configuration.limits.update(answer="1s", output_buffer="64K")
    configuration.peers[0]["junk_quota"] = "1G"
    broker = brokers(configuration).start()
    deaf, other = broker.mllp(authority.chu, receive_buffer=4096), broker.mllp(authority.chu)
    stop = threading.Event()

    def pour():
        # refused, each with an answer: nothing is stored for them
        batch = b"".join(frame(message(version="9.9")) for _ in range(100))
        with contextlib.suppress(OSError):
            while not stop.is_set():
                deaf.send(batch)
    thread = threading.Thread(target=pour)
    thread.start()
    try:
        line = broker.wait_log("disconnected", seconds=60, end="slow-reader", peer="chu")
        slowest = 0
        for _ in range(20):
            since = time.monotonic()
            assert other.ask(message()).code == "AA"
            slowest = max(slowest, time.monotonic() - since)
        assert slowest < 2
    finally:
        stop.set()
        thread.join(30)
    assert int(line["out"]) < 32 << 20


def test_rude_ends_harm_nobody(broker, authority):
    good = broker.mllp(authority.chu)
    for n in range(30):
        rude = broker.mllp(authority.chu)
        rude.send(frame(message()) * 3 + VT + message()[:30])
        if n % 2:
            rude.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
        if n % 10 == 0:
            assert good.ask(message()).code == "AA"
    assert good.ask(message()).code == "AA"
    wait_until(lambda: sum(value for name, value in broker.metrics().items() if name.startswith("liaison_disconnected_total")) == 30)


def test_a_sender_that_half_closes_gets_its_answers(broker, authority):
    chu = broker.mllp(authority.chu)
    sent = [message(f"H{n}") for n in range(30)]
    chu.send(b"".join(frame(one) for one in sent))
    raw = socket.socket(fileno=socket.dup(chu.socket.fileno()))
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    assert [chu.ack().control for _ in sent] == [f"H{n}" for n in range(30)]
    assert chu.ended() == b""


def test_the_end_of_the_connection_ends_no_message(broker, authority):
    """Without its end block a message was never sent, whatever followed it."""
    chu = broker.mllp(authority.chu)
    chu.send(VT + message("OPEN"))
    chu.close()
    assert broker.wait_log("frame-rejected", peer="chu")
    assert not broker.log("received")


def test_hundreds_of_quick_connections(broker, authority):
    for n in range(300):
        client = broker.mllp(authority.chu)
        if n % 10 == 0:
            assert client.ask(message()).code == "AA"
        client.close()
        broker.clients.clear()
    wait_until(lambda: broker.metric("liaison_connections", listener="mllp") == 0)
    assert broker.mllp(authority.chu).ask(message()).code == "AA"


def test_large_messages_wait_for_their_turn(brokers, configuration, authority):
    """One slot for what is large: a second large sender waits, small messages pass."""
    configuration.limits.update(large_slots=1, large_size="64K")
    broker = brokers(configuration).start()
    first, second, small = (broker.mllp(authority.chu) for _ in range(3))
    content = message("LARGE-1", filler=400000)
    first.send(VT + content[:200000])
    time.sleep(0.2)
    second.send(VT + message("LARGE-2", filler=300000)[:200000])
    assert small.ask(message("SMALL")).code == "AA"
    first.send(content[200000:] + FS + CR)
    assert first.ack().control == "LARGE-1"
    second.close()
    assert small.ask(message("SMALL-2")).code == "AA"

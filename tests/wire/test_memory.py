# SPDX-License-Identifier: Apache-2.0
"""The ceiling of memory: a disk that stalls under many senders of messages just below "large", and readers that do not read.

What the process may grow by (conf/man/liaison.conf.5):

    memory + large_size + large_slots x the largest max_size + connections x 104 KiB + workers x (5 x large_size + 14 MiB) + 64 MiB

Nothing is lost, everything is answered in its order once the disk answers.
"""
import random
import socket
import struct
import threading
import time

import pytest

from liaison_harness import BUILD
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination, accept, silence
from liaison_harness.hl7 import message
from liaison_harness.memory import ASAN_OPTIONS, MIB, SANITIZED, Growth, held
from liaison_harness.mllp import Mllp, frame

SENDERS, EACH, SIZE = 40, 6, 900_000
READERS, LAZY = 12, 4
MEMORY, MAX_SIZE, SLOTS, WORKERS = 16 * MIB, 4 * MIB, 2, 2
BOUND = MEMORY + MIB + SLOTS * MAX_SIZE + (SENDERS + READERS + LAZY) * (104 << 10) + WORKERS * 19 * MIB + 64 * MIB
if SANITIZED:
    BOUND += 64 * MIB  # shadow, red zones, what was freed and is kept for a while


def stalling(brokers, configuration, monkeypatch, stall):
    with monkeypatch.context() as env:
        env.setenv("LIAISON_STALL", str(stall))
        env.setenv("LD_PRELOAD", str(BUILD / "tests" / "shim" / "stall.so"))
        env.setenv("ASAN_OPTIONS", ASAN_OPTIONS)
        return brokers(configuration).start()


def limited(configuration, memory):
    configuration.limits.update(memory=str(memory), large_slots=SLOTS, workers=WORKERS, answer="30s", frame="60s")
    configuration.journal["segment_size"] = "64M"
    for peer in configuration.peers:
        peer.update(max_size=str(MAX_SIZE), max_connections=200)


def contents(number):
    return [message(f"M{number}-{n}", filler=SIZE) for n in range(EACH)]


class Load:
    """Senders that pipeline, senders that read nothing for now, and readers that do not read what they asked for."""

    def __init__(self, broker, authority):
        self.broker = broker
        self.senders = [broker.mllp(authority.chu) for _ in range(SENDERS)]
        self.lazy = [broker.mllp(authority.chu, receive_buffer=4096) for _ in range(LAZY)]
        self.readers = [Mllp(broker.ports["pull"], authority.ehpad, authority.pem, receive_buffer=4096) for _ in range(READERS)]
        broker.clients += self.readers
        self.threads, self.wrong = [], []

    def start(self):
        for reader in self.readers:
            reader.send(b"GET /v1/messages/2 HTTP/1.1\r\nHost: a\r\n\r\n")
        for number, sender in enumerate(self.senders):
            self.run(self.pour, sender, contents(number))
        for number, sender in enumerate(self.lazy):
            self.run(self.pour, sender, [message(f"L{number}-{n}", version="9.9") for n in range(400)])

    def run(self, what, *arguments):
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def pour(self, client, messages):
        try:
            for one in messages:
                client.socket.settimeout(60)
                client.send(frame(one))
        except OSError as problem:
            self.wrong.append(problem)

    def collect(self, client, controls, code):
        try:
            got = [(ack.control, ack.code) for ack in (client.ack(60) for _ in controls)]
            if got != [(control, code) for control in controls]:
                self.wrong.append(got)
        except Exception as problem:  # told by the test
            self.wrong.append(problem)

    def read(self, reader, wanted):
        """The whole message, or to be asked for again."""
        try:
            while b"\r\n\r\n" not in reader.held:
                reader.more(60)
            head, _, body = reader.held.partition(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in head:
                return
            while len(body) < len(wanted):
                reader.more(60)
                body = reader.held.partition(b"\r\n\r\n")[2]
            if not head.startswith(b"HTTP/1.1 200 ") or body != wanted:
                self.wrong.append(head)
        except Exception as problem:  # told by the test
            self.wrong.append(problem)

    def finish(self, wanted):
        for reader in self.readers:
            self.run(self.read, reader, wanted)
        for number, sender in enumerate(self.senders):
            self.run(self.collect, sender, [f"M{number}-{n}" for n in range(EACH)], "AA")
        for number, sender in enumerate(self.lazy):
            self.run(self.collect, sender, [f"L{number}-{n}" for n in range(400)], "AE")
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)
        assert not self.wrong, self.wrong[:3]


def settled(pid):
    """Nothing more comes in."""
    last, same = held(pid)[0], 0
    while same < 5:
        time.sleep(0.1)
        now = held(pid)[0]
        same, last = (same + 1, now) if abs(now - last) < MIB else (0, now)


def test_a_stalled_disk_under_many_senders(brokers, configuration, authority, monkeypatch, tmp_path, capsys):
    stall = tmp_path / "stall"
    limited(configuration, MEMORY)
    broker = stalling(brokers, configuration, monkeypatch, stall)
    first = message("FIRST", filler=SIZE)
    assert broker.mllp(authority.chu).ask(first, 20).code == "AA"
    load = Load(broker, authority)
    with Growth(broker.process.pid) as growth:
        stall.write_text("")
        load.start()
        settled(broker.process.pid)
        assert broker.metric("liaison_memory_held_bytes") <= MEMORY + MIB
        assert broker.admin("/healthz")[0] == 200
        stall.unlink()
        load.finish(first)
        most = growth.most
    with capsys.disabled():
        print(f"\nunder a stalled disk: {most / MIB:.0f} MiB more, {BOUND / MIB:.0f} allowed{', sanitized' if SANITIZED else ''}")
    assert most < BOUND, f"{most / MIB:.0f} MiB more, {BOUND / MIB:.0f} allowed"
    assert broker.log("memory-ceiling")
    assert broker.mllp(authority.chu).ask(message("LAST")).code == "AA"
    broker.wait_metric(SENDERS * EACH + 2, "liaison_messages_total", peer="chu")
    load.broker.close_clients()
    broker.wait_metric(0, "liaison_memory_held_bytes")


def test_the_measure_sees_a_missing_ceiling(brokers, configuration, authority, monkeypatch, tmp_path):
    """The same load under a limit that is none: the test above would have failed."""
    stall = tmp_path / "stall"
    limited(configuration, 4096 * MIB)
    broker = stalling(brokers, configuration, monkeypatch, stall)
    first = message("FIRST", filler=SIZE)
    assert broker.mllp(authority.chu).ask(first, 20).code == "AA"
    load = Load(broker, authority)
    with Growth(broker.process.pid) as growth:
        stall.write_text("")
        load.start()
        settled(broker.process.pid)
        assert growth.most > BOUND
        stall.unlink()
        load.finish(first)


def test_one_frame_always_comes_to_its_end(brokers, configuration, authority):
    """Every byte of the account is held by half frames: those end nevertheless, one after the other."""
    limited(configuration, MEMORY)
    configuration.limits["large_rate"] = "256K"
    broker = brokers(configuration).start()
    halves = [message(f"H{n}", filler=SIZE) for n in range(30)]
    senders = [broker.mllp(authority.chu) for _ in halves]
    pushers = []
    for sender, content in zip(senders, halves):
        thread = threading.Thread(target=sender.send, args=(b"\x0b" + content[:800_000],), daemon=True)
        thread.start()
        pushers.append(thread)
    settled(broker.process.pid)
    assert broker.log("memory-ceiling")
    answers = []

    def end(sender, content, pusher):
        pusher.join(60)
        sender.socket.settimeout(60)
        sender.send(content[800_000:] + b"\x1c\r")
        answers.append(sender.ack(60))
    ends = [threading.Thread(target=end, args=three, daemon=True) for three in zip(senders, halves, pushers)]
    for thread in ends:
        thread.start()
    for thread in ends:
        thread.join(60)
    assert {(ack.control, ack.code) for ack in answers} == {(f"H{n}", "AA") for n in range(30)}


@pytest.mark.parametrize("memory, held", [(MEMORY, (0, MEMORY + MIB)), (1024 * MIB, (2 * MEMORY, 1024 * MIB))], ids=["16M", "1G"])
def test_reading_ahead_for_destinations(brokers, configuration, authority, memory, held):
    """Destinations that do not answer: what is read ahead for them keeps the ceiling, and each gets everything in the end."""
    names = [f"lab-{n}" for n in range(16)]
    server = Destination(authority, usual=silence).start()
    try:
        limited(configuration, memory)
        for name in names:
            configuration.destination(name, server.port, acknowledgement="60s", retry_first="100ms", retry_longest="200ms")
        configuration.routes[0]["to"] = names
        broker = brokers(configuration).start()
        chu = broker.mllp(authority.chu)
        sent = [message(f"D{n}", filler=SIZE) for n in range(6)]
        for content in sent:
            assert chu.ask(content, 20).code == "AA"
        wait_until(lambda: len(server.messages) == len(names))
        settled(broker.process.pid)
        assert held[0] <= broker.metric("liaison_memory_held_bytes") <= held[1]
        server.usual = accept
        server.cut()
        wait_until(lambda: all(broker.metric("liaison_delivered_total", destination=name) == len(sent) for name in names), 30)
        broker.wait_metric(0, "liaison_memory_held_bytes")
    finally:
        server.stop()


def test_whatever_ends_how_the_account_is_empty_behind_it(brokers, configuration, authority, monkeypatch, tmp_path):
    """Frames, requests and answers cut off anywhere, by resets, ends and silence, while memory is short and the disk stalls now and then."""
    stall, chance = tmp_path / "stall", random.Random(7)
    limited(configuration, MEMORY)
    configuration.limits.update(answer="1s", frame="3s", body="2s", large_rate="1M")
    for peer in configuration.peers:
        peer["junk_quota"] = "1G"
    broker = stalling(brokers, configuration, monkeypatch, stall)
    first = message("FIRST", filler=SIZE)
    good = broker.mllp(authority.chu)
    assert good.ask(first, 20).code == "AA"
    over, enough = time.monotonic() + 4, threading.Event()
    problems = []

    def used():
        return broker.log("memory-ceiling") and all(len(lines) > 20 for lines in (broker.log("frame-rejected", cause="frame-cut"),
                                                                                  broker.log("received")))

    def misbehave(seed):
        dice = random.Random(seed)
        while not enough.is_set():
            try:
                sending = dice.random() < 0.7
                client = Mllp(broker.ports["mllp" if sending else "pull"], authority.chu if sending else authority.ehpad, authority.pem,
                              receive_buffer=dice.choice([None, 4096]))
            except OSError:
                continue  # refused for its number
            try:
                client.socket.settimeout(0.3)
                content = frame(message(filler=dice.choice([0, 3000, 70_000, SIZE, 2_000_000]))) * dice.randint(1, 3)
                if not sending:
                    content = dice.choice([b"GET /v1/messages/2 HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\n"
                                           b"Content-Length: 900000\r\n\r\n" + b" " * 900_000])
                client.socket.sendall(content[:dice.randint(1, len(content))])
                if dice.random() < 0.5:
                    client.socket.recv(dice.randint(1, 100_000))
                if dice.random() < 0.3:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            except Exception as problem:  # told by the test
                problems.append(problem)
            finally:
                client.close()
    threads = [threading.Thread(target=misbehave, args=(seed,), daemon=True) for seed in range(24)]
    for thread in threads:
        thread.start()
    while time.monotonic() < over or (not used() and time.monotonic() < over + 60):
        stall.write_text("")
        time.sleep(chance.random() * 0.5)
        stall.unlink()
        time.sleep(chance.random() * 0.3)
    enough.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads) and not problems, problems[:3]
    assert good.ask(message("LAST"), 20).code == "AA"
    broker.wait_metric(0, "liaison_memory_held_bytes")
    assert used()


def test_half_frames_of_one_peer_keep_nobody_else_out(brokers, configuration, authority):
    """A peer with more half frames than memory allows, kept alive a byte at a time: another's messages are answered as ever."""
    evil = authority.issue("evil")
    configuration.peer("evil", evil)
    configuration.limits.update(memory="16M", frame="60s")
    for peer in configuration.peers:
        peer.update(max_connections=100, junk_quota="1G")
    broker = brokers(configuration).start()
    halves = [broker.mllp(evil) for _ in range(40)]
    over = threading.Event()

    def trickle():
        for half in halves:
            try:
                half.socket.settimeout(0.05)
                half.send(frame(message(filler=SIZE))[:SIZE])
            except OSError:
                pass  # it is not read any more: that is the point
        while not over.wait(0.1):
            for half in halves:
                try:
                    half.send(b"y")
                except OSError:
                    pass
    threading.Thread(target=trickle, daemon=True).start()
    wait_until(lambda: broker.metric("liaison_memory_held_bytes") >= 7 * MIB, what="that half frames fill what they may")
    good, slowest = broker.mllp(authority.chu), 0
    for _ in range(20):
        since = time.monotonic()
        assert good.ask(message(filler=300_000), 20).code == "AA"
        slowest = max(slowest, time.monotonic() - since)
        time.sleep(0.05)
    over.set()
    assert slowest < 5, f"one waited {slowest:.1f} s"
    assert broker.metric("liaison_memory_held_bytes") < 12 * MIB

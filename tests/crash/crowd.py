# SPDX-License-Identifier: Apache-2.0
"""A thousand peers over mutual TLS that are a nuisance each in its way, and a flood of handshakes that never come to anything."""
import asyncio
import logging
import random
import selectors
import socket
import ssl
import struct
import threading
import time

from liaison_harness.hl7 import message
from liaison_harness.mllp import client_context, frame

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of what is done to connections on purpose

GREETING_SECONDS = 60
FAMILY = 20  # every so-manieth never reads


class Peer:
    """One of the crowd: comes, has one message acknowledged, and then sends a byte in ten seconds, or more than it will ever read answers to."""

    def __init__(self, crowd, number, identity, authority_pem):
        self.crowd, self.name, self.deaf = crowd, identity.pem.stem, crowd.deaf and number % FAMILY == 0
        self.context = client_context(identity, authority_pem)
        self.sent = 0

    async def live(self):
        while True:
            try:
                await self.once()
            except (OSError, ssl.SSLError, asyncio.TimeoutError, asyncio.IncompleteReadError, EOFError):
                pass
            self.crowd.here.discard(self.name)
            await asyncio.sleep(random.uniform(0.2, 1))

    async def once(self):
        raw = socket.socket()
        if self.deaf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.crowd.port))
        except BaseException:
            raw.close()
            raise
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(sock=raw, ssl=self.context, server_hostname="127.0.0.1", ssl_handshake_timeout=GREETING_SECONDS),
            GREETING_SECONDS)
        try:
            writer.write(frame(self.message()))
            answer = await asyncio.wait_for(reader.readuntil(b"\x1c\r"), GREETING_SECONDS)
            if b"\rMSA|AA|" not in answer:
                self.crowd.refused.append(answer)
            self.crowd.here.add(self.name)
            if self.deaf:
                self.deaf = False  # once is enough
                writer.transport.pause_reading()
                for _ in range(2000):
                    writer.write(frame(self.message()))
                    await asyncio.wait_for(writer.drain(), 30)
                await asyncio.sleep(30)
            for byte in frame(self.message()):
                writer.write(bytes([byte]))
                await writer.drain()
                try:
                    if not await asyncio.wait_for(reader.read(1000), 10):
                        return  # closed, and noticed at once
                except asyncio.TimeoutError:
                    pass
        finally:
            writer.transport.abort()

    def message(self):
        self.sent += 1
        return message(f"{self.name}-{self.crowd.life}-{self.sent}", application=self.name)


class Crowd(threading.Thread):
    lives = 0

    def __init__(self, port, identities, authority_pem, deaf=True):
        super().__init__(daemon=True, name="crowd")
        Crowd.lives += 1
        self.port, self.life, self.deaf = port, Crowd.lives, deaf
        self.here, self.refused = set(), []
        self.peers = [Peer(self, number, identity, authority_pem) for number, identity in enumerate(identities)]
        self.loop = asyncio.new_event_loop()

    def run(self):
        tasks = [self.loop.create_task(peer.live()) for peer in self.peers]
        self.loop.run_forever()
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def all_here(self, seconds):
        """How long it took until all had been answered; an assertion fails after ``seconds``."""
        since = time.monotonic()
        while len(self.here) < len(self.peers):
            assert time.monotonic() < since + seconds, f"{len(self.here)} of {len(self.peers)} peers are there after {seconds} s"
            time.sleep(0.02)
        return time.monotonic() - since

    def settled(self, seconds):
        """Those that never read send no more: they have sent it all, or nobody takes it."""
        end, quiet, sent = time.monotonic() + seconds, time.monotonic(), -1
        while time.monotonic() < quiet + 1:
            assert time.monotonic() < end, f"messages are still taken after {seconds} s from those who read no answer"
            now = sum(peer.sent for peer in self.peers)
            if now != sent:
                quiet, sent = time.monotonic(), now
            time.sleep(0.05)

    def leave(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(60)
        assert not self.is_alive()


def hello():
    """The first flight of a client, which costs a server its key and a signature, and whoever replays it next to nothing."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Flood(threading.Thread):
    """As many handshakes as the broker takes, ``width`` at a time; each is given up once the broker has done its part."""

    def __init__(self, port, width=200):
        super().__init__(daemon=True, name="flood")
        self.port, self.width, self.over = port, width, threading.Event()
        self.answered = self.failed = 0
        self.hello = hello()

    def begin(self, selector):
        one = socket.socket()
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.connect_ex(("127.0.0.1", self.port))
        selector.register(one, selectors.EVENT_WRITE)

    def step(self, selector, one, events):
        try:
            if events & selectors.EVENT_WRITE:
                one.send(self.hello)
                selector.modify(one, selectors.EVENT_READ)
                return
            self.answered += bool(one.recv(65536))
        except OSError:
            self.failed += 1
        selector.unregister(one)
        one.close()
        self.begin(selector)

    def run(self):
        with selectors.DefaultSelector() as selector:
            for _ in range(self.width):
                self.begin(selector)
            while not self.over.is_set():
                for key, events in selector.select(0.1):
                    self.step(selector, key.fileobj, events)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def end(self):
        self.over.set()
        self.join(30)
        assert not self.is_alive()

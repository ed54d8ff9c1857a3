# SPDX-License-Identifier: Apache-2.0
"""A receiver behind a destination: MLLP over mutual TLS, a thread for each connection, that can answer in every wrong way.

What it does with a message is a behaviour: a function of the connection and the message. Those given with ``next`` are used up one by one,
first come first served; then ``usual`` is what it does. It writes down what came, what it answered, and when connections ended.
"""
import hashlib
import itertools
import socket
import ssl
import struct
import threading
import time

from .duplex import Duplex
from .mllp import CR, FS, VT, frame

PATIENCE = 10


def acknowledgement(code, control, error=None, place="", words=""):
    rows = ["MSH|^~\\&|DESTINATION|THERE|LIAISON|PFI|20261121120000+0100||ACK|%d|T|2.5" % next(_numbers), f"MSA|{code}|{control}"]
    if error:
        rows.append(f"ERR||{place}|{error}|E||||{words}")
    return "".join(row + "\r" for row in rows).encode()


_numbers = itertools.count(1)


class Message:
    """One arrival."""

    def __init__(self, content, connection):
        self.content, self.connection, self.time = content, connection, time.monotonic()
        self.sha = hashlib.sha256(content).hexdigest()
        self.fields = content[:4096].split(b"\r")[0].decode("latin-1").split("|")
        self.control, self.application = self.fields[9], self.fields[2]
        self.answered = None  # the code that was sent for it

    def __repr__(self):
        return f"<{self.application} {self.control} on {self.connection.number}: {self.answered}>"


# Behaviours

def accept(connection, message):
    connection.answer("AA", message)


def code(which, error=None, place="", words=""):
    def behave(connection, message):
        connection.answer(which, message, error=error, place=place, words=words)
    return behave


def late(seconds, which="AA"):
    """The answer leaves so late, whatever happens meanwhile."""
    def behave(connection, message):
        def answer():
            try:
                connection.answer(which, message)
            except (OSError, ValueError):
                pass
        timer = threading.Timer(seconds, answer)
        timer.daemon = True
        timer.start()
    return behave


def times(count):
    def behave(connection, message):
        for _ in range(count):
            connection.answer("AA", message)
    return behave


def of_another(control, which="AA", then=None):
    """An answer for another message; then perhaps what is to be done with this one."""
    def behave(connection, message):
        connection.send(frame(acknowledgement(which, control)))
        if then:
            then(connection, message)
    return behave


def silence(connection, message):
    pass


def garbage(content=b"\x0bthis is no acknowledgement\x1c\r"):
    def behave(connection, message):
        connection.send(content)
    return behave


def half(connection, message):
    """Half an answer, then the end."""
    whole = frame(acknowledgement("AA", message.control))
    connection.send(whole[:len(whole) // 2])
    connection.close()


def slowly(pause=0.005):
    def behave(connection, message):
        for byte in frame(acknowledgement("AA", message.control)):
            connection.send(bytes([byte]))
            time.sleep(pause)
        connection.said("AA", message)
    return behave


def hang_up(connection, message):
    """Closes without an answer."""
    connection.close()


def reset(connection, message):
    connection.reset()


def accept_and_hang_up(connection, message):
    connection.answer("AA", message)
    connection.close()


class Connection(threading.Thread):
    def __init__(self, server, raw, number):
        super().__init__(daemon=True, name=f"destination-{number}")
        self.server, self.raw, self.number, self.socket = server, raw, number, None
        self.lock = threading.Lock()
        self.over = False
        self.held = bytearray()
        self.waiting = []  # messages that it may not have answered yet

    def send(self, content):
        with self.lock:
            self.socket.sendall(content)

    def said(self, which, message):
        message.answered = which
        self.server.note("answered", self, message, which)

    def answer(self, which, message, **error):
        # Noted first: once it is sent, the broker may have read it.
        self.said(which, message)
        self.send(frame(acknowledgement(which, message.control, **error)))

    def close(self):
        self.over = True
        for end in (lambda: self.socket.unwrap(), lambda: self.raw_close()):
            try:
                self.socket.settimeout(0.2)
                end()
            except (OSError, ValueError):
                pass

    def raw_close(self):
        (self.socket or self.raw).close()

    def reset(self):
        self.over = True
        one = self.socket or self.raw
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if threading.current_thread() is self:
            one.close()
        else:
            socket.socket.shutdown(self.socket.tls if self.socket else one, socket.SHUT_RD)  # its own thread wakes up and closes

    def run(self):
        try:
            self.socket = Duplex(self.server.context.wrap_socket(self.raw, server_side=True))
            self.server.note("opened", self)
            self.server.greet(self)
            self.read()
        except (OSError, ValueError) as end:
            self.server.note("failed" if self.socket is None else "broken", self, why=str(end))
        finally:
            self.server.note("closed", self)
            self.raw_close()
            self.server.connections.discard(self)

    def read(self):
        held = self.held
        while not self.over:
            got = self.socket.recv(1 << 20)
            if not got:
                return
            seen = max(len(held) - 1, 0)
            held += got
            while (end := held.find(FS + CR, seen)) >= 0:
                assert held[:1] == VT, f"not a frame: {bytes(held[:80])!r}"
                content = bytes(held[1:end])
                del held[:end + 2]
                seen = 0
                self.server.take(self, content)
                if self.over:
                    return
            if self.server.sip:
                time.sleep(self.server.sip)


class Destination:
    """Listens on the loopback from ``start`` to ``stop``, on one port for its life."""

    def __init__(self, authority, identity=None, usual=accept, version=None, greet=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity = identity or authority.server
        self.context.load_cert_chain(identity.pem, identity.key_file)
        self.context.load_verify_locations(authority.pem)
        self.context.verify_mode = ssl.CERT_REQUIRED
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.usual = usual
        self.greeting = greet  # a function of each new connection, before it is read
        self.sip = 0  # a pause after every read
        self.script, self.messages, self.events = [], [], []
        self.connections = set()
        self.lock = threading.Lock()
        self.listener, self.port, self.count = None, 0, 0
        self.equal = 0  # how often two messages of one id were unanswered at a time
        self.most = 0  # the most messages unanswered at a time

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True, name="destination").start()
        return self

    def accept(self, listener):
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.count += 1
                connection = Connection(self, raw, self.count)
                self.connections.add(connection)
            connection.start()

    def stop(self):
        """No listener, and every connection reset: as a machine that went down."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        for connection in list(self.connections):
            try:
                connection.reset()
            except OSError:
                pass

    # What is to be done

    def next(self, *behaviours):
        with self.lock:
            self.script += behaviours

    def greet(self, connection):
        if self.greeting:
            self.greeting(connection)

    # What was

    def note(self, what, connection, message=None, which=None, why=""):
        with self.lock:
            self.events.append((what, connection.number, message, which, why))

    def take(self, connection, content):
        message = Message(content, connection)
        with self.lock:
            waiting = [one for one in connection.waiting if one.answered is None]
            connection.waiting = [*waiting, message]
            self.equal += any(one.control == message.control for one in waiting)
            self.most = max(self.most, len(waiting) + 1)
            self.messages.append(message)
            self.events.append(("arrived", connection.number, message, None, ""))
            behave = self.script.pop(0) if self.script else self.usual
        behave(connection, message)

    @property
    def controls(self):
        """Of all arrivals, in their order."""
        with self.lock:
            return [message.control for message in self.messages]

    @property
    def first_arrivals(self):
        """Each message once, in the order of its first arrival."""
        with self.lock:
            return list(dict.fromkeys((message.application, message.control, message.sha) for message in self.messages))

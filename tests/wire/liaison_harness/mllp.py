# SPDX-License-Identifier: Apache-2.0
"""A sender over MLLP and mutual TLS, and a reader of acknowledgements. Knows nothing of the broker's code."""
import re
import socket
import ssl
import time

from .duplex import Duplex

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
PATIENCE = 10


def frame(content):
    return VT + content + FS + CR


def client_context(identity, authority_pem, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority_pem)
    if identity:
        context.load_cert_chain(identity.pem, identity.key_file)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class Closed(Exception):
    """The broker has ended the connection; ``rest`` came before and is no whole frame."""

    def __init__(self, rest):
        super().__init__(f"closed behind {rest!r}")
        self.rest = rest


class Mllp:
    def __init__(self, port, identity, authority_pem, version=None, receive_buffer=None):
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect(("127.0.0.1", port))
        self.socket = Duplex(client_context(identity, authority_pem, version).wrap_socket(raw, server_hostname="127.0.0.1"))
        self.held = b""

    def send(self, content):
        """Bytes as they are."""
        self.socket.sendall(content)

    def frame(self, content):
        self.send(frame(content))

    def more(self, seconds):
        """Read once. TimeoutError, or Closed at the end."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            got = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError) as end:
            raise Closed(self.held) from end
        finally:
            self.socket.settimeout(PATIENCE)
        if not got:
            raise Closed(self.held)
        self.held += got

    def receive(self, seconds=PATIENCE):
        """The content of the next frame; nothing may stand between frames."""
        end = time.monotonic() + seconds
        while FS + CR not in self.held:
            self.more(end - time.monotonic())
        content, _, self.held = self.held.partition(FS + CR)
        assert content[:1] == VT, f"not a frame: {content!r}"
        assert VT not in content[1:]
        return content[1:]

    def ack(self, seconds=PATIENCE):
        return Ack(self.receive(seconds))

    def ask(self, content, seconds=PATIENCE):
        """Send one message, wait for its acknowledgement."""
        self.frame(content)
        return self.ack(seconds)

    def silent(self, seconds):
        """True when nothing comes for so long."""
        try:
            self.more(seconds)
        except TimeoutError:
            return not self.held
        return False

    def ended(self, seconds=PATIENCE):
        """What still came before the broker closed; TimeoutError when it does not."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.more(end - time.monotonic())
            except Closed as closed:
                self.held = b""
                return closed.rest

    def finish(self):
        """We have sent our last byte (FIN, without close_notify: as most senders do)."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


class Ack:
    """An acknowledgement, split as HL7 says: fields by MSH-1, components by MSH-2."""

    def __init__(self, raw):
        self.raw = raw
        assert raw.startswith(b"MSH") and raw.endswith(b"\r"), raw
        assert b"\n" not in raw
        self.text = raw.decode("latin-1")
        self.bar, self.hat, self.tilde, self.backslash, self.ampersand = self.text[3:8]
        self.segments = [row.split(self.bar) for row in self.text[:-1].split("\r")]
        names = [segment[0] for segment in self.segments]
        assert names[:2] == ["MSH", "MSA"] and set(names[2:]) <= {"ERR"}, names
        self.errors = [Error(self, segment) for segment in self.segments[2:]]

    def msh(self, number):
        """MSH-n; MSH-1 is the separator itself."""
        fields = self.segments[0]
        return fields[number - 1] if number - 1 < len(fields) else ""

    def msa(self, number):
        fields = self.segments[1]
        return fields[number] if number < len(fields) else ""

    @property
    def code(self):
        return self.msa(1)

    @property
    def control(self):
        """MSA-2: which message it is about."""
        return self.msa(2)


class Error:
    """An ERR segment of either form: 2.5 (ERR-2, 3, 4) or before (ERR-1)."""

    def __init__(self, ack, fields):
        fields = fields + [""] * 9
        self.old = not fields[3]
        if self.old:
            place = fields[1].split(ack.hat)
            self.place, coded = place[:3], (place + [""] * 4)[3].split(ack.ampersand)
        else:
            self.place, coded = fields[2].split(ack.hat), fields[3].split(ack.hat)
        self.place = "^".join(self.place).rstrip("^")
        self.code, self.words, self.table = (coded + ["", "", ""])[:3]
        self.severity, self.application = fields[4], fields[5]


_PATH = re.compile(r"([A-Z][A-Z0-9]{2})?(?:\((\d+)\))?(?:-(\d+)(?:\((\d+)\))?(?:\.(\d+)(?:\.(\d+))?)?)?$")


def place_of(path, old=False):
    """Where a path of ours stands in ERR-2 (ERL of 2.5), or in ERR-1 (old: no finer than a field)."""
    if not path:
        return ""
    segment, occurrence, field, repetition, component, part = _PATH.match(path).groups()
    parts = [segment or "", occurrence or "1"]
    if field:
        parts.append(field)
        if component and not old:
            parts += [repetition or "1", component] + ([part] if part else [])
        elif repetition and not old:
            parts.append(repetition)
    return "^".join(parts)

# SPDX-License-Identifier: Apache-2.0
"""Senders that pipeline over mutual TLS and never give up: each keeps what is not acknowledged, and sends again from the first of it on a
new connection when the old one ends. What each did and saw is kept in the form that checker.py reads."""
import hashlib
import random
import re
import ssl
import threading
import time

from liaison_harness.mllp import Closed, Mllp, frame

PRINTABLE = bytes(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[n % 64] for n in range(256))
MSA = re.compile(rb"\rMSA\|(A[AER])\|([^|\r]*)")

# Which share of the messages has how many bytes: most are small, some take the way of large ones (other threads, other memory).
SIZES = ((70, 200, 2_000), (22, 2_000, 64_000), (7, 64_000, 200_000), (1, 1_050_000, 1_500_000))


def made(rng, sender, number):
    """(control id, bytes) of one message; nobody else sends the same."""
    _, low, high = rng.choices(SIZES, weights=[share for share, _, _ in SIZES])[0]
    control = f"{sender}-{number:07d}"
    head = f"MSH|^~\\&|{sender}|CHU|LIAISON|PFI|20261121120000+0100||ORU^R01^ORU_R01|{control}|T|2.5\r" \
           f"PID|1||{number}^^^CHU||LILAS^ROSE\rOBX|1|TX|11502-2^CR^LN||"
    text = rng.randbytes(max(0, rng.randrange(low, high) - len(head))).translate(PRINTABLE)
    return control, head.encode() + text + b"||||||F\r"


class Message:
    __slots__ = ("control", "content", "sha")

    def __init__(self, control, content):
        self.control, self.content = control, content
        self.sha = hashlib.sha256(content).hexdigest()


class Allowance:
    """Bytes that all senders together may hand to connections; they wait when it is used up."""

    def __init__(self):
        self.lock, self.left = threading.Lock(), 0

    def set(self, size):
        with self.lock:
            self.left = size

    def take(self, size):
        with self.lock:
            if self.left <= 0:
                return False
            self.left -= size
            return True


class Sender(threading.Thread):
    def __init__(self, name, seed, port, identity, authority_pem, depth, allowance):
        super().__init__(name=name, daemon=True)
        self.rng = random.Random(seed)
        self.port, self.identity, self.authority_pem, self.depth, self.allowance = port, identity, authority_pem, depth, allowance
        self.record = []  # lines of SENT
        self.held = []  # made and not acknowledged, oldest first; the first `flying` of them are on the connection
        self.flying = 0
        self.count = 0  # made
        self.bytes = 0  # handed to connections
        self.codes = {"AA": 0, "AE": 0, "AR": 0}
        self.connections = self.cuts = 0
        self.last = None  # the last message acknowledged AA
        self.ending = threading.Event()  # no new messages: get the rest acknowledged and end
        self.giving_up = threading.Event()  # end now, acknowledged or not
        self.patience = 60  # for an answer, in seconds
        self.failure = None

    def make(self):
        """The message with number ``count``."""
        return Message(*made(self.rng, self.name, self.count))

    def run(self):
        try:
            while not self.done():
                self.connect()
        except BaseException as failure:  # told by whoever joins
            self.failure = failure

    def done(self):
        return self.giving_up.is_set() or (self.ending.is_set() and not self.held)

    def connect(self):
        try:
            client = Mllp(self.port, self.identity, self.authority_pem)
        except (OSError, ssl.SSLError):
            time.sleep(0.02)
            return
        self.connections += 1
        self.flying = 0
        try:
            while not self.done():
                self.step(client)
        except (OSError, ssl.SSLError, Closed):
            pass
        if self.flying:
            self.cuts += 1
            self.record.append(f"cut\t{self.name}\n")
        client.close()

    def step(self, client):
        """Fill the window, then wait for an answer."""
        while self.flying < self.depth:
            if self.flying == len(self.held):
                if self.ending.is_set():
                    break
                self.held.append(self.make())
                self.count += 1
            message = self.held[self.flying]
            if not self.ending.is_set() and not self.allowance.take(len(message.content)):
                break
            self.record.append(f"send\t{self.name}\t{message.control}\t{message.sha}\n")
            self.flying += 1
            self.bytes += len(message.content)
            client.frame(message.content)
        if not self.flying:
            time.sleep(0.01)
            return
        self.answered(client.receive(self.patience))

    def answered(self, answer):
        code, control = (part.decode() for part in MSA.search(answer).groups())
        expected = self.held[0].control
        assert control == expected, f"{self.name}: an acknowledgement of {control} where that of {expected} was due"
        self.record.append(f"ack\t{self.name}\t{control}\t{code}\n")
        self.codes[code] += 1
        assert code == "AA", f"{self.name}: {control} was answered {answer!r}"
        self.last = self.held.pop(0)
        self.flying -= 1

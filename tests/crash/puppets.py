#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Senders and receivers that are processes of their own, so that they can be stopped, continued and killed, and go on where they were.

What each did and saw is in its record (the files that checker.py and receipts.py read), written before the act: a killed one loses none of it. A
sender takes up its work from its record; its messages come from its seed and their numbers.

As a program (puppets.py sender|receiver JSON) it is such a process. Once the file RECORD.end is there, a sender gets acknowledged what it has and
ends, and a receiver accepts everything: unlike a signal that says this to whoever comes up just now, too.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "wire")]


class Record:
    """Lines in a file; each is with the system when append() returns."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, line):
        os.write(self.descriptor, line.encode())


class Allowance:
    """So many bytes a second, and no more than that saved up."""

    def __init__(self, rate):
        self.rate, self.left, self.since = rate, rate, time.monotonic()

    def take(self, size):
        now = time.monotonic()
        self.left, self.since = min(self.rate, self.left + (now - self.since) * self.rate), now
        if self.left <= 0:
            return False
        self.left -= size
        return True


def identity_of(words):
    return types.SimpleNamespace(pem=words["certificate"], key_file=words["key"])


def the_end(words):
    return os.path.exists(words["record"] + ".end")


def sender_process(words):
    import senders

    class Durable(senders.Sender):
        def make(self):
            return self.message(self.count)

        def message(self, number):
            return senders.Message(*senders.made(random.Random(f"{words['seed']} {number}"), self.name, number))

        def take_up(self, lines):
            """What was not acknowledged before is on no connection any more."""
            acknowledged = sum(line.startswith("ack\t") for line in lines)
            made = len({line.split("\t")[2] for line in lines if line.startswith("send\t")})
            self.held = [self.message(number) for number in range(acknowledged, made)]
            self.count = made

    path = pathlib.Path(words["record"])
    lines = path.read_text().splitlines() if path.exists() else []
    sender = Durable(words["name"], None, words["port"], identity_of(words), words["authority"], words["depth"], Allowance(words["rate"]))
    sender.record = Record(path)
    sender.record.append(f"cut\t{sender.name}\n")
    sender.patience = words["patience"]
    sender.take_up(lines)
    sender.start()
    while sender.is_alive():
        sender.join(0.1)
        if not sender.ending.is_set() and the_end(words):
            sender.ending.set()
    if sender.failure:
        raise sender.failure


def receiver_process(words):
    import receivers

    class Durable(receivers.Receiver):
        def write(self, line):
            self.file.append(line)

    identity = identity_of(words)
    receiver = Durable(words["name"], f"{words['seed']} {words['life']}", types.SimpleNamespace(pem=words["authority"], server=identity),
                       identity, words["window"])
    receiver.file = Record(words["record"])
    receiver.count = words["life"] * 100000  # no number twice
    receiver.port = words["port"]
    receiver.start()
    while not the_end(words):
        time.sleep(0.1)
    receiver.make_good()
    threading.Event().wait()


class Puppet:
    def __init__(self, kind, **words):
        self.kind, self.words, self.process = kind, words, None
        self.name = words["name"]
        self.lives = 0
        self.stderr = pathlib.Path(words["record"] + ".stderr")

    def launch(self):
        self.lives += 1
        self.words["life"] = self.lives
        with open(self.stderr, "ab") as stderr:
            self.process = subprocess.Popen([sys.executable, HERE / "puppets.py", self.kind, json.dumps(self.words)],
                                            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        pathlib.Path(self.words["record"] + ".end").touch()

    def alive(self):
        return self.process.poll() is None

    def lines(self):
        path = pathlib.Path(self.words["record"])
        return path.read_text().splitlines(keepends=True) if path.exists() else []


class Sender(Puppet):
    def __init__(self, **words):
        super().__init__("sender", **words)

class Receiver(Puppet):
    def __init__(self, **words):
        super().__init__("receiver", **words)
        self.window = words["window"]


if __name__ == "__main__":
    {"sender": sender_process, "receiver": receiver_process}[sys.argv[1]](json.loads(sys.argv[2]))

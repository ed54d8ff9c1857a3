# SPDX-License-Identifier: Apache-2.0
"""Receivers behind dialled destinations that mostly accept, and now and then answer in every wrong way or hang up; what each saw and said is
kept in the form that receipts.py reads."""
import random
import threading
import time

from liaison_harness import destination as does
from liaison_harness.destination import Destination

SETTINGS = {"acknowledgement": "400ms", "retry_first": "20ms", "retry_longest": "200ms", "max_age": "360d"}

# One message in so many is not just accepted.
ODDS = 60


class Receiver(Destination):
    def __init__(self, name, seed, authority, identity, window):
        super().__init__(authority, identity)
        self.name, self.window, self.rng = name, window, random.Random(seed)
        self.usual = self.misbehave
        self.record = []  # lines of RECEIPTS
        self.good = False  # from the end on it accepts everything
        self.earlier = ["NOBODY"]  # ids of messages long settled
        self.wrong = 0
        self.latest = time.monotonic()

    def note(self, what, connection, message=None, which=None, why=""):
        self.latest = time.monotonic()
        if what == "arrived":
            self.write(f"arrive\t{connection.number}\t{message.application}\t{message.control}\t{message.sha}\n")
        elif what == "answered":
            self.write(f"answer\t{connection.number}\t{message.control}\t{which}\n")

    def write(self, line):
        with self.lock:
            self.record.append(line)

    def take(self, connection, content):
        message = does.Message(content, connection)
        self.note("arrived", connection, message)
        self.usual(connection, message)

    def another(self, connection, message, then):
        """An answer for a message of before."""
        control = self.rng.choice(self.earlier)
        self.write(f"answer\t{connection.number}\t{control}\tAA\n")
        does.of_another(control, then=then)(connection, message)

    def misbehave(self, connection, message):
        if self.good or self.rng.randrange(ODDS):
            does.accept(connection, message)
            if self.rng.randrange(50) == 0:
                self.earlier = [*self.earlier[-20:], message.control]
            return
        self.wrong += 1
        kind = self.rng.randrange(13)
        behaviours = (
            does.late(self.rng.uniform(0.01, 1)), does.times(3), does.silence, does.code("AE", "207"), does.code("AR", "207"), does.code("CA"),
            does.code("CE"), does.garbage(), does.half, does.hang_up, does.reset,
            lambda *one: self.another(*one, then=None), lambda *one: self.another(*one, then=does.accept))
        behaviours[kind](connection, message)

    def make_good(self):
        """Accept everything from now on, also what comes late."""
        self.good = True


class Cutter(threading.Thread):
    """Cuts all connections of the receivers at random moments; now and then one is down for a while."""

    def __init__(self, seed, receivers):
        super().__init__(daemon=True, name="cutter")
        self.rng, self.receivers, self.ending, self.cuts = random.Random(seed), receivers, threading.Event(), 0

    def run(self):
        while not self.ending.wait(self.rng.expovariate(1.5)):
            receiver = self.rng.choice(self.receivers)
            self.cuts += len(receiver.connections) > 0
            if self.rng.randrange(4):
                receiver.cut()
                continue
            receiver.stop()
            self.ending.wait(self.rng.uniform(0, 0.5))
            receiver.start()

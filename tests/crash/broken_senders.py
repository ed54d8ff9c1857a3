# SPDX-License-Identifier: Apache-2.0
"""Senders to a destination that err, to test the checker of receipts on: each is sound but for one fault, once in a run, at a random point.

A run is a simulation: a queue goes out over connections that end now and then, to a receiver that answers AA, AE, AR, nothing, or for another
message; the sender is killed now and then, and what it had not written down is sent again.
"""
import itertools
import random

ANSWERS = (("AA", 90), ("AE", 3), ("AR", 2), ("none", 2), ("other", 3))


class Sender:
    """Sound. Subclasses override one step, and err when ${self.errs()} says so."""

    def __init__(self, rng, window, messages):
        self.rng, self.window = rng, window
        self.patience = rng.randrange(messages // 2, messages - messages // 10)  # it errs once so many are left
        self.erred = False
        self.queue = list(range(messages))  # not written down as settled, in order
        self.flying = []  # sent on this connection and not answered
        self.decided = []  # answered and not written down
        self.blocked = False  # refused for now: nothing more on this connection

    def errs(self):
        if len(self.queue) > self.patience or self.erred:
            return False
        self.erred = True
        return True

    def room(self):
        return self.window - len(self.flying) - len(self.decided)

    def next(self):
        """The messages that go out now."""
        if self.blocked:
            return []
        return self.ready(max(self.room(), 0))

    def ready(self, count):
        """The first ``count`` that neither fly nor are decided."""
        return list(itertools.islice((m for m in self.queue if m not in self.flying and m not in self.decided), count))

    def answered(self, control, code):
        message = next((m for m in self.flying if f"c{m}" == control), None)
        if message is None:
            return
        self.flying.remove(message)
        if code == "AR":
            self.blocked = True
        else:
            self.decided.append(message)

    def write_down(self):
        for message in self.decided:
            self.queue.remove(message)
        self.decided = []

    def cut(self):
        self.flying, self.blocked = [], False

    def kill(self):
        self.cut()
        self.decided = []

    def body(self, message):
        return f"sha{message}"


class Forgets(Sender):
    """Once, what was on its way is gone with the connection."""

    def cut(self):
        if self.flying and self.errs():
            self.queue.remove(self.flying[0])
        super().cut()


class Hurries(Sender):
    """Once, sends a later message first."""

    def next(self):
        going = super().next()
        ready = self.ready(len(going) + 1)
        if going and len(ready) > len(going) and self.errs():
            going[0] = ready[len(going)]
        return going


class Alters(Sender):
    def body(self, message):
        return "sha-other" if self.errs() else super().body(message)


class Repeats(Sender):
    """Once, sends again what was settled long ago."""

    def next(self):
        going = super().next()
        if going and going[0] > 400 and self.errs():
            return [going[0] - 400]
        return going


class Believes(Sender):
    """Once, takes an answer for another message as one for the oldest on its way."""

    def answered(self, control, code):
        stray = control not in [f"c{m}" for m in self.flying]
        if stray and self.flying and code != "AR" and self.errs():
            control = f"c{self.flying[0]}"
        super().answered(control, code)


class Overruns(Sender):
    """Once, sends one more than the window."""

    def room(self):
        room = super().room()
        return room + 1 if room == 0 and not self.decided and self.errs() else room


class Insists(Sender):
    """Once, sends again on the same connection instead of a new one."""

    def next(self):
        going = super().next()
        if not going and self.flying and self.errs():
            return [self.flying.pop(0)]
        return going


def run(sender_class, seed, window=1, messages=1500):
    """(TAKEN lines, RECEIPTS lines, whether the sender erred)."""
    rng = random.Random(seed)
    sender = sender_class(rng, window, messages)
    taken = [f"{m + 1}\ts{m % 7}\tc{m}\tsha{m}\n" for m in range(messages)]
    receipts, connection, to_answer, quiet = [], 1, [], 0

    def renew():
        nonlocal connection
        connection += 1
        to_answer.clear()

    while sender.queue:
        progress = False
        for message in sender.next():
            progress = True
            if message in sender.queue:
                sender.flying.append(message)
            receipts.append(f"arrive\t{connection}\ts{message % 7}\tc{message}\t{sender.body(message)}\n")
            code = rng.choices([a for a, _ in ANSWERS], weights=[w for _, w in ANSWERS])[0]
            if code == "other":
                to_answer.append((f"c{max(message - rng.randrange(1, 40), 0)}", "AA"))
            elif code != "none":
                to_answer.append((f"c{message}", code))
        for _ in range(rng.randrange(3)):
            if to_answer:
                progress = True
                control, code = to_answer.pop(0)
                receipts.append(f"answer\t{connection}\t{control}\t{code}\n")
                sender.answered(control, code)
        if sender.decided and rng.random() < 0.7:
            sender.write_down()
            progress = True
        quiet = 0 if progress else quiet + 1
        if rng.random() < 0.003:
            sender.kill()
            renew()
        elif quiet > 3 or (sender.blocked and not sender.flying) or rng.random() < 0.003:
            sender.cut()
            renew()
            quiet = 0
    return taken, receipts, sender.erred

# SPDX-License-Identifier: Apache-2.0
"""Brokers that err, to test the checker on: each is sound but for one fault, once in a run, at a random point.

A run is a simulation: senders pipeline messages, the broker writes them to a log in batches, acknowledges what is on disk, is killed now
and then (what was not on disk is gone, connections are cut, senders send again from the first message in doubt), and answers resends of
what it holds as before without taking them twice. The inbox is the log.
"""
import hashlib
import random


class Broker:
    """Sound. Subclasses override one step, and err when ${self.errs()} says so."""

    def __init__(self, rng, messages):
        self.rng = rng
        self.disk, self.memory, self.known = [], [], {}
        self.countdown = rng.randrange(messages // 10, messages // 2)  # messages until it may err
        self.erred = False

    def errs(self):
        """True once: at the random message, or at the first occasion behind it."""
        if self.countdown > 0 or self.erred:
            return False
        self.erred = True
        return True

    def take(self, sender, control, body):
        self.countdown -= 1
        self.memory.append((sender, control, body))

    def commit(self):
        """Write the batch; return the acknowledgements."""
        acks = []
        for sender, control, body in self.memory:
            if (sender, control) not in self.known:
                self.known[sender, control] = True
                self.disk.append((sender, control, body))
            acks.append((sender, control))
        self.memory = []
        return acks

    def kill(self):
        """Die between a take and its commit; returns acknowledgements that had left already."""
        self.memory = []
        return []


class Drops(Broker):
    def commit(self):
        acks = super().commit()
        if acks and self.errs():
            self.disk.pop(self.rng.randrange(max(0, len(self.disk) - 3), len(self.disk)))
        return acks


class Reorders(Broker):
    def commit(self):
        acks = super().commit()
        if len(self.disk) > 40:
            # Two neighbours of one sender change places.
            i = len(self.disk) - 1
            j = next((k for k in range(i - 1, -1, -1) if self.disk[k][0] == self.disk[i][0]), None)
            if j is not None and self.errs():
                self.disk[i], self.disk[j] = self.disk[j], self.disk[i]
        return acks


class Alters(Broker):
    def commit(self):
        before = len(self.disk)
        acks = super().commit()
        if len(self.disk) > before and self.errs():
            sender, control, body = self.disk[-1]
            at = self.rng.randrange(len(body))
            self.disk[-1] = (sender, control, body[:at] + bytes([body[at] ^ 1]) + body[at + 1:])
        return acks


class Doubles(Broker):
    """Takes again what it took once and acknowledged long ago: nothing excuses it."""

    def __init__(self, rng, messages):
        super().__init__(rng, messages)
        self.taken = {}

    def take(self, sender, control, body):
        self.taken[sender, control] = self.taken.get((sender, control), 0) + 1
        super().take(sender, control, body)

    def commit(self):
        acks = super().commit()
        old = [m for m in self.disk[-600:-500] if self.taken[m[:2]] == 1]
        if old and self.errs():
            self.disk.append(self.rng.choice(old))
        return acks


class AcknowledgesEarly(Broker):
    """Once, acknowledges what it has in memory, and dies before that is on disk."""

    def kill(self):
        early = []
        fresh = [m[:2] for m in self.memory if m[:2] not in self.known]
        if fresh and self.errs():
            early = fresh[:1]
        super().kill()
        return early


def run(broker_class, seed, messages=10000, senders=16, depth=16):
    """(SENT lines, ARRIVED lines, whether the broker erred)."""
    rng = random.Random(seed)
    broker = broker_class(rng, messages)
    sent, per_sender = [], messages // senders
    bodies = [[rng.randbytes(rng.randrange(20, 60)) for _ in range(per_sender)] for _ in range(senders)]
    acked = [0] * senders  # all before this one are acknowledged
    flying = [0] * senders  # sent on the present connection up to this one

    def deliver(acks):
        for sender, control in acks:
            if control != acked[sender]:
                continue  # an answer of a connection that was cut
            sent.append(f"ack\ts{sender}\tc{control}\tAA\n")
            acked[sender] += 1

    while any(a < per_sender for a in acked):
        for sender in rng.sample(range(senders), senders):
            for _ in range(rng.randrange(4)):
                n = flying[sender]
                if n >= per_sender or n >= acked[sender] + depth:
                    break
                sha = hashlib.sha256(bodies[sender][n]).hexdigest()
                sent.append(f"send\ts{sender}\tc{n}\t{sha}\n")
                broker.take(sender, n, bodies[sender][n])
                flying[sender] += 1
        if rng.random() < 0.02:
            deliver(broker.kill())
            for sender in range(senders):
                sent.append(f"cut\ts{sender}\n")
                flying[sender] = acked[sender]
        elif rng.random() < 0.5:
            acks = broker.commit()
            # Some acknowledgements never reach the sender: the connection dies first.
            if rng.random() < 0.02:
                victim = rng.randrange(senders)
                acks = [a for a in acks if a[0] != victim]
                deliver(acks)
                sent.append(f"cut\ts{victim}\n")
                flying[victim] = acked[victim]
            else:
                deliver(acks)
    arrived = [f"{seq}\ts{sender}\tc{control}\t{hashlib.sha256(body).hexdigest()}\n"
               for seq, (sender, control, body) in enumerate(broker.disk, 1)]
    return sent, arrived, broker.erred

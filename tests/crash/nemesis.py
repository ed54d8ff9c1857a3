#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever can happen to the broker, to senders, to destinations and to the wires between them happens, by a schedule that comes from a seed, and
nothing acknowledged is lost.

Processes are stopped, continued, killed and started again; wires are cut, held (a black hole), slowed, half-closed. Senders pipeline over mutual
TLS, give up an answer that does not come, and send again from the first message that was not acknowledged; two destinations answer wrongly
now and then. In the end all is healed, everything held is acknowledged and delivered, and what arrived, in two inboxes and at the destinations,
is compared with what was acknowledged by checker.py and receipts.py: nothing lost, altered, out of order, and doubles only of what was on
its way. Then the same records are falsified, one line each: the checkers must find it.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import types

import kill9
from kill9 import HERE  # noqa: F401  (which made the harness importable)
from verdict import tell

RATE = 400_000  # bytes a second of each sender
PATIENCE = 3  # seconds that a sender waits for an answer

#: What happens to whom how often, and for how long.
BROKER = (("stop", 3, (0.05, 2.5)), ("kill", 2, (0, 0.7)))
SENDER = (("stop", 3, (0.1, 4)), ("kill", 3, (0, 1)))
RECEIVER = (("stop", 3, (0.1, 3)), ("kill", 3, (0, 1.5)))
WIRE = (("cut", 4, (0, 0)), ("hold", 3, (0.1, 4)), ("slow", 3, (0.2, 3)), ("half", 2, (0, 0)))
MOMENT = 0.3  # seconds between two of them, on average


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, metavar="N", help="of mischief (30)")
    parser.add_argument("--senders", type=int, default=8, metavar="N")
    parser.add_argument("--depth", type=int, default=16, metavar="N", help="messages in flight per sender")
    parser.add_argument("--seed", type=int, help="of the schedule and the messages; a random one is chosen and printed without it")
    parser.add_argument("--schedule", action="store_true", help="print what is going to happen when")
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    parser.add_argument("--binary", metavar="FILE", help="the liaisond to torment (broker/liaisond of the build folder)")
    parser.add_argument("--keep", action="store_true", help="leave state, log and records where they are")
    options = parser.parse_args()
    if min(options.seconds, options.senders, options.depth) < 1:
        parser.error("numbers begin at 1")
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


def schedule(seed, seconds, targets):
    """[(when, until, what, whom, degree)]; ``targets``: (name, what can happen to it). Nobody has two things happen at a time."""
    rng = random.Random(f"{seed} schedule")
    planned, free, now = [], dict.fromkeys((name for name, _ in targets), 0), 0
    while True:
        now += rng.expovariate(1 / MOMENT)
        if now >= seconds:
            return planned
        name, kinds = rng.choice([one for one in targets if free[one[0]] <= now] or [(None, None)])
        if name is None:
            continue
        what, _, span = rng.choices(kinds, weights=[weight for _, weight, _ in kinds])[0]
        until = min(now + rng.uniform(*span), seconds)
        free[name] = until + 0.2
        planned.append((now, until, what, name, rng.uniform(0.005, 0.3)))


class Nemesis(kill9.Run):
    def __init__(self, options, certificates):
        from proxy import Wires
        self.records = tempfile.mkdtemp(prefix="liaison-records-")
        self.wires, self.wire, self.happened = Wires(), {}, collections.Counter()
        self.wires.start()
        super().__init__(types.SimpleNamespace(
            seed=options.seed, senders=options.senders, depth=options.depth, kills=0, megabytes=60, check_every=1, retention=False,
            destinations=True, binary=options.binary, keep=options.keep), certificates)
        self.lenience = ["--late"]
        self.seconds = options.seconds
        targets = [("broker", BROKER)] * 2  # as often as two others
        targets += [(sender.name, SENDER) for sender in self.senders] + [(receiver.name, RECEIVER) for receiver in self.receivers]
        self.names = [sender.name for sender in self.senders]
        targets += [(f"wire {name}", WIRE) for name in self.wire]
        self.plan = schedule(options.seed, options.seconds, targets)

    def make_receiver(self, name, window, authority):
        from liaison_harness.broker import free_port
        from proxy import Wire
        from puppets import Receiver
        server = authority.server
        real = Receiver(name=name, seed=f"{self.options.seed} {name}", port=free_port(), certificate=str(server.pem), key=str(server.key_file),
                        authority=str(authority.pem), window=window, record=f"{self.records}/receipts.{name}")
        self.wire[name] = Wire(self.wires, name, real.words["port"])
        return RemoteReceiver(real, self.wire[name])

    def make_sender(self, name, identity, authority):
        from proxy import Wire
        from puppets import Sender
        self.wire[name] = Wire(self.wires, name, self.broker.ports["mllp"])
        return RemoteSender(Sender(name=name, seed=f"{self.options.seed} {name}", port=self.wire[name].port, certificate=str(identity.pem),
                                   key=str(identity.key_file), authority=str(authority.pem), depth=self.options.depth, rate=RATE,
                                   patience=PATIENCE, record=f"{self.records}/sent.{name}"), identity)

    # While it runs

    def puppet(self, name):
        return next(one.puppet for one in [*self.senders, *self.receivers] if one.name == name)

    def begin_one(self, what, name, degree):
        receivers = [receiver.name for receiver in self.receivers]
        self.happened[what, "receiver" if name in receivers else "sender" if name in self.names else name.split()[0]] += 1
        if name.startswith("wire "):
            wire = self.wire[name[5:]]
            {"cut": wire.cut, "hold": wire.hold, "half": wire.half, "slow": lambda: wire.slow(degree)}[what]()
        elif name == "broker":
            assert self.broker.process.poll() is None, f"the broker ended by itself: {self.broker.process.returncode}"
            if what == "stop":
                self.broker.process.send_signal(signal.SIGSTOP)
                return
            self.judge_start()
            self.broker.kill()
        else:
            puppet = self.puppet(name)
            assert puppet.alive(), f"{name} ended by itself:\n{puppet.stderr.read_text()}"
            {"stop": puppet.stop, "kill": puppet.kill}[what]()

    def end_one(self, what, name):
        if name.startswith("wire "):
            self.wire[name[5:]].heal()
        elif name == "broker" and what == "stop":
            self.broker.process.send_signal(signal.SIGCONT)
        elif name == "broker":
            self.broker.launch()
        elif what == "stop":
            self.puppet(name).go_on()
        else:
            self.puppet(name).launch()

    def run(self):
        for receiver in self.receivers:
            receiver.puppet.launch()
        self.broker.launch()
        self.started()
        for sender in self.senders:
            sender.puppet.launch()
        self.dui.start()
        moments = sorted([(when, 1, one) for one in self.plan for when in [one[0]]] + [(one[1], 0, one) for one in self.plan],
                         key=lambda moment: (moment[0], moment[1] if moment[2][0] != moment[2][1] else 1 - moment[1]))
        since = time.monotonic()
        for when, begins, (_, _, what, name, degree) in moments:
            time.sleep(max(0, since + when - time.monotonic()))
            if begins:
                self.begin_one(what, name, degree)
            else:
                self.end_one(what, name)
        self.healed = time.monotonic()
        self.end()

    def end(self):
        self.ready_ms.append(self.broker.await_ready())
        self.judge_start()
        self.dui.ending.set()
        for sender in self.senders:
            sender.puppet.end()
        for sender in self.senders:
            assert sender.puppet.process.wait(240) == 0, f"{sender.name}: {sender.puppet.stderr.read_text()}"
            sender.read()
        self.dui.join(120)
        assert not self.dui.is_alive(), "the reader does not end"
        self.alive()

    def alive(self):
        if self.dui.failure:
            raise self.dui.failure

    def close(self):
        for one in [*self.senders, *self.receivers]:
            if one.puppet.process and one.puppet.alive():
                one.puppet.process.kill()
                one.puppet.process.wait()
        self.dui.ending.set()
        if self.broker.process and self.broker.process.poll() is None:
            self.broker.process.kill()
            self.broker.process.wait()

    # Afterwards

    def check_receipts(self, taken):
        for receiver in self.receivers:
            receiver.record = receiver.puppet.lines()
            receiver.wrong = sum(line.startswith("answer") and not line.endswith("\tAA\n") for line in receiver.record)
        self.taken = taken
        self.cutter.cuts = self.happened["cut", "wire"]
        return super().check_receipts(taken)

    def falsify(self):
        """The checkers must not be blind to what this very run could have shown."""
        import checker
        import receipts
        rng = random.Random(self.options.seed)
        sent = [line for sender in self.senders for line in sender.record]
        arrived = list(self.taken)
        at = rng.randrange(len(arrived) // 4, len(arrived) // 2)
        fields = arrived[at].split("\t")
        later = next(n for n in range(at + 1, len(arrived)) if arrived[n].split("\t")[1] == fields[1])
        other = "\t".join([*fields[:3], "0" * 64]) + "\n"
        swapped = arrived[:]
        for n, m in ((at, later), (later, at)):
            swapped[n] = "\t".join([arrived[n].split("\t")[0], *arrived[m].split("\t")[1:]])
        cases = {"lost": arrived[:at] + arrived[at + 1:], "altered": arrived[:at] + [other] + arrived[at + 1:], "order": swapped,
                 "unknown": [*arrived, f"{1 << 50}\tNOBODY\tX\t0\n"]}
        for what, lines in cases.items():
            if not any(finding.startswith(what) for finding in checker.check(sent, lines)):
                self.found.append(f"blind: checker.py did not find what was {what}")
        for receiver in self.receivers:
            control = fields[2]
            without = [line for line in receiver.record if line.split("\t")[3 if line.startswith("arrive") else 2] != control]
            altered = [line.replace(fields[3].strip(), "0" * 64) for line in receiver.record]
            for what, lines in (("lost", without), ("altered", altered)):
                if not any(finding.startswith(what) for finding in receipts.check(self.taken, lines, receiver.window, late=True)):
                    self.found.append(f"blind: receipts.py did not find what was {what} at {receiver.name}")

    def tell(self, said, arrived, distinct, seconds):
        print(f"seed {self.options.seed}: {len(self.plan)} acts in {self.seconds:.0f} s: "
              + ", ".join(f"{count} x {what} {whom}" for (what, whom), count in sorted(self.happened.items())))
        print(said)
        print(f"{sum(sender.codes['AA'] for sender in self.senders)} AA, {arrived} arrived, {arrived - distinct} doubles; "
              f"{sum(wire.passed for wire in self.wire.values()) / 1e6:.0f} MB over {len(self.wire)} wires; "
              f"a reader took {len(self.dui.kept)}, {len(self.dui.doubt)} in doubt; {self.broker.starts} starts of the broker; "
              f"healed and empty in {self.emptied - self.healed:.1f} s, {seconds:.0f} s in all")


class RemoteSender:
    """A sender's process, as Run knows senders."""

    def __init__(self, puppet, identity):
        self.puppet, self.name, self.identity = puppet, puppet.name, identity
        self.record, self.codes, self.last, self.cuts, self.bytes = [], {"AA": 0}, None, 0, 0
        self.giving_up = threading.Event()

    def read(self):
        import senders
        self.record = self.puppet.lines()
        acks = [line.split("\t") for line in self.record if line.startswith("ack\t")]
        self.codes["AA"] = sum(row[3].strip() == "AA" for row in acks)
        if acks:
            number = int(acks[-1][2].rpartition("-")[2])
            self.last = senders.Message(*senders.made(random.Random(f"{self.puppet.words['seed']} {number}"), self.name, number))


class RemoteReceiver:
    """A receiver's process, as Run knows receivers."""

    def __init__(self, puppet, wire):
        self.puppet, self.name, self.window, self.wire = puppet, puppet.name, puppet.window, wire
        self.record, self.wrong = [], 0

    def start(self):
        return self.wire  # whose port is configured

    def make_good(self):
        self.puppet.end()

    @property
    def latest(self):
        """When it last wrote something down, by the monotonic clock."""
        return time.monotonic() - max(0, time.time() - os.stat(self.puppet.words["record"]).st_mtime)


def main():
    options = arguments()
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    run = Nemesis(options, certificates)
    if options.schedule:
        for when, until, what, name, degree in run.plan:
            print(f"{when:7.2f} {what} {name}" + (f" for {until - when:.2f} s" if until > when else "") + (f", {degree:.3f} s a piece" if what == "slow" else ""))
    since = time.monotonic()
    try:
        run.run()
        run.emptied = time.monotonic()
        said, arrived, distinct = run.conclude()
        run.falsify()
        run.tell(said, arrived, distinct, time.monotonic() - since)
    except BaseException:
        print(f"seed {options.seed}; state and log: {run.broker.folder}, records: {run.records}", file=sys.stderr)
        raise
    finally:
        run.close()
        shutil.rmtree(certificates, ignore_errors=True)
    status = tell(run.found)
    if options.keep or run.found:
        print(f"state and log: {run.broker.folder}, records: {run.records}")
    else:
        run.broker.clean()
        shutil.rmtree(run.records)
    return status


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills liaisond with SIGKILL at random moments under pipelining senders, and proves that nothing acknowledged is lost.

Senders pipeline over mutual TLS, reconnect and send again from the first message that was not acknowledged. A DUI takes part of one of two
inboxes meanwhile and keeps what it took. At the end both inboxes are read through the pull API and compared with what the senders saw by
checker.py, a program of its own. Beyond what the checker promises, no message may have arrived twice, nothing that was taken may come back,
the journal must pass `liaison check` after every start, and quarantine/ may hold torn tails only.

With --destinations everything also goes to two destinations that are dialled, with windows of 1 and 16, whose receivers answer wrongly now and then
and whose connections are cut; what they saw and said is held against the inbox's order by receipts.py.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import ipaddress
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from verdict import tell

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "wire")]

# Certificates of tests live for hours; destinations are cut on purpose.
EXPECTED = ("certificate-ending-now", "destination-down")
TORN = ("a torn end: the last record did not arrive whole", "a torn end: the last write did not arrive whole",
        "a first write that did not arrive whole")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N")
    parser.add_argument("--senders", type=int, default=16, metavar="N")
    parser.add_argument("--depth", type=int, default=16, metavar="N", help="messages in flight per sender")
    parser.add_argument("--seed", type=int, help="of sizes and moments; a random one is chosen and printed without it")
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    parser.add_argument("--binary", metavar="FILE", help="the liaisond to kill (broker/liaisond of the build folder)")
    parser.add_argument("--megabytes", type=int, default=60, metavar="N", help="sent between two kills, about, at most (60)")
    parser.add_argument("--check-every", type=int, default=1, metavar="N", help="`liaison check` after every Nth start (1)")
    parser.add_argument("--retention", action="store_true",
                        help="let journal time run 3600 times as fast, and segments live for an hour: what is live is carried forward and old "
                             "segments removed all the time (a build with seams)")
    parser.add_argument("--destinations", action="store_true", help="dial two destinations that answer wrongly and are cut")
    parser.add_argument("--keep", action="store_true", help="leave state, log and records where they are")
    options = parser.parse_args()
    if min(options.kills, options.senders, options.depth, options.megabytes, options.check_every) < 1:
        parser.error("numbers begin at 1")
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


class Run:
    def __init__(self, options, certificates):
        from liaison_harness.authority import BOTH, Authority
        from liaison_harness.configuration import Configuration
        from dui import Dui
        from receivers import SETTINGS, Cutter
        from senders import Allowance
        from victim import Victim

        self.options, self.rng = options, random.Random(options.seed)
        self.found = []  # broken promises
        self.lenience = []  # options of receipts.py
        self.ready_ms, self.recovery_ms, self.check_s = [], [], []
        self.unready = self.torn = self.removed = self.carried = 0
        authority = Authority(certificates)
        authority.server = authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
        self.reader = authority.issue("dui")
        identities = {f"S{n:02d}": authority.issue(f"S{n:02d}") for n in range(options.senders)}
        configuration = Configuration()
        self.segment_size = self.rng.choice(["1M", "4M", "16M"])  # the smallest is less than the largest message
        configuration.journal["segment_size"] = self.segment_size
        if options.retention:
            os.environ["LIAISON_CLOCK_RATE"] = "3600"
            configuration.journal.update(retention="1h", duplicate_window="90d")
        configuration.limits["large_slots"] = 2 * options.senders  # for a message waiting for one may be told to come again later
        for name, identity in identities.items():
            configuration.peer(name.lower(), identity, senders=[f"{name}|CHU"])
        configuration.peer("dui", self.reader, may=["read"])
        configuration.inbox("whole", readers=["dui"], max_age="360d")  # from which nobody takes anything
        configuration.inbox("taken", readers=["dui"], max_age="360d")
        self.receivers = [self.make_receiver(name, window, authority)
                          for name, window in (("narrow", 1), ("wide", 16))] if options.destinations else []
        for receiver in self.receivers:
            configuration.destination(receiver.name, receiver.start().port, window=receiver.window, **SETTINGS)
        self.cutter = Cutter(f"{options.seed} cuts", self.receivers)
        configuration.route("all", to=["whole", "taken", *(receiver.name for receiver in self.receivers)])
        self.broker = Victim(authority, configuration, options.binary)
        self.allowance = Allowance()
        self.senders = [self.make_sender(name, identity, authority) for name, identity in identities.items()]
        self.dui = Dui(options.seed, self.broker.ports["pull"], self.reader, authority.pem, "taken")

    def make_receiver(self, name, window, authority):
        from receivers import Receiver
        return Receiver(name, f"{self.options.seed} {name}", authority, authority.server, window)

    def make_sender(self, name, identity, authority):
        from senders import Sender
        return Sender(name, f"{self.options.seed} {name}", self.broker.ports["mllp"], identity, authority.pem, self.options.depth,
                      self.allowance)

    # While it runs

    def sent_bytes(self):
        return sum(sender.bytes for sender in self.senders)

    def watch(self, seconds):
        """Let it work for so long, or until the allowance is used up (retention goes on without)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self.allowance.left > 0 or self.options.retention):
            time.sleep(0.002)

    def started(self):
        """Wait until it is ready, and hold what the start told against the promise."""
        self.ready_ms.append(self.broker.await_ready())
        self.judge_start()
        if len(self.ready_ms) % self.options.check_every == 0:
            self.check_journal()

    def check_journal(self):
        since = time.monotonic()
        check = self.broker.liaison("check", seconds=300)
        self.check_s.append(time.monotonic() - since)
        if check.returncode:
            self.found.append(f"check: start {self.broker.starts}: {check.stdout}{check.stderr}")

    def judge_start(self):
        for line in self.broker.lines():
            if line.event == "recovered":
                self.recovery_ms.append(int(line["ms"]))
            elif line.event == "quarantined" and line["why"] in TORN:
                self.torn += 1
            elif line.level == "error" and line.event not in EXPECTED:
                self.found.append(f"error: start {self.broker.starts}: {line}")

    def round(self):
        """One life, from a start to its kill."""
        budget = self.rng.uniform(0.1, 1) * self.options.megabytes * 1e6
        self.allowance.set(budget / 4)  # so that something goes on while the journal is checked
        self.broker.launch()
        moment = self.rng.random()
        if moment < 0.2:
            # While it starts: before, in or shortly after the recovery.
            usual = statistics.median(self.ready_ms) / 1000 if self.ready_ms else 0.1
            time.sleep(self.rng.uniform(0, 1.2 * usual))
            self.unready += all(line.event != "ready" for line in self.broker.lines())
            self.judge_start()
        elif moment < 0.4:
            # As the senders come back, with all that they had in flight.
            self.ready_ms.append(self.broker.await_ready())
            time.sleep(self.rng.uniform(0, 0.15))
            self.judge_start()
        else:
            self.started()
            self.allowance.set(budget)
            self.watch(self.rng.uniform(0.05, 5 if self.options.retention else 2))
        self.broker.kill()
        self.count_removals()

    def count_removals(self):
        lines = [line for line in self.broker.lines() if line.event == "segment-removed"] if self.options.retention else []
        self.removed += len(lines)
        self.carried += sum(int(line["carried"]) for line in lines)

    def run(self):
        self.begin()
        for _ in range(self.options.kills):
            self.round()
            self.alive()
        self.allowance.set(0)  # what was in flight at the last kill is still sent
        self.broker.launch()
        self.started()
        self.end()

    def begin(self):
        for thread in [*self.senders, self.dui]:
            thread.start()
        if self.receivers:
            self.cutter.start()

    def end(self):
        """No new messages: what is held is acknowledged, and all who take part come to their end."""
        self.dui.ending.set()
        self.cutter.ending.set()
        for sender in self.senders:
            sender.ending.set()
        for thread in [*self.senders, self.dui, *([self.cutter] if self.receivers else [])]:
            thread.join(300)
            assert not thread.is_alive(), f"{thread.name} does not end"
        self.alive()

    def alive(self):
        for thread in [*self.senders, self.dui]:
            if thread.failure:
                raise thread.failure

    # Afterwards

    def resend(self):
        """What was acknowledged long ago is answered AA again, and not taken again."""
        for sender in self.senders:
            if sender.last:
                client = self.broker.mllp(sender.identity)
                codes = [client.ask(sender.last.content).code for _ in range(2)]
                if codes != ["AA", "AA"]:
                    self.found.append(f"resend: {sender.last.control} was answered {codes}")

    def check(self, name, arrived):
        """Run the checker on an inbox; its last line."""
        folder = self.broker.folder
        (folder / "sent.tsv").write_text("".join("".join(sender.record) for sender in self.senders))
        (folder / f"{name}.tsv").write_text("".join(arrived))
        checker = subprocess.run([sys.executable, HERE / "checker.py", folder / "sent.tsv", folder / f"{name}.tsv"],
                                 capture_output=True, text=True)
        if checker.returncode:
            self.found.append(f"checker: {name}:\n{checker.stdout}{checker.stderr}")
        messages = {tuple(row.split("\t")[1:3]) for row in arrived}
        if len(messages) != len(arrived):
            self.found.append(f"twice: {len(arrived) - len(messages)} messages arrived again in {name}")
        return checker.stdout.splitlines()[-1] if checker.stdout else ""

    def drain(self):
        """What still waits for the destinations goes there, without further mischief."""
        from liaison_harness.broker import wait_until
        for receiver in self.receivers:
            receiver.make_good()
        for receiver in self.receivers:
            wait_until(lambda: self.broker.metric("liaison_waiting", destination=receiver.name) == 0
                       and self.broker.metric("liaison_destination_in_flight", destination=receiver.name) == 0
                       and time.monotonic() - receiver.latest > 1.5, 300, f"the end of the queue of {receiver.name}")

    def check_receipts(self, taken):
        """Run the checker of receipts for each destination; its last lines."""
        said, folder = [], self.broker.folder
        for receiver in self.receivers:
            (folder / "taken.tsv").write_text("".join(taken))
            (folder / f"{receiver.name}.tsv").write_text("".join(receiver.record))
            checker = subprocess.run([sys.executable, HERE / "receipts.py", folder / "taken.tsv", folder / f"{receiver.name}.tsv",
                                      str(receiver.window), *self.lenience], capture_output=True, text=True)
            if checker.returncode:
                self.found.append(f"receipts: {receiver.name}:\n{checker.stdout}{checker.stderr}")
            said.append(f"destination {receiver.name}, window {receiver.window}: {checker.stdout.splitlines()[-1] if checker.stdout else ''}; "
                        f"{receiver.wrong} wrong answers, {self.cutter.cuts} cuts of both")
        return said

    def conclude(self):
        import arrivals
        from liaison_harness.broker import wait_until
        self.resend()
        client = self.broker.pull(self.reader)
        whole = arrivals.listed(client, "whole")
        rows = arrivals.fetched(lambda: self.broker.pull(self.reader), whole)
        said = self.check("whole", rows)
        self.drain()
        said = "\n".join([said, *self.check_receipts(rows)])
        by_seq = dict(zip((item["seq"] for item in whole), rows))
        # The other inbox: what waits, what was taken for certain, and what was in doubt and is gone.
        waiting = {item["seq"] for item in arrivals.listed(client, "taken")}
        for seq in sorted(waiting & self.dui.kept.keys()):
            self.found.append(f"came back: {seq} was acknowledged by the reader and waits again")
        for seq, row in (self.dui.kept | self.dui.doubt).items():
            if by_seq.get(seq) != row:
                self.found.append(f"other bytes: {row.strip()} was taken, {by_seq.get(seq)} is there")
        there = waiting | self.dui.kept.keys() | self.dui.doubt.keys()
        self.check("taken", [by_seq.get(seq, f"{seq}\t-\t-\t-\n") for seq in sorted(there)])
        self.found += self.dui.found
        if self.options.retention and not self.removed:  # each life was too short for it
            wait_until(lambda: any(line.event == "segment-removed" for line in self.broker.lines()), 60, "the removal of a segment")
        self.check_journal()
        status = self.broker.stop()
        self.count_removals()
        if status:
            self.found.append(f"stop: exit status {status}")
        return said, len(rows), len({tuple(row.split('\t')[1:3]) for row in rows})

    def tell(self, said, arrived, distinct, seconds):
        acknowledged = sum(sender.codes["AA"] for sender in self.senders)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"seed {self.options.seed}: {self.options.kills} kills ({self.unready} before it was ready) in {seconds:.0f} s, "
              f"segments of {self.segment_size}")
        print(said)
        if self.options.retention:
            print(f"{self.removed} segments removed, {self.carried} records carried forward")
        print(f"{acknowledged} AA for {self.sent_bytes() / 1e6:.0f} MB sent, {arrived} arrived, {arrived - distinct} doubles, "
              f"{sum(sender.cuts for sender in self.senders)} connections cut with messages in flight")
        print(f"a reader took {len(self.dui.kept)}, {len(self.dui.doubt)} in doubt; {self.torn} torn tails")
        print("start to ready " + spread(self.ready_ms) + " ms, of it recovery " + spread(self.recovery_ms) + " ms; "
              f"{len(self.check_s)} checks " + spread(self.check_s) + " s")
        # One thread of ours runs at a time: near 100 % the senders would be what is measured.
        print(f"processor: senders and reader {100 * time.process_time() / seconds:.0f} % of one, broker and checks "
              f"{100 * (usage.ru_utime + usage.ru_stime) / seconds:.0f} %")


def spread(values):
    return f"{min(values):.1f}/{statistics.median(values):.1f}/{max(values):.1f}" if values else "-"


def main():
    options = arguments()
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    run = Run(options, certificates)
    since = time.monotonic()
    try:
        run.run()
        said, arrived, distinct = run.conclude()
        run.tell(said, arrived, distinct, time.monotonic() - since)
    except BaseException:
        print(f"seed {options.seed}; state, log and records: {run.broker.folder}", file=sys.stderr)
        if run.broker.process and run.broker.process.poll() is None:
            run.broker.process.kill()
        raise
    finally:
        for sender in run.senders:
            sender.giving_up.set()
        run.dui.ending.set()
        shutil.rmtree(certificates, ignore_errors=True)
    status = tell(run.found)
    if options.keep or run.found:
        print(f"state, log and records: {run.broker.folder}")
    else:
        run.broker.clean()
    return status


if __name__ == "__main__":
    sys.exit(main())

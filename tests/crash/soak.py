#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A long day: everything that a broker does, at once and for a while, and it holds no more at the end than it did when it was warm.

Senders of small and large messages, a reader that takes what comes, two destinations that answer wrongly now and then and are cut, connections that
come and go, strangers and junk, status, metrics, reloads, rotations of the log; journal time runs 3600 times as fast, so that retention removes
segments all the time. Looked at: resident memory (a straight line through what it was after the first third), descriptors, the bytes of the state
folder and of the log, and that everything was answered AA.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import collections
import ipaddress
import os
import pathlib
import random
import shutil
import signal
import ssl
import statistics
import sys
import tempfile
import threading
import time

from verdict import tell

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "wire")]

MIB = 1 << 20
RATES = (150_000, 150_000, 150_000, 600_000)  # bytes a second of each sender
SETTLE = 3  # seconds for the last connections to end


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, metavar="N", help="of load (120)")
    parser.add_argument("--slope", type=float, metavar="MB", help="demand that memory grows by less than so many MB an hour")
    parser.add_argument("--growth", type=float, default=64, metavar="MIB", help="how much more than when warm it may ever hold (64)")
    parser.add_argument("--disk", type=float, default=600, metavar="MIB", help="how large the state folder may ever be (600)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    options = parser.parse_args()
    if options.seconds < 15:
        parser.error("less than 15 s show nothing")
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


class Nothing:
    """A record that nobody reads."""

    def append(self, line):
        pass


class Sample:
    def __init__(self, broker, since):
        process = pathlib.Path(f"/proc/{broker.process.pid}")
        rows = dict(row.split(":", 1) for row in (process / "status").read_text().splitlines() if ":" in row)
        self.time = time.monotonic() - since
        self.resident = int(rows["VmRSS"].split()[0]) * 1024
        self.descriptors = len(os.listdir(process / "fd"))
        # What is open of the journal grows and shrinks with its segments; all else is to be as it was.
        self.elsewhere, self.removed = 0, 0
        for descriptor in (process / "fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:  # closed meanwhile
                continue
            self.elsewhere += not target.startswith(str(broker.folder / "state"))
            self.removed += target.startswith(str(broker.folder / "state")) and target.endswith("(deleted)")
        self.disk = 0
        for path in (broker.folder / "state").rglob("*"):
            try:
                self.disk += path.stat().st_blocks * 512
            except OSError:  # removed meanwhile
                pass


class Soak:
    def __init__(self, options, certificates):
        from liaison_harness import memory
        from liaison_harness.authority import BOTH, Authority
        from liaison_harness.broker import Broker
        from liaison_harness.configuration import Configuration
        from receivers import SETTINGS, Cutter, Receiver

        self.options, self.rng = options, random.Random(options.seed)
        self.found, self.counts, self.over = [], collections.Counter(), threading.Event()
        os.environ["LIAISON_CLOCK_RATE"] = "3600"
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":" + memory.ASAN_OPTIONS
        self.authority = Authority(certificates)
        self.authority.server = self.authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
        self.reader = self.authority.issue("dui")
        self.stranger = self.authority.issue("stranger")
        self.visitor = self.authority.issue("V00")
        self.identities = [self.authority.issue(f"S{n:02d}") for n in range(len(RATES))]
        configuration = self.configuration = Configuration()
        configuration.journal.update(segment_size="4M", retention="1d", duplicate_window="1d")  # 24 s of ours
        configuration.limits["large_slots"] = 2 * len(RATES)
        for n, identity in enumerate(self.identities):
            configuration.peer(f"s{n:02d}", identity, senders=[f"S{n:02d}|CHU"])
        configuration.peer("visitor", self.visitor, junk_quota="100M")
        configuration.peer("dui", self.reader, may=["read"])
        configuration.inbox("dui", readers=["dui"], max_age="300d")
        self.receivers = [Receiver(name, f"{options.seed} {name}", self.authority, self.authority.server, window)
                          for name, window in (("narrow", 1), ("wide", 16))]
        for receiver in self.receivers:
            receiver.messages = receiver.events = collections.deque(maxlen=100)
            receiver.record = Nothing()
            configuration.destination(receiver.name, receiver.start().port, window=receiver.window, **SETTINGS)
        self.cutter = Cutter(f"{options.seed} cuts", self.receivers)
        configuration.route("all", to=["dui", *(receiver.name for receiver in self.receivers)])
        self.broker = Broker(self.authority, configuration)
        self.failure = None

    # Who takes part

    def thread(self, work, pause):
        """``work`` again and again, until the end."""
        def run():
            try:
                while not self.over.wait(pause):
                    work()
            except BaseException as failure:
                self.failure = failure
        return threading.Thread(target=run, daemon=True, name=work.__name__)

    def visit(self):
        """A connection for a message or two, an end of one kind or another."""
        from liaison_harness.hl7 import message
        from liaison_harness.mllp import Closed
        kind = self.rng.randrange(5)
        try:
            client = self.broker.mllp(self.stranger if kind == 0 else self.visitor)
            self.broker.clients.remove(client)
        except (OSError, ssl.SSLError):
            self.counts["refused"] += 1
            return
        try:
            if kind == 1:
                client.send(b"this is no frame\r\n" * 20)
            elif kind == 2:
                client.send(b"\x0b" + message(application="GAM")[:40])
            elif kind > 2:
                self.counts[client.ask(message(application="GAM", filler=self.rng.randrange(3000)), 60).code] += 1
            self.counts["visits"] += 1
        except (OSError, ssl.SSLError, Closed):
            self.counts["visits cut"] += 1
        finally:
            client.close()

    def read(self):
        """A DUI's round: the list, some contents, everything acknowledged."""
        client = self.broker.pull(self.reader, seconds=300)
        self.broker.clients.remove(client)
        try:
            for _ in range(20):
                answer = client.items("dui", after=0, limit=200, wait=1)
                items = answer.json["items"] if answer.status == 200 else []
                if not items:
                    break
                for item in items[:5]:
                    assert client.message(item["seq"]).status == 200
                assert client.ack("dui", accepted=[item["seq"] for item in items]).status == 200
                self.counts["taken"] += len(items)
        finally:
            client.close()

    def operate(self):
        """What operators do; the only one who reads or rotates the log."""
        from liaison_harness import operators
        from liaison_harness.broker import wait_until
        operators.ask(self.broker, command="status")
        operators.ask(self.broker, command="queue")
        self.broker.metrics()
        self.counts["looks"] += 1
        if self.rng.randrange(4) == 0:
            self.configuration.limits["idle"] = f"{self.rng.randrange(60, 300)}s"
            self.broker.reload()
            self.counts["reloads"] += 1
        if self.rng.randrange(8) == 0:
            self.judge_log()
            self.broker.log_file.rename(self.broker.folder / "liaison.log.1")
            self.broker.process.send_signal(signal.SIGHUP)
            wait_until(self.broker.log_file.exists, 20, "a new log file")
            self.counts["rotations"] += 1

    def judge_log(self):
        from kill9 import EXPECTED
        for line in self.broker.log():
            if line.event == "segment-removed":
                self.counts["segments removed"] += 1
            if line.level == "error" and line.event not in EXPECTED:
                self.found.append(f"error: {line}")

    # The run

    def run(self):
        import puppets
        from senders import Sender
        broker = self.broker.start()
        time.sleep(1)
        self.idle = Sample(broker, time.monotonic())
        senders = []
        for n, identity in enumerate(self.identities):
            sender = Sender(f"S{n:02d}", f"{self.options.seed} {n}", broker.ports["mllp"], identity, self.authority.pem, 16,
                            puppets.Allowance(RATES[n]))
            sender.record = Nothing()
            senders.append(sender)
        threads = [self.thread(self.visit, 0.05), self.thread(self.read, 0.2), self.thread(self.operate, 1), self.cutter]
        for thread in [*senders, *threads]:
            thread.start()
        since, self.samples = time.monotonic(), []
        while time.monotonic() < since + self.options.seconds and not self.failure and not any(sender.failure for sender in senders):
            time.sleep(1)
            self.samples.append(Sample(broker, since))
        for sender in senders:
            sender.ending.set()
        for sender in senders:
            sender.join(120)
            assert not sender.is_alive(), f"{sender.name} does not end"
        self.over.set()
        self.cutter.ending.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} does not end"
        for one in [self, *senders]:
            if one.failure:
                raise one.failure
        self.counts["AA"] += sum(sender.codes["AA"] for sender in senders)
        self.megabytes = sum(sender.bytes for sender in senders) / 1e6
        for receiver in self.receivers:
            receiver.make_good()
        self.read()
        time.sleep(SETTLE)
        self.last = Sample(broker, since)

    def judge(self):
        samples, options = self.samples, self.options
        warm = [one for one in samples if one.time >= options.seconds / 3]
        # the least of each ten seconds: what it holds, not what it happens to use
        least = [min(warm[n:n + 10], key=lambda one: one.resident) for n in range(0, len(warm) - 9, 10)]
        if len(least) < 3:
            least = warm
        slope = statistics.linear_regression([one.time / 3600 for one in least], [one.resident / 1e6 for one in least]).slope
        growth = (max(one.resident for one in warm) - warm[0].resident) / MIB
        disk = max(one.disk for one in samples) / MIB
        log = sum(path.stat().st_size for path in self.broker.folder.glob("liaison.log*")) / MIB
        print(f"seed {options.seed}: {options.seconds:.0f} s, {self.megabytes:.0f} MB, "
              + ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items())))
        tenths = [min(part, key=lambda one: one.resident).resident / MIB
                  for part in (samples[n * len(samples) // 10:(n + 1) * len(samples) // 10] for n in range(10)) if part]
        print("resident, the least of each tenth, in MiB: " + " ".join(f"{one:.2f}" for one in tenths))
        print(f"resident {self.idle.resident / MIB:.1f} MiB idle, {warm[0].resident / MIB:.1f} warm, {samples[-1].resident / MIB:.1f} at the end: "
              f"{slope:+.1f} MB an hour, at most {growth:+.1f} MiB; descriptors {self.idle.descriptors} idle, "
              f"{max(one.descriptors for one in samples)} at most, {self.last.descriptors} afterwards, of them outside of the journal {self.idle.elsewhere} and {self.last.elsewhere}; disk at most {disk:.0f} MiB, log {log:.1f} MiB")
        if options.slope is not None and slope >= options.slope:
            self.found.append(f"memory: {slope:.1f} MB an hour")
        if growth > options.growth:
            self.found.append(f"memory: {growth:.0f} MiB more than when it was warm")
        # links to two destinations, and what was opened once for good
        if self.last.elsewhere > self.idle.elsewhere + 6 or self.last.removed > 3:
            self.found.append(f"descriptors: {self.last.elsewhere} are left outside of the journal, there were {self.idle.elsewhere}; "
                              f"{self.last.removed} of segments that were removed")
        if disk > options.disk:
            self.found.append(f"disk: {disk:.0f} MiB")
        for what in ("AA", "taken", "visits", "looks", "reloads", "rotations", "segments removed"):
            if not self.counts[what]:
                self.found.append(f"idle: {what}: never, and this run proves little")


def main():
    options = arguments()
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    soak = Soak(options, certificates)
    try:
        soak.run()
        soak.judge_log()
        soak.judge()
        status = soak.broker.stop(30)
        if status:
            soak.found.append(f"stop: exit status {status}")
    except BaseException:
        print(f"seed {options.seed}; state and log: {soak.broker.folder}", file=sys.stderr)
        raise
    finally:
        soak.over.set()
        if soak.broker.process and soak.broker.process.poll() is None:
            soak.broker.process.kill()
        shutil.rmtree(certificates, ignore_errors=True)
    status = tell(soak.found)
    if not soak.found:
        soak.broker.clean()
    return status


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Slow and hostile peers: what do those lose who behave?

A thousand peers, each with a certificate of its own, hold a connection over mutual TLS and send one byte in ten seconds; every twentieth sends
2,000 messages before and reads no answer. Then a flood of handshakes that never come to anything. Beside both the load generator of bench/ works, and
all it sends must be acknowledged. Then the broker is started again, and all thousand must have come back and had a message acknowledged.

With --pairs the load is measured by turns with and without each nuisance: the median of the ratios is told, and held to --demand. Without it only
that all of it ends well, in time.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import ipaddress
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from verdict import tell

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "wire")]

LOSSES = {"slow": 0.05, "flood": 0.15}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000, metavar="N")
    parser.add_argument("--pairs", type=int, default=0, metavar="N", help="runs of the load with and without (0: one with, nothing is measured)")
    parser.add_argument("--demand", action="store_true", help="the load may lose 5 %% beside slow peers and 15 %% beside the flood, no more")
    parser.add_argument("--only", choices=(*LOSSES, "back"), help="one of the three parts")
    parser.add_argument("--seconds", type=float, default=5, metavar="N", help="of each run of the load (5)")
    parser.add_argument("--load", default="64x1", metavar="NxD", help="connections and messages in flight on each (64x1)")
    parser.add_argument("--within", type=float, default=30, metavar="N", help="seconds in which all peers must be back (30)")
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    options = parser.parse_args()
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    return options


class Hostile:
    def __init__(self, options, certificates):
        from cryptography.hazmat.primitives.asymmetric import ec
        from liaison_harness.authority import BOTH, Authority
        from liaison_harness.configuration import Configuration
        from victim import Victim

        self.options, self.found = options, []
        self.authority = Authority(certificates)
        self.authority.server = self.authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
        self.good = self.authority.issue("chu")
        key = ec.generate_private_key(ec.SECP256R1())
        self.identities = [self.authority.issue(f"P{n:04d}", key=key) for n in range(options.peers)]
        configuration = Configuration()
        configuration.journal["segment_size"] = "64M"
        configuration.limits["connections"] = 3000
        configuration.listeners[0]["max_connections"] = 3000
        configuration.peer("chu", self.good, may=["send", "read"], max_connections=200, max_in_flight=1024)
        for identity in self.identities:
            configuration.peer(identity.pem.stem.lower(), identity, junk_quota="100M")
        configuration.inbox("chu", readers=["chu"])
        configuration.route("all", to=["chu"])
        self.broker = Victim(self.authority, configuration)
        processors = sorted(os.sched_getaffinity(0))
        self.apart = options.pairs > 0 and len(processors) > 1
        if self.apart:  # the broker has one for itself, and all who want something of it another
            self.broker.under = ["taskset", "-c", str(processors[0])]
            os.sched_setaffinity(0, {processors[-1]})

    def start(self):
        self.broker.launch()
        self.broker.await_ready()

    def load(self, begin=None):
        """Messages a second, and what ``begin`` returned, which is called once the load's connections are there."""
        from liaison_harness import BUILD
        connections, depth = self.options.load.split("x")
        load = subprocess.Popen([str(one) for one in (
            BUILD / "bench" / "load", "--to", f"127.0.0.1:{self.broker.ports['mllp']}", "--cert", self.good.pem, "--key", self.good.key_file,
            "--ca", self.authority.pem, "--connections", connections, "--depth", depth, "--warm", 1.5, "--seconds", self.options.seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(0.7)
            begun = begin() if begin else None
            told, complaint = load.communicate(timeout=180)
        finally:
            load.kill()
        assert load.returncode == 0, complaint
        return json.loads(told)["rate"], begun

    def crowd(self, deaf=True):
        from crowd import Crowd
        one = Crowd(self.broker.ports["mllp"], self.identities, self.authority.pem, deaf)
        one.start()
        return one

    def compare(self, what, begin, end, during=False):
        """The load by turns without and with, which begins before the load does, or ``during`` it; the ratios."""
        ratios = []
        for turn in range(max(1, self.options.pairs)):
            rates = {}
            for hostile in ((False, True), (True, False))[turn % 2] if self.options.pairs else (True,):
                one = begin() if hostile and not during else None
                rates[hostile], begun = self.load(begin if hostile and during else None)
                if hostile:
                    end(one or begun)
                time.sleep(0.3)
            if self.options.pairs:
                ratios.append(rates[True] / rates[False])
        if ratios:
            print(f"{what}: the load has {100 * statistics.median(ratios):.1f} % of what it has without, "
                  f"{100 * min(ratios):.1f} to {100 * max(ratios):.1f} in {len(ratios)} pairs, {self.options.load}")
            if self.options.demand and statistics.median(ratios) < 1 - LOSSES[what]:
                self.found.append(f"{what}: lost {100 - 100 * statistics.median(ratios):.1f} %")

    def slow(self):
        seconds = []

        def begin():
            one = self.crowd()
            seconds.append(one.all_here(120))
            one.settled(120)
            return one

        def end(one):
            assert not one.refused, one.refused[:2]
            here = len(one.here)
            one.leave()
            assert here > 0.9 * self.options.peers, f"{here} were left"
        self.compare("slow", begin, end)
        print(f"slow: {self.options.peers} peers came within {max(seconds):.1f} s")

    def flood(self):
        from crowd import Flood
        answered = []

        def begin():
            one = Flood(self.broker.ports["mllp"])
            one.start()
            one.since = time.monotonic()
            return one

        def end(one):
            answered.append(one.answered / (time.monotonic() - one.since))
            one.end()
            assert one.answered, "no handshake of the flood was ever answered"
        self.compare("flood", begin, end, during=True)
        print(f"flood: {statistics.median(answered):.0f} handshakes a second were answered beside the load")

    def back(self):
        one = self.crowd(deaf=False)
        one.all_here(120)
        self.broker.stop(30)
        one.here.clear()
        self.start()
        took = one.all_here(self.options.within)
        one.leave()
        print(f"back: {self.options.peers} peers were back, and had a message acknowledged, {took:.1f} s after the start")

    def close(self):
        if self.broker.process and self.broker.process.poll() is None:
            self.broker.process.kill()
            self.broker.process.wait()


def main():
    options = arguments()
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    run = Hostile(options, certificates)
    try:
        run.start()
        for name in (options.only,) if options.only else (*LOSSES, "back"):
            getattr(run, name)()
        if run.broker.stop(30):
            run.found.append("stop: not well")
    except BaseException:
        print(f"state and log: {run.broker.folder}", file=sys.stderr)
        raise
    finally:
        run.close()
        shutil.rmtree(certificates, ignore_errors=True)
    status = tell(run.found)
    if not run.found:
        run.broker.clean()
    return status


if __name__ == "__main__":
    sys.exit(main())

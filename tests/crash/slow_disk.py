#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A slow disk: so many milliseconds are added to every fdatasync and fsync of the daemon, and nothing is lost, and work goes on.

For each delay 16 senders pipeline 16 messages each over mutual TLS for a while, all of them must be acknowledged, and what arrived is compared with
what was acknowledged by checker.py. With --rate the load generator of bench/ then says what 64 senders with 16 in flight reach; --demand
is the least at 5 ms.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import ipaddress
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import types

import kill9
from kill9 import HERE  # noqa: F401  (which made the harness importable)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delays", default="1,5,10", metavar="MS,MS", help="milliseconds added to each sync (1,5,10)")
    parser.add_argument("--seconds", type=float, default=5, metavar="N", help="of sending for each (5)")
    parser.add_argument("--rate", action="store_true", help="measure 64 senders x 16 in flight at each delay, and at none (a build with bench)")
    parser.add_argument("--demand", type=int, default=0, metavar="N", help="messages a second at 5 ms, at least (0: whatever it is)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    options = parser.parse_args()
    try:
        options.delays = [int(one) for one in options.delays.split(",")]
    except ValueError:
        parser.error("--delays takes whole milliseconds")
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


def slowness(delay):
    """The environment of a daemon whose syncs take so many milliseconds more."""
    from liaison_harness import BUILD
    shim = BUILD / "tests" / "shim" / "stall.so"
    assert shim.exists(), f"{shim} is not built"
    return {"LD_PRELOAD": str(shim), "LIAISON_SLOW_SYNC": str(delay * 1000),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"} if delay else {}


class Slow(kill9.Run):
    """One life, and no kill."""

    def __init__(self, delay, options, certificates):
        super().__init__(types.SimpleNamespace(
            seed=options.seed + delay, senders=16, depth=16, kills=0, megabytes=60, check_every=1, retention=False, destinations=False,
            binary=None, keep=False), certificates)
        self.broker.environment = slowness(delay)
        self.seconds = options.seconds

    def run(self):
        self.begin()
        self.broker.launch()
        self.started()
        self.allowance.set(60e6)
        self.watch(self.seconds)
        self.allowance.set(0)
        self.end()


def careful(delay, options):
    """Findings of one delay."""
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    run = Slow(delay, options, certificates)
    since = time.monotonic()
    try:
        run.run()
        sent = time.monotonic() - since
        said, arrived, distinct = run.conclude()
        acknowledged = sum(sender.codes["AA"] for sender in run.senders)
        print(f"{delay} ms: seed {options.seed + delay}, {acknowledged} AA in {sent:.1f} s, {arrived} arrived, {arrived - distinct} doubles; {said}")
        if acknowledged < 16 * 16:
            run.found.append(f"slow: {delay} ms: only {acknowledged} messages went through in {options.seconds} s")
    finally:
        for sender in run.senders:
            sender.giving_up.set()
        run.dui.ending.set()
        if run.broker.process and run.broker.process.poll() is None:
            run.broker.process.kill()
            run.broker.process.wait()
        shutil.rmtree(certificates, ignore_errors=True)
    if not run.found:
        run.broker.clean()
    return run.found


def rate(delay, options):
    """Messages a second of 64 senders with 16 in flight."""
    from liaison_harness import BUILD
    from liaison_harness.authority import BOTH, Authority
    from liaison_harness.configuration import Configuration
    from victim import Victim
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    authority = Authority(certificates)
    authority.server = authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
    chu = authority.issue("chu")
    configuration = Configuration()
    configuration.journal["segment_size"] = "64M"
    configuration.peer("chu", chu, may=["send", "read"], max_connections=100, max_in_flight=1024)
    configuration.inbox("ehpad", readers=["chu"])
    configuration.route("all", to=["ehpad"])
    broker = Victim(authority, configuration)
    broker.environment = slowness(delay)
    try:
        broker.launch()
        broker.await_ready()
        done = subprocess.run([str(one) for one in (
            BUILD / "bench" / "load", "--to", f"127.0.0.1:{broker.ports['mllp']}", "--cert", chu.pem, "--key", chu.key_file,
            "--ca", authority.pem, "--connections", 64, "--depth", 16, "--size", 1024, "--warm", 1, "--seconds", 5)],
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    finally:
        broker.clean()
        shutil.rmtree(certificates, ignore_errors=True)


def main():
    options = arguments()
    found = []
    for delay in options.delays:
        found += careful(delay, options)
    for delay in [0, *options.delays] if options.rate else []:
        seen = rate(delay, options)
        print(f"{delay} ms: {json.dumps(seen)}")
        if delay == 5 and seen["rate"] < options.demand:
            found.append(f"rate: {seen['rate']:.0f} messages a second at 5 ms, {options.demand} are demanded")
    for one in found:
        print(one)
    print(f"{len(options.delays)} delays: {len(found)} broken promises")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

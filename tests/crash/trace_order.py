#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the daemon under strace, with 16 senders that pipeline to its plain listener, and has order.py judge the trace: before each `AA` leaves,
its message was written and a sync of that file has returned.

Then the same with a disk that says it had synced and never was asked to (a preloaded library): the checker must find that.

Exit status: 0 every promise held, 1 one did not, 2 usage.
"""
import argparse
import os
import pathlib
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import shutil
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "wire")]

import order  # noqa: E402

SYSCALLS = "pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,fdatasync,fsync"
MSA = re.compile(rb"\rMSA\|(A[AER])\|([^|\r]*)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=800, metavar="N", help="in all (800)")
    parser.add_argument("--build", default=os.environ.get("LIAISON_BUILD"), metavar="DIR", help="build folder (LIAISON_BUILD, build/)")
    options = parser.parse_args()
    if options.messages < 16:
        parser.error("each of the 16 sends one at least")
    if options.build:
        os.environ["LIAISON_BUILD"] = options.build
    return options


class Sender:
    """A plain connection that keeps 16 messages in flight until ``count`` are answered."""

    def __init__(self, port, name, count):
        from liaison_harness.hl7 import message
        self.message, self.name, self.count = message, name, count
        self.sent, self.answered, self.held = 0, 0, b""
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self):
        from liaison_harness.mllp import frame
        some = b""
        while self.sent < self.count and self.sent - self.answered < 16:
            some += frame(self.message(f"{self.name}-{self.sent:05d}", filler=self.sent * 37 % 600))
            self.sent += 1
        if some:
            self.socket.sendall(some)

    def read(self):
        got = self.socket.recv(65536)
        assert got, f"{self.name}: closed with {self.answered} of {self.sent} answered"
        self.held += got
        *whole, self.held = self.held.split(b"\x1c\r")
        for one in whole:
            code, control = (part.decode() for part in MSA.search(one).groups())
            assert (code, control) == ("AA", f"{self.name}-{self.answered:05d}"), one
            self.answered += 1
        self.fill()

    @property
    def over(self):
        return self.answered == self.count


def drive(port, messages):
    senders = [Sender(port, f"K{n:02d}", messages // 16) for n in range(16)]
    with selectors.DefaultSelector() as selector:
        for sender in senders:
            selector.register(sender.socket, selectors.EVENT_READ, sender)
            sender.fill()
        end = time.monotonic() + 120
        while not all(sender.over for sender in senders):
            assert time.monotonic() < end, "not all were answered in two minutes"
            for key, _ in selector.select(10):
                key.data.read()
    for sender in senders:
        sender.socket.close()
    return sum(sender.answered for sender in senders)


def traced(authority, messages, environment):
    """The lines of a trace, and how many messages were acknowledged in it."""
    from liaison_harness.configuration import Configuration
    from victim import Victim
    configuration = Configuration()
    chu = authority.issue("chu")
    configuration.peer("chu", chu, may=["send", "read"], max_connections=20)
    configuration.listeners.append({"name": "plain", "protocol": "mllp", "address": "127.0.0.1", "port": 0, "plain": "chu"})
    configuration.inbox("chu", readers=["chu"])
    configuration.route("all", to=["chu"])
    broker = Victim(authority, configuration)
    trace = broker.folder / "trace"
    # strace's options for the child's environment: what is preloaded is not for strace itself
    more = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    broker.under = ["strace", "-f", "-s", "1000000", "-e", f"trace={SYSCALLS}", "-e", "signal=none", "-o", trace, *more]
    try:
        broker.launch()
        broker.await_ready()
        count = drive(broker.ports["plain"], messages)
        # strace passes no signal on: the daemon is its child
        children = pathlib.Path(f"/proc/{broker.process.pid}/task/{broker.process.pid}/children").read_text().split()
        os.kill(int(children[0]), 15)
        assert broker.process.wait(60) == 0, broker.log_text()[-2000:]
        with open(trace, encoding="latin-1") as stream:
            return stream.readlines(), count
    finally:
        broker.clean()


def main():
    options = arguments()
    from liaison_harness import BUILD
    from liaison_harness.authority import BOTH, Authority
    import ipaddress
    certificates = tempfile.mkdtemp(prefix="liaison-certificates-")
    found = []
    sanitizer = {"ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}  # leaks are looked for by tracing, too
    try:
        authority = Authority(certificates)
        authority.server = authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
        lines, count = traced(authority, options.messages, sanitizer)
        findings, judged = order.check(lines)
        print(f"{judged} acknowledgements in {len(lines)} lines, {sum(name in line for line in lines for name in ('fdatasync(', 'fsync('))} syncs: "
              f"{len(findings)} findings")
        found += findings
        if judged != count:
            found.append(f"blind: {count} messages were acknowledged, {judged} were seen in the trace")
        lying = {**sanitizer, "LD_PRELOAD": str(BUILD / "tests" / "shim" / "stall.so"), "LIAISON_SKIP_SYNC": "1"}
        lines, count = traced(authority, 64, lying)
        findings, judged = order.check(lines)
        print(f"without syncs: {judged} acknowledgements, {len(findings)} findings")
        if len(findings) != count:
            found.append(f"blind: nothing was synced, and only {len(findings)} of {count} acknowledgements were found guilty")
    finally:
        shutil.rmtree(certificates, ignore_errors=True)
    for one in found:
        print(one)
    print(f"{len(found)} broken promises")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

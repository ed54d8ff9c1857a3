# SPDX-License-Identifier: Apache-2.0
"""Debian's stunnel as the TLS of a partner that has none: plain text on the loopback in, mutual TLS out."""
import shutil
import socket
import subprocess
import time

from liaison_harness.broker import free_port

START_SECONDS = 10


class Stunnel:
    """Client mode, with the partner's certificate; the broker's must be of the authority and for 127.0.0.1."""

    def __init__(self, folder, identity, authority, connect):
        self.folder, self.port = folder, free_port()
        self.file = folder / "stunnel.conf"
        self.file.write_text("\n".join([
            "foreground = yes", "pid =", f"output = {folder}/stunnel.log", "[hl7]", "client = yes",
            f"accept = 127.0.0.1:{self.port}", f"connect = 127.0.0.1:{connect}",
            f"cert = {identity.pem}", f"key = {identity.key_file}", f"CAfile = {authority.pem}",
            "verifyChain = yes", "checkIP = 127.0.0.1", "sslVersionMin = TLSv1.2", ""]))

    def __enter__(self):
        self.process = subprocess.Popen([shutil.which("stunnel4") or "/usr/bin/stunnel4", str(self.file)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "stunnel.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

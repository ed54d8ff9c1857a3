# SPDX-License-Identifier: Apache-2.0
"""A broker to be killed: started without waiting for it, on ports that stay, its log read from where this start began."""
import os
import pathlib
import subprocess
import time

from liaison_harness import LIAISOND, log
from liaison_harness.broker import START_SECONDS, Broker, free_port, wait_until


class Victim(Broker):
    def __init__(self, authority, configuration, binary=None, **options):
        super().__init__(authority, configuration, **options)
        self.binary = pathlib.Path(binary or LIAISOND)
        self.ports = {}
        for listener in configuration.listeners:
            listener["port"] = self.ports[listener["name"]] = free_port()
        self.admin_port = free_port()
        tls = {"certificate": str(self.server.pem), "key": str(self.server.key_file), "authorities": str(authority.pem)}
        self.file.write_text(configuration.render(self.folder, tls, self.admin_port))
        self.environment = {}  # of the daemon, beside ours
        self.under = []  # a command that runs it
        self.tail = 0  # where in the log file this start began

    def launch(self):
        if self.log_file.exists():
            self.tail = self.log_file.stat().st_size
        self.starts += 1
        self.stderr = self.folder / f"stderr.{self.starts}"
        self.launched = time.monotonic()
        with open(self.stderr, "wb") as stderr:
            self.process = subprocess.Popen([*self.under, self.binary, "-c", self.file], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                                            env=dict(os.environ, **self.environment))

    def lines(self):
        """The log of this start."""
        if not self.log_file.exists():
            return []
        with open(self.log_file, "rb") as stream:
            stream.seek(self.tail)
            content = stream.read()
        return log.parse(content.removeprefix(b"\n").decode("ascii"))  # which ends a line that the last kill cut short

    def await_ready(self):
        """How long it took, in milliseconds."""
        def ready():
            assert self.process.poll() is None, \
                f"liaisond ended with {self.process.returncode}:\n{self.stderr.read_text()}\n{self.lines()[-20:]}"
            return any(line.event == "ready" for line in self.lines())
        wait_until(ready, START_SECONDS, "ready")
        return (time.monotonic() - self.launched) * 1000

    def kill(self):
        """SIGKILL; whatever a sanitizer had said before counts."""
        super().kill()
        told = self.stderr.read_text(errors="replace")
        assert not told, told

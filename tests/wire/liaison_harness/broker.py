# SPDX-License-Identifier: Apache-2.0
"""A broker that runs: started on a folder of its own, watched by its log, stopped and killed."""
import http.client
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import pathlib

from . import LIAISOND, LIAISON, log
from .configuration import Configuration
from .mllp import Mllp
from .pull import Pull

START_SECONDS = 30
PATIENCE = 10  # for anything that takes milliseconds when all is well


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_until(question, seconds=PATIENCE, what="what was waited for"):
    """The first true answer of ``question``, asked again and again."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what} did not come in {seconds} s"
        time.sleep(0.01)


class Broker:
    def __init__(self, authority, configuration=None, server=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="liaison-"))
        self.authority = authority
        self.configuration = configuration or Configuration()
        self.server = server or authority.server
        self.file = self.folder / "liaison.conf"
        self.log_file = self.folder / "liaison.log"
        self.process = None
        self.admin_port = None
        self.clients = []
        self.starts = 0
        (self.folder / "state").mkdir(mode=0o700)

    def write(self):
        """The configuration as it is now, to its file."""
        tls = {"certificate": str(self.server.pem), "key": str(self.server.key_file), "authorities": str(self.authority.pem)}
        self.file.write_text(self.configuration.render(self.folder, tls))

    def start(self):
        self.write()
        before = len(self.log())
        self.starts += 1
        self.stderr = self.folder / f"stderr.{self.starts}"
        with open(self.stderr, "wb") as stderr:
            self.process = subprocess.Popen([LIAISOND, "-c", self.file], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"liaisond ended with {self.process.returncode}:\n{self.stderr.read_text()}\n{self.log_text()}")
            return any(line.event == "ready" for line in self.log()[before:])
        wait_until(ready, START_SECONDS, "ready")
        self.ports = {}
        self.learn_ports(before)
        return self

    def learn_ports(self, before=0):
        """Those of the listeners that the log tells of from line ``before`` on."""
        self.ports |= {line["listener"]: int(line["port"]) for line in self.log()[before:]
                       if line.event == "listening" and line.get("port")}
        self.admin_port = self.ports.pop("admin", None) or self.admin_port

    def reload(self):
        """Write the configuration and have it loaded: the event's line. An assertion fails when it is refused."""
        self.write()
        before = len(self.log())
        done = self.liaison("reload")
        assert done.returncode == 0, done
        told = wait_until(lambda: [line for line in self.log()[before:] if line.event == "reloaded"], what="reloaded")
        self.learn_ports(before)
        return told[-1]

    def refused(self):
        """Have the configuration loaded as it lies there: what is said of why it is not."""
        before = len(self.log())
        done = self.liaison("--socket", self.folder / "control.sock", "reload")
        assert done.returncode != 0, done
        told = wait_until(lambda: [line for line in self.log()[before:] if line.event == "reload-refused"], what="reload-refused")
        assert told[-1]["why"] and told[-1].level == "error"
        return done.stdout + done.stderr

    # The log

    def log_text(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def log(self, event=None, **fields):
        """Lines so far; of one event and with these fields, if asked."""
        lines = log.parse(self.log_text())
        return lines if event is None else [line for line in lines if line.is_(event, **fields)]

    def wait_log(self, event, seconds=PATIENCE, **fields):
        return wait_until(lambda: self.log(event, **fields), seconds, f"the log line {event} {fields}")[-1]

    # Metrics and health

    def admin(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """{'liaison_up': 1.0, 'liaison_messages_total{peer="chu"}': 2.0, ...}"""
        status, body = self.admin("/metrics")
        assert status == 200
        rows = (row.rpartition(" ") for row in body.splitlines() if row and not row.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def metric(self, name, **label):
        text = ",".join(f'{key}="{value}"' for key, value in label.items())
        return self.metrics().get(f"{name}{{{text}}}" if text else name, 0.0)

    def wait_metric(self, value, name, **label):
        """Gauges are brought up to date once a second."""
        wait_until(lambda: self.metric(name, **label) == value, what=f"{name} {label} = {value}")

    # Clients

    def mllp(self, identity, listener="mllp", **options):
        client = Mllp(self.ports[listener], identity, self.authority.pem, **options)
        self.clients.append(client)
        return client

    def pull(self, identity, listener="pull", **options):
        client = Pull(self.ports[listener], identity, self.authority.pem, **options)
        self.clients.append(client)
        return client

    def liaison(self, *arguments, seconds=60):
        """Run the control program; what it printed and how it ended."""
        return subprocess.run([LIAISON, "-c", self.file, *arguments], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL)

    # Ends

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=12):
        """SIGTERM; the exit status. What a sanitizer says on the way is a failure."""
        if self.process and self.process.poll() is None:
            self.terminate()
        return self.wait(seconds)

    def wait(self, seconds=12):
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"liaisond did not end within {seconds} s:\n" + "\n".join(self.log_text().splitlines()[-30:])) from None
        told = self.stderr.read_text(errors="replace")
        assert not re.search("Sanitizer|runtime error", told), told
        return status

    def kill(self):
        """SIGKILL: what a power cut leaves of a process."""
        self.process.kill()
        self.process.wait(12)

    def restart(self):
        return self.start()

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def clean(self):
        self.close_clients()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(12)
        shutil.rmtree(self.folder, ignore_errors=True)

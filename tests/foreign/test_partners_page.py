# SPDX-License-Identifier: Apache-2.0
"""conf/doc/partners.md: its programs, run as they stand there, against a broker with the settings that stand there."""
import ipaddress
import os
import re
import socket
import subprocess

import pytest

from liaison_harness import SOURCE
from liaison_harness.authority import SERVER
from liaison_harness.broker import Broker, free_port, wait_until
from liaison_harness.configuration import Configuration

PAGE = (SOURCE / "conf" / "doc" / "partners.md").read_text()
RUN = {"py": "/usr/bin/python3", "cjs": "node"}


def block(name):
    """The indented block whose first line names it."""
    for text in re.split(r"\n(?=\S)", PAGE):
        rows = re.findall(r"^    (.*)$|^(\s*)$", text, re.M)
        lines = [one or "" for one, _ in rows]
        while lines and not lines[0]:
            lines.pop(0)
        if lines and re.match(rf"(#|//) {re.escape(name)}\b", lines[0]):
            return "\n".join(lines) + "\n"
    raise AssertionError(f"partners.md has no {name}")


class Told(Configuration):
    """A configuration with the peers and destinations of the page."""

    def __init__(self, port):
        super().__init__()
        self.establishments = [{"name": "chu-demo", "mode": "test"}]
        self.port = port
        self.route("all", to=["partner-in"])

    def render(self, folder, tls):
        text = super().render(folder, tls)
        there = block("liaison.conf").replace("partner.example.org:2576", f"localhost:{self.port}")
        return re.sub(r"^peers = \(.*?^\);\n|^peers = \[ *\];\n", "", text, flags=re.M | re.S) + there


class Partner:
    """A machine of a partner: a folder with its three files and a program of the page."""

    def __init__(self, folder, identity, authority, packages):
        self.folder = folder
        folder.mkdir()
        for name, path in (("partner.pem", identity.pem), ("partner.key", identity.key_file), ("authority.pem", authority.pem)):
            (folder / name).write_bytes(path.read_bytes())
        self.environment = {**os.environ, "NODE_PATH": str(packages / "node_modules")}

    def start(self, name, replace, *arguments):
        text = block(name)
        for old, new in replace.items():
            assert old in text, f"{name}: {old}"
            text = text.replace(old, str(new))
        (self.folder / name).write_text(text)
        with open(self.folder / f"{name}.stderr", "wb") as errors:
            return subprocess.Popen([RUN[name.rpartition(".")[2]], name, *arguments], cwd=self.folder, env=self.environment,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)

    def received(self):
        file = self.folder / "received.hl7"
        return file.read_bytes() if file.exists() else b""


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", ["py", "cjs"])
def test_a_sender_and_a_receiver(kind, authority, fixtures, packages, tmp_path):
    names = ("laboratory", "imaging", "admission", "large")
    port = free_port()
    sender = Partner(tmp_path / "sender", authority.issue("partner", file_name=f"sender-{kind}"), authority, packages)
    receiver = Partner(tmp_path / "receiver", authority.issue(
        "partner", usage=SERVER, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")], file_name=f"receiver-{kind}"),
        authority, packages)
    serving = receiver.start(f"receive.{kind}", {"2576": port})
    broker = Broker(authority, Told(port))
    try:
        wait_until(lambda: listens(port), what="the receiver")
        broker.start()
        fixtures.add("bad", fixtures["admission"].replace(b"|2.5^FRA^2.11|", b"|9.9|").replace(b"DEMO-ADT-0001", b"DEMO-BAD"))
        sending = sender.start(f"send.{kind}", {"liaison.example.org": "127.0.0.1", "2575": broker.ports["mllp"]}, *fixtures.paths(*names, "bad"))
        out, _ = sending.communicate(timeout=60)
        assert sending.returncode == 0, (sender.folder / f"send.{kind}.stderr").read_text()
        *good, bad, why = out.splitlines()
        assert good == [f"{fixtures.control(fixtures[name])} AA" for name in names]
        assert bad == "DEMO-BAD AE"
        assert re.match(r"203\^Unsupported version id\^HL70357 MSH\^1\^12", why), why
        wait_until(lambda: len(broker.log("delivered", destination="partner-in")) == len(names))
        assert receiver.received() == b"".join(fixtures[name] for name in names)
        assert broker.stop() == 0
    finally:
        broker.clean()
        serving.terminate()
        serving.communicate(timeout=10)

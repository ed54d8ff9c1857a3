# SPDX-License-Identifier: Apache-2.0
"""Partners that nobody here wrote: their packages, their processes, and what they are given to send."""
import base64
import fcntl
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest

from liaison_harness import SOURCE

HERE = pathlib.Path(__file__).resolve().parent
MESSAGES = SOURCE / "tests" / "fixtures" / "messages"
INSTALLED = SOURCE / "build" / "foreign"
INSTALL_SECONDS = 180
PARTNER_SECONDS = 60


def install():
    """npm ci of package-lock.json into build/foreign, unless it is there. Where the registry cannot be reached, that is said."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256((HERE / "package.json").read_bytes() + (HERE / "package-lock.json").read_bytes()).hexdigest()
    with open(INSTALLED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = INSTALLED / "installed"
        if done.exists() and done.read_text() == digest:
            return INSTALLED
        for program in ("node", "npm"):
            if not shutil.which(program):
                pytest.fail(f"{program} is not there: conf/install-packages test installs it")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, INSTALLED)
        # hl7v2-net wants a newer dictionary than was ever published
        command = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund",
                   "--fetch-timeout=30000", "--fetch-retries=3", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000"]
        try:
            run = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            pytest.fail(f"npm ci did not end in {INSTALL_SECONDS} s; is the npm registry reached from here?")
        if run.returncode != 0:
            pytest.fail("npm ci could not install the partners' packages; is the npm registry reached from here? It said:\n"
                        + run.stderr[-2000:])
        done.write_text(digest)
    return INSTALLED


class Node:
    """A program of this folder, run by Node.js on a job; it tells one JSON object a line."""

    def __init__(self, program, folder, packages, identity=None, authority=None, **job):
        self.file = folder / f"{program}.json"
        self.errors = folder / f"{program}.stderr"
        job = {"packages": str(packages), "host": "127.0.0.1", **job}
        if identity:
            job.update(certificate=str(identity.pem), key=str(identity.key_file), authorities=str(authority.pem))
        self.file.write_text(json.dumps(job, default=str))
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(["node", str(HERE / f"{program}.cjs"), str(self.file)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=errors, text=True)

    def told(self):
        """All it told until it ended, well."""
        try:
            out, _ = self.process.communicate(timeout=PARTNER_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            pytest.fail(f"it did not end; it told:\n{out}\n{self.errors.read_text()}")
        assert self.process.returncode == 0, out + self.errors.read_text()
        told = [json.loads(line) for line in out.splitlines()]
        assert not [one for one in told if "failed" in one], told
        return told

    def next(self):
        """What it tells next."""
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.errors.read_text()}"
        return json.loads(line)

    def kill(self):
        """End it; ``rest`` is what it told since the last next()."""
        self.process.terminate()
        try:
            out, _ = self.process.communicate(timeout=PARTNER_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
        self.rest = [json.loads(line) for line in out.splitlines()]


class Fixtures:
    """Our own messages, as files: of three kinds, one with a document of two megabytes, one that is refused."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {}
        for name in ("laboratory", "imaging", "admission"):
            self.add(name, (MESSAGES / f"{name}.hl7").read_bytes())
        self.add("large", self.large())
        # this facility is not among those that the peer may speak for
        self.add("refused", self["admission"].replace(b"|CHU-DEMO|LIAISON|", b"|CHU-AUTRE|LIAISON|").replace(b"DEMO-ADT-0001", b"DEMO-ADT-0002"))

    def __getitem__(self, name):
        return self.files[name].read_bytes()

    def add(self, name, content):
        self.files[name] = self.folder / f"{name}.hl7"
        self.files[name].write_bytes(content)

    def paths(self, *names):
        return [str(self.files[name]) for name in names]

    @staticmethod
    def large():
        """The laboratory report, its document grown by comments to 1.5 MiB: 2 MiB as base64."""
        content = (MESSAGES / "laboratory.hl7").read_bytes().replace(b"DEMO-LAB-0001", b"DEMO-LAB-0002")
        head, document, tail = content.partition(b"^Base64^")[0], None, None
        head += b"^Base64^"
        document, end, tail = content[len(head):].partition(b"|")
        xml = base64.b64decode(document).rstrip()
        filler = ("<!-- " + "é à œ " * 1000 + "-->\n").encode()
        xml += b"\n" + filler * ((3 << 19) // len(filler))
        return head + base64.b64encode(xml) + end + tail

    @staticmethod
    def control(content):
        return content.split(b"|")[9].decode()

# SPDX-License-Identifier: Apache-2.0
"""The tour of conf/quickstart, word for word: what a newcomer sees, times, control ids, digests, paths and ports apart. To see a change that is meant:

    TOUR_GOLDEN=write tests/run     (or pytest tests/wire/test_tour.py with LIAISON_BUILD set), then git diff tests/wire/tour.txt
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "conf" / "quickstart"
GOLDEN = pathlib.Path(__file__).with_name("tour.txt")
PORTS = ("mllp", "https", "admin")


def free_ports():
    """One free port of the loopback for each listener."""
    held = [socket.socket() for _ in PORTS]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = {name: one.getsockname()[1] for name, one in zip(PORTS, held)}
    for one in held:
        one.close()
    return ports


class Quickstart:
    """How conf/quickstart is called: its state in a folder of the test, its ports free ones."""

    def __init__(self, state):
        self.state = state
        self.ports = free_ports()

    def command(self, *options):
        words = [QUICKSTART, *options, "--state", self.state]
        for name, port in self.ports.items():
            words += [f"--{name}", str(port)]
        return [str(word) for word in words]

    def run(self, *options):
        done = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=180, cwd=ROOT)
        return done.returncode, done.stdout, done.stderr

    def listening(self):
        return [name for name, port in self.ports.items() if socket.socket().connect_ex(("127.0.0.1", port)) == 0]


@pytest.fixture
def quickstart(tmp_path):
    return Quickstart(tmp_path / "state")


def normal(text, quickstart):
    """The transcript without what differs from run to run and machine to machine."""
    programs = pathlib.Path(os.environ["LIAISON_BUILD"])
    for path, name in ((quickstart.state, "STATE"), (programs, "PROGRAMS"), (programs.relative_to(ROOT), "PROGRAMS")):
        text = text.replace(str(path), name)
    for name, port in quickstart.ports.items():
        text = re.sub(rf"\b{port}\b", f"{name.upper()}-PORT", text)
    # where a long command is broken depends on the length of the paths
    text = re.sub(r" \\\n +", " ", text)
    for pattern, name in (
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "TIME"), (r"(?<=DEMO-[A-Z]{3}-)\d{15}", "STAMP"),
            (r"\b[0-9a-f]{64}\b", "SHA-256"), (r"(?<=sha256=)[0-9a-f]+", "SHA-256"), (r"\(\d+ ms\)", "(N ms)"),
            (r"\bus=\d+", "us=N"), (r"\blink=\d+", "link=N")):
        text = re.sub(pattern, name, text)
    return text


@pytest.fixture(autouse=True)
def programs():
    if "LIAISON_BUILD" not in os.environ:
        pytest.fail("LIAISON_BUILD must name the build folder whose programs are tested")


def test_golden_transcript(quickstart):
    code, out, err = quickstart.run("--once")
    assert code == 0, out + err
    assert err == ""
    assert quickstart.listening() == []
    seen = normal(out, quickstart)
    if os.environ.get("TOUR_GOLDEN") == "write":
        GOLDEN.write_text(seen)
    assert seen == GOLDEN.read_text()


def shape(text, quickstart):
    """The transcript without any number or width: what two runs on one state must have in common."""
    return [re.sub(r" +", " ", re.sub(r"\d+", "N", line)) for line in normal(text, quickstart).splitlines()]


def test_twice_is_as_good_as_once(quickstart):
    first, second = quickstart.run("--once"), quickstart.run("--once")
    assert first[0] == second[0] == 0, second[1] + second[2]
    assert shape(first[1], quickstart) == shape(second[1], quickstart)


def test_a_configuration_that_was_changed_is_kept(quickstart):
    code, out, err = quickstart.run("--once")
    assert code == 0, out + err
    file = quickstart.state / "liaison.conf"
    changed = file.read_text().replace('{ name = "ehpad-demo"; finess', '{ name = "chu-lyon"; mode = "test"; },\n  { name = "ehpad-demo"; finess')
    file.write_text(changed)
    code, out, err = quickstart.run("--once")
    assert code == 0 and "as you changed it" in out and file.read_text() == changed, out + err
    quickstart.ports = free_ports()
    code, _, err = quickstart.run("--once")
    assert code == 1 and "was changed by hand and has no port" in err and file.read_text() == changed, err


def test_port_in_use(quickstart):
    with socket.socket() as other:
        other.bind(("127.0.0.1", quickstart.ports["https"]))
        other.listen()
        code, _, err = quickstart.run("--once")
    assert code == 1
    assert f'port {quickstart.ports["https"]} of 127.0.0.1 is in use' in err and "--https PORT" in err


@pytest.mark.parametrize("sent, expected", [(signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_stays_until_told(quickstart, sent, expected):
    process = subprocess.Popen(quickstart.command("--serve"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
                               start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(quickstart.listening()) < len(PORTS):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.1)
        process.send_signal(sent)
        out, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == expected, out
    assert quickstart.listening() == []


@pytest.mark.parametrize("words, said", [
    (["--port", "1"], "'--port' is not known"),
    (["--mllp", "x"], "--mllp takes a port"),
    (["--mllp", "70000"], "--mllp takes a port"),
    (["--mllp"], "--mllp takes a port"),
    (["--state"], "--state takes a folder"),
])
def test_wrong_usage(words, said):
    done = subprocess.run([QUICKSTART, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert said in done.stderr


def test_help():
    done = subprocess.run([QUICKSTART, "--help"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--once", "--serve", "--mllp", "--https", "--admin", "--state"):
        assert option in done.stdout

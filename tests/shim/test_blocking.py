# SPDX-License-Identifier: Apache-2.0
"""The shim that watches the loop thread, against a program that blocks on purpose. LIAISON_BUILD names the build folder; without it, build/."""
import os
import pathlib
import subprocess
import tempfile

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHIM = pathlib.Path(os.environ.get("LIAISON_BUILD", SOURCE / "build")).resolve() / "tests" / "shim"

BLOCKING = {  # what the victim is asked to do, and the names it may be told under: the C library has several for one call
    "fsync": "fsync",
    "fdatasync": "fdatasync",
    "pread": "pread pread64",
    "pwritev": "pwritev pwritev64",
    "write": "write",
    "read-pipe": "read",
    "open": "open open64",
    "rename": "rename",
    "unlink": "unlink",
    "statvfs": "statvfs statvfs64",
    "getaddrinfo": "getaddrinfo",
    "nanosleep": "nanosleep",
    "flock": "flock",
    "wait": "pthread_cond_timedwait",
    "join": "pthread_join",
}
HARMLESS = ["read-quick", "proc"]


@pytest.fixture
def quick():
    """A folder where a sync is quick: in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is not here to write to")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def victim(tmp_path, quick):
    def run(where, call, **more):
        report = tmp_path / "report"
        report.unlink(missing_ok=True)
        environment = dict(os.environ, LD_PRELOAD=str(SHIM / "blocking.so"), LIAISON_SHIM_REPORT=str(report))
        environment["VICTIM_QUICK"] = str(quick)
        environment.update(more)
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        done = subprocess.run([SHIM / "victim", where, call], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (done.returncode, done.stderr)
        rows = report.read_text().splitlines()
        assert (rows[0], rows[-1]) == ("ready", "stopping")
        return rows[1:-1]
    return run


@pytest.mark.parametrize("call", BLOCKING)
def test_a_blocking_call_on_the_loop_is_told_with_its_place(victim, call):
    told = victim("loop", call)
    name, how = told[0].split(" ", 1)
    assert name in BLOCKING[call].split()
    assert how == "on the loop"
    assert any("victim" in row for row in told[1:])


@pytest.mark.parametrize("call", [call for call in BLOCKING if call != "wait"])
def test_a_blocking_call_under_a_lock_of_the_loop_is_told(victim, call):
    name, how = victim("locked", call)[0].split(" ", 1)
    assert name in BLOCKING[call].split()
    assert how == "under a lock of the loop"


@pytest.mark.parametrize("call", list(BLOCKING) + HARMLESS)
@pytest.mark.parametrize("where", ["early", "late", "thread", "private"])
def test_elsewhere_it_is_not(victim, where, call):
    assert victim(where, call) == []


def test_a_wait_lets_its_own_lock_go(victim):
    assert victim("locked", "wait") == []


@pytest.mark.parametrize("call", HARMLESS)
def test_what_does_not_wait_is_not_told(victim, call):
    assert victim("loop", call) == []
    assert victim("locked", call) == []


def test_the_loop_may_commit_little_to_a_quick_journal(victim):
    assert victim("loop", "commit") == []


@pytest.mark.parametrize("call", ["commit-large", "commit-unknown", "commit-elsewhere"])
def test_a_commit_of_any_other_kind_is_told(victim, call):
    """Too much, to a disk whose last sync is not known, to another file than a segment."""
    told = [row for row in victim("loop", call) if row.endswith(" on the loop")]
    assert [row.split()[0].removesuffix("64") for row in told] == ["pwritev", "fdatasync"]


def test_a_commit_to_a_slow_journal_is_told(victim, quick):
    (quick / "slow").touch()
    told = [row for row in victim("loop", "commit-slow", LIAISON_SHIM_SLOW=str(quick / "slow")) if row.endswith(" on the loop")]
    assert [row.split()[0].removesuffix("64") for row in told] == ["pwritev", "fdatasync"]


def test_a_commit_under_a_lock_of_the_loop_is_told(victim):
    assert victim("locked", "commit")

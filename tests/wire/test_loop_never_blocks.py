# SPDX-License-Identifier: Apache-2.0
"""A loop thread never blocks: not on a disk, a lock held over a disk, another thread, a name server or the clock.

The daemon runs with tests/shim/blocking.c preloaded, which writes down every such call of the loop while everything a day brings
happens to it. Nothing may have been written down. The one exception, a commit of little to a quick journal, the shim knows by itself.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from liaison_harness import BUILD, LIAISOND, SOURCE
from liaison_harness import destination as does
from liaison_harness.broker import free_port, wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import frame
from liaison_harness.road import QUICK

SHIM = BUILD / "tests" / "shim" / "blocking.so"
MEBI = 1 << 20


def explained(report):
    """The report with function names and lines, where binutils are there to tell them."""
    def named(match):
        found = subprocess.run(["addr2line", "-fpse", LIAISOND, match[1]], capture_output=True, text=True).stdout.strip()
        return f"liaisond {found}"
    if not shutil.which("addr2line"):
        return report
    return re.sub(r"\S*/liaisond\(\S*\+(0x[0-9a-f]+)\)\[\S+\]", named, report)


@pytest.fixture
def watched(brokers, configuration, authority, tmp_path, monkeypatch):
    """A broker whose loop is watched. When the scenario is over: what the loop did that it must not."""
    report = tmp_path / "blocked"
    monkeypatch.setenv("LIAISON_SHIM_REPORT", str(report))
    monkeypatch.setenv("LD_PRELOAD", str(SHIM))
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    made = brokers(configuration).start()
    monkeypatch.delenv("LD_PRELOAD")
    yield made
    made.close_clients()
    assert made.stop() == 0, made.stderr.read_text()
    told = report.read_text()
    assert told == "ready\nstopping\n", explained(told)


@pytest.fixture
def configuration(configuration):
    configuration.journal["segment_size"] = "1M"  # the least: many segments are begun, filled and sealed
    configuration.limits["workers"] = 2
    return configuration


def push(broker, authority, count, **options):
    """``count`` messages in flight at once, all accepted."""
    client = broker.mllp(authority.chu)
    sent = [message(**options) for _ in range(count)]
    for one in sent:
        client.frame(one)
    assert [client.ack().code for _ in sent] == ["AA"] * count
    return sent


def test_pushes(watched, authority):
    push(watched, authority, 300)
    push(watched, authority, 20, filler=50000)
    push(watched, authority, 3, filler=2 * MEBI)


def test_refusals_and_junk(watched, authority):
    client = watched.mllp(authority.chu)
    assert client.ask(message(version="9.9")).code == "AE"
    assert client.ask(b"no message at all\r").code == "AE"
    client.send(b"what is this\x0b" + message() + b"\x0b\x1c\r")
    watched.mllp(authority.chu).frame(message())
    watched.wait_log("refused")


def test_a_resend_is_confirmed_from_the_disk(watched, authority):
    sent = push(watched, authority, 50)
    sent += push(watched, authority, 2, filler=2 * MEBI)  # the first ones lie in a sealed segment now
    client = watched.mllp(authority.chu)
    for one in sent:
        assert client.ask(one).code == "AA"
    watched.wait_log("duplicate")


def test_a_day_of_a_reader(watched, authority):
    reader = watched.pull(authority.ehpad)
    answers = []
    poll = threading.Thread(target=lambda: answers.append(reader.items("ehpad", wait=20)))
    poll.start()
    push(watched, authority, 120)
    poll.join(30)
    assert answers and answers[0].json["items"]
    client = watched.mllp(authority.chu)
    for name in ("laboratory", "imaging", "admission"):
        assert client.ask((SOURCE / "tests" / "fixtures" / "messages" / f"{name}.hl7").read_bytes()).code == "AA", name
    push(watched, authority, 1, filler=2 * MEBI)
    items = reader.items("ehpad", limit=1000).json["items"]
    assert len(items) == 124
    for item in items[-5:]:
        assert reader.message(item["seq"]).status == 200
        for number in range(1, len(item.get("documents", [])) + 1):
            assert reader.document(item["seq"], number).status == 200
    assert reader.message(999999).status == 404
    done = [item["seq"] for item in items]
    assert reader.ack("ehpad", accepted=done[:100], rejected=[{"seq": one, "code": "unknown-patient", "text": "no such person here"} for one in done[100:103]]).status == 200
    assert reader.ack("ehpad", accepted=done[:10]).status == 200
    assert reader.inboxes().status == 200


@pytest.fixture
def destinations(configuration, lab):
    """One that takes everything, one where nobody listens, one of another name than its certificate's, one that no name server knows."""
    configuration.destination("lab", lab.port, **QUICK)
    configuration.destination("closed", free_port(), **QUICK)
    configuration.destination("misnamed", lab.port, server_name="other.example.org", **QUICK)
    configuration.destination("nowhere", 2575, **QUICK)
    configuration.destinations[-1]["address"] = "nowhere.invalid:2575"
    configuration.listeners.append({"name": "plain", "protocol": "mllp", "address": "127.0.0.1", "port": 0, "plain": "chu"})
    configuration.routes[0]["to"] = ["ehpad", "lab", "closed", "misnamed", "nowhere"]


@pytest.mark.usefixtures("destinations")
def test_destinations_are_dialled(watched, authority, lab):
    push(watched, authority, 40)
    push(watched, authority, 2, filler=2 * MEBI)
    with socket.create_connection(("127.0.0.1", watched.ports["plain"])) as plain:
        plain.sendall(frame(message()))
        assert plain.recv(10000)
    wait_until(lambda: watched.metric("liaison_delivered_total", destination="lab") == 43, 30)
    for reason in ("connection refused", "wrong host name"):
        wait_until(lambda: watched.metric("liaison_dials_failed_total", reason=reason) > 1, 30)
    wait_until(lambda: any(name.startswith("liaison_dials_failed_total") and "name" in name for name in watched.metrics()), 30)
    lab.cut()
    push(watched, authority, 5)
    wait_until(lambda: watched.metric("liaison_delivered_total", destination="lab") == 48, 30)


@pytest.mark.usefixtures("destinations")
def test_an_operator_sees_to_destinations(watched, authority):
    push(watched, authority, 10)
    for arguments in (["hold", "nowhere", "--reason", "a test"], ["queue"], ["queue", "nowhere"], ["why", "1"], ["status"],
                      ["release", "nowhere"], ["peers", "test", "lab"], ["peers", "test", "closed"], ["certs"]):
        done = watched.liaison(*arguments)
        assert done.returncode in (0, 1), (arguments, done.stderr)


def test_an_operator_looks(watched, authority):
    sent = push(watched, authority, 30)
    assert sent
    for arguments in (["status"], ["peers"], ["certs"], ["queue"], ["queue", "ehpad"], ["events"], ["search", "--peer", "chu"],
                      ["show", "1"], ["show", "1", "--content", "--reason", "a test"], ["why", "1"], ["check"],
                      ["rebuild", "--reason", "a test"], ["tail", "-n", "5"], ["peers", "test", "chu"], ["reload"],
                      ["drop", "1", "2", "--at", "ehpad"], ["drop", "1", "2", "--at", "ehpad", "--reason", "a test", "--yes"],
                      ["queue", "ehpad", "--dead"], ["replay", "1", "2"], ["replay", "--since", "1h"],
                      ["replay", "--dead", "ehpad", "--reason", "a test", "--yes"]):
        done = watched.liaison(*arguments)
        assert done.returncode in (0, 1), (arguments, done.stderr)
    for path in ("/metrics", "/healthz", "/readyz"):
        watched.admin(path)


def test_the_configuration_changes(watched, authority):
    """Peers, inboxes, listeners come and go; good ones and one that is refused."""
    settings = watched.configuration
    client = watched.mllp(authority.chu)
    for _ in range(2):
        settings.listeners.append({"name": "more", "protocol": "mllp", "address": "127.0.0.1", "port": 0})
        settings.peers.append({"name": "more", "establishment": "chu-test", "may": ["send"], "certificates": [{"spki": "sha256:" + "11" * 32}]})
        settings.inbox("more", readers=[])
        settings.route("more", ["more"], go_on=True)
        settings.routes.insert(0, settings.routes.pop())
        watched.reload()
        assert client.ask(message()).code == "AA"
        assert watched.mllp(authority.chu, "more").ask(message()).code == "AA"
        for some in (settings.listeners, settings.peers, settings.inboxes):
            some.pop()
        settings.routes.pop(0)
        watched.reload()
        assert client.ask(message()).code == "AA"
        watched.file.write_text("nonsense")
        assert watched.refused()


def test_the_log_is_rotated(watched, authority):
    push(watched, authority, 10)
    rotated = watched.log_file.rename(watched.log_file.with_suffix(".1"))
    watched.process.send_signal(signal.SIGHUP)
    wait_until(watched.log_file.exists)
    push(watched, authority, 10)
    assert rotated.exists()


@pytest.fixture
def hasty(configuration, monkeypatch):
    """A minute of the journal's time in a second, and nothing kept longer."""
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "60")
    configuration.journal.update(retention="1m", duplicate_window="1m")
    configuration.inboxes[0]["max_age"] = "5m"


@pytest.mark.usefixtures("hasty")
def test_old_segments_are_removed(watched, authority):
    """What is still to be read is carried forward; what waits too long becomes a dead letter."""
    for _ in range(3):
        push(watched, authority, 30, filler=50000)
    reader = watched.pull(authority.ehpad)
    items = reader.items("ehpad", limit=80).json["items"]
    assert reader.ack("ehpad", accepted=[item["seq"] for item in items]).status == 200
    watched.wait_log("segment-removed")
    watched.wait_log("dead-letter", seconds=20)


def test_peers_come_and_go(watched, authority):
    stranger = authority.issue("stranger")
    for _ in range(10):
        watched.mllp(authority.chu).close()
        try:
            watched.mllp(stranger).close()
        except OSError:
            pass
    watched.wait_log("connected")


@pytest.fixture
def dialled(configuration, lab):
    """A destination that is up, one whose name is unknown, and one that nobody is at."""
    configuration.destination("lab", lab.port, window=4, **QUICK)
    configuration.destination("nowhere", 1, **QUICK)
    configuration.destination("unnamed", 2576, **QUICK)
    configuration.destinations[-1]["address"] = "no-such-host.invalid:2576"
    configuration.routes[0]["to"] = ["ehpad", "lab", "nowhere", "unnamed"]
    configuration.peers[0]["max_size"] = "8M"
    return lab


def test_a_day_of_a_destination(dialled, watched, authority):
    dialled.next(does.code("AE", "207"), does.code("AR"), does.silence, does.times(3), does.garbage(), does.half, does.hang_up, does.reset)
    push(watched, authority, 100)
    push(watched, authority, 2, filler=3 * MEBI)
    wait_until(lambda: len({one.sha for one in dialled.messages}) == 102, 30, "all at the destination")
    dialled.stop()
    push(watched, authority, 20)
    watched.wait_log("destination-down", destination="lab")
    dialled.start()
    wait_until(lambda: len({one.sha for one in dialled.messages}) == 122, 30, "all at the destination")
    for name in ("nowhere", "unnamed"):
        watched.wait_log("destination-down", destination=name)


@pytest.fixture
def quick_disk(configuration):
    """The journal in memory: there a sync is quick on every machine."""
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < 48 * MEBI:
        pytest.skip("/dev/shm is not here, or full")
    configuration.journal.update(disk_floor="1M", reserve="1M")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        configuration.top["state"] = folder
        yield


def turns(broker):
    return broker.metric("liaison_journal_turn_syncs_total")


@pytest.fixture
def slow(monkeypatch, tmp_path):
    """While this file is there every sync takes five milliseconds more."""
    monkeypatch.setenv("LIAISON_SHIM_SLOW", str(tmp_path / "slow"))
    return tmp_path / "slow"


@pytest.mark.usefixtures("quick_disk")
def test_the_loop_syncs_a_quick_disk_itself_and_leaves_a_slow_one_alone(slow, watched, authority):
    """What the loop may do of its own the shim checks call by call; here: that it does, that it stops, that it begins again."""
    client = watched.mllp(authority.chu)

    def ask():
        assert client.ask(message()).code == "AA"
        return turns(watched)
    wait_until(ask, 60, "a sync on the loop")
    slow.touch()
    ask()
    ask()
    before = turns(watched)
    for _ in range(50):
        assert client.ask(message()).code == "AA"
    push(watched, authority, 200)
    assert turns(watched) == before
    slow.unlink()
    wait_until(lambda: ask() > before, 60, "a sync on the loop again")

# SPDX-License-Identifier: Apache-2.0
"""Operators' acts: hold, release, drop, replay. Each is told before it is done, journalled with who and why, and there after a kill."""
import contextlib
import datetime
import ipaddress
import os
import re
import subprocess
import sys

import pytest

from liaison_harness import LIAISON
from liaison_harness.authority import SERVER
from liaison_harness.broker import free_port, wait_until
from liaison_harness.hl7 import message
from liaison_harness.operators import ME, ask, push, queue, rows, state, words


@pytest.fixture
def dead(brokers, authority, configuration):
    """Everything goes to the inbox `ehpad` and to `lyon`, where nobody answers."""
    configuration.destination("lyon", free_port(), retry_first="1h", retry_longest="1h")
    configuration.routes[0]["to"] = ["ehpad", "lyon"]
    server = authority.issue("broker-lasting", usage=SERVER, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")],
                             until=datetime.timedelta(days=400))
    return brokers(configuration, server=server).start()


# hold and release

def test_a_hold_is_told_and_outlives_a_kill(dead, authority):
    ids, _ = push(dead, authority)
    held = dead.liaison("hold", "lyon", "--reason", "they move their server tonight")
    assert held.returncode == 0 and held.stdout == "lyon is held; 1 waiting there\n", held
    dead.wait_log("operator", act="hold")  # the log is written a moment later, the journal is not
    dead.kill()
    dead.restart()
    row = next(line for line in dead.liaison("queue").stdout.splitlines() if line.startswith("lyon "))
    assert row.split()[:4] == ["lyon", "mllp", "held", "1"] and f"held by {ME}" in row and "they move their server tonight" in row
    status = dead.liaison("status")
    assert status.returncode == 1 and "! lyon is held, 1 waiting" in status.stdout
    why = dead.liaison("why", str(ids[0]))
    assert "It waits for lyon" in why.stdout and f"{ME}" in why.stdout and "(they move their server tonight)" in why.stdout

    released = dead.liaison("release", "lyon", "--reason", "done")
    assert released.returncode == 0 and released.stdout == "lyon is released; 1 waiting there\n", released
    dead.wait_log("operator", act="release")
    dead.kill()
    dead.restart()
    assert state(dead, "lyon")["state"] != "held" and state(dead, "lyon")["held"] is None
    told = dead.log("operator")
    assert [(line["act"], line["destination"]) for line in told] == [("hold", "lyon"), ("release", "lyon")]
    assert all(line["who"].startswith(ME) for line in told)
    assert "server tonight" not in dead.log_text()


def test_a_hold_twice_and_a_release_of_nothing_are_refused(dead):
    assert dead.liaison("hold", "lyon", "--reason", "x").returncode == 0
    again = dead.liaison("hold", "lyon", "--reason", "x")
    assert again.returncode == 1 and "it is held already" in again.stderr
    assert dead.liaison("release", "lyon").returncode == 0
    wait_until(lambda: state(dead, "lyon")["state"] == "up")
    again = dead.liaison("release", "lyon")
    assert again.returncode == 1 and "it is not held" in again.stderr


@pytest.mark.parametrize("name, status, sentence", [
    ("ehpad", 1, "an inbox waits for its reader; nothing to hold"),
    ("paris", 1, "no destination is called so"),
    ("parked", 1, "no destination is called so"),
    ("", 2, 'which "destination"?'),
])
def test_only_what_is_dialled_is_held(dead, name, status, sentence):
    for act in ("hold", "release"):
        told = dead.liaison(act, name, "--reason", "x")
        assert told.returncode == status and sentence in told.stderr, told
    assert not dead.log("operator")


# drop

def test_a_drop_is_told_first_then_done_for_ever(dead, authority):
    ids, _ = push(dead, authority, 3)
    texts = [str(one) for one in ids]
    dry = dead.liaison("drop", texts[1], texts[0], texts[1], "--at", "lyon")
    assert dry.returncode == 0, dry
    assert dry.stdout.splitlines() == [f"{ids[0]}  would be dropped from lyon", f"{ids[1]}  would be dropped from lyon",
                                       "Nothing was done. --reason TEXT --yes drops 2: for ever, from this destination only"]
    assert queue(dead, "lyon") == ids and not dead.log("operator")

    done = dead.liaison("drop", *texts[:2], "--at", "lyon", "--reason", "sent twice by mistake", "--yes")
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{one}  dropped from lyon" for one in texts[:2]], done
    dead.wait_log("operator", act="drop")
    dead.kill()
    dead.restart()
    assert queue(dead, "lyon") == ids[2:] and queue(dead, "ehpad") == ids
    why = dead.liaison("why", texts[0])
    assert why.returncode == 0 and f"{ME}" in why.stdout and "dropped it from lyon" in why.stdout, why
    assert "(sent twice by mistake)" in why.stdout and "It waits in inbox ehpad" in why.stdout
    assert words(dead.liaison("show", texts[0])) == ["accepted", "routed", "routed", "dropped"]
    line, = dead.log("operator", act="drop")
    assert line["destination"] == "lyon" and line["id"] == texts[0] and line["count"] == "2"
    assert "by mistake" not in dead.log_text()

    again = dead.liaison("drop", *texts, "--at", "lyon", "--reason", "x", "--yes")
    assert again.returncode == 1, again
    assert again.stdout.splitlines() == [f"{one}  does not wait in lyon: dropped there before" for one in texts[:2]] + \
        [f"{texts[2]}  dropped from lyon"]
    assert state(dead, "lyon")["waiting"] == 0


def test_what_is_dropped_from_an_inbox_is_no_more_listed(dead, authority):
    ids, _ = push(dead, authority, 2)
    reader = dead.pull(authority.ehpad)
    assert [one["seq"] for one in reader.items("ehpad").json["items"]] == ids
    assert dead.liaison("drop", str(ids[0]), "--at", "ehpad", "--reason", "wrong patient", "--yes").returncode == 0
    assert [one["seq"] for one in reader.items("ehpad").json["items"]] == ids[1:]
    late = reader.ack("ehpad", accepted=[ids[0]])
    assert "accepted" not in dead.liaison("show", str(ids[0])).stdout.split("dropped")[-1], late


@pytest.mark.parametrize("arguments, status, sentence", [
    (["1", "--at", "paris"], 1, "no destination is called so"),
    (["1"], 2, "--at which DESTINATION"),
    (["--at", "lyon"], 2, "which ID"),
    (["x1", "--at", "lyon"], 2, '"x1" is no id of ours'),
    (["0", "--at", "lyon"], 2, '"0" is no id of ours'),
    (["1", "--at", "lyon", "--yes"], 2, "why? --reason TEXT"),
    (["1", "--at", "lyon", "--yes", "--reason", "a\nb"], 2, "without controls"),
    (["1", "--at", "lyon", "--yes", "--reason", "x" * 513], 2, "at most 512 bytes"),
    (["1", "--at", "lyon", "--yes", "--reason", b"\xff\xfe"], 2, "not UTF-8"),
    (["4711", "--at", "lyon"], 1, ""),
])
def test_a_mistaken_drop_does_nothing(dead, authority, arguments, status, sentence):
    ids, _ = push(dead, authority)
    told = dead.liaison("drop", *arguments)
    assert told.returncode == status and sentence in told.stderr, told
    assert queue(dead, "lyon") == ids and not dead.log("operator")


def test_ten_thousand_ids(dead, authority):
    ids, _ = push(dead, authority, 40)
    many = [str(one) for one in range(10_000, 0, -1)]
    dry = dead.liaison("drop", *many, "--at", "lyon")
    assert dry.returncode == 1 and dry.stdout.count("would be dropped") == 40, dry.stderr
    told = dead.liaison("drop", *many, "--at", "lyon", "--reason", "test", "--yes")
    assert told.returncode == 1 and told.stdout.count("  dropped from lyon") == 40
    assert [int(line.split()[0]) for line in told.stdout.splitlines()] == list(range(1, 10_001))
    assert queue(dead, "lyon") == [] and queue(dead, "ehpad") == ids


# replay

def test_a_replay_says_what_was_acknowledged_and_does_nothing_without_yes(dead, authority):
    (seq,), (content,) = push(dead, authority)
    reader = dead.pull(authority.ehpad)
    assert reader.ack("ehpad", accepted=[seq]).status == 200
    dry = dead.liaison("replay", str(seq))
    assert dry.returncode == 0, dry
    there, waits, last = dry.stdout.splitlines()
    assert re.fullmatch(rf"{seq}  ADT\^A01 from chu -> ehpad  would be sent; already acknowledged there at 20[^ ]+ \(by ehpad\)", there)
    assert waits == f"{seq}  ADT^A01 from chu -> lyon  it waits there still: nothing to do"
    assert last.startswith("Nothing was done. --reason TEXT --yes sends 1 of these 2")
    assert queue(dead, "ehpad") == [] and not dead.log("operator")

    done = dead.liaison("replay", str(seq), "--to", "ehpad", "--reason", "their disk was lost", "--yes")
    assert done.returncode == 0, done
    again = int(re.search(r"replayed as (\d+); already acknowledged there at", done.stdout)[1])
    assert again > seq and "1 of 1 replayed" in done.stdout
    dead.wait_log("operator", act="replay")
    dead.kill()
    dead.restart()
    reader = dead.pull(authority.ehpad)
    assert [one["seq"] for one in reader.items("ehpad").json["items"]] == [again]
    assert reader.message(again).body == content
    assert reader.ack("ehpad", accepted=[again]).status == 200

    assert words(dead.liaison("show", str(seq))) == ["accepted", "routed", "routed", "accepted", "replayed"]
    assert words(dead.liaison("show", str(again))) == ["replayed", "read", "accepted"]
    why = dead.liaison("why", str(again)).stdout
    assert why.startswith(f"Message {again} is message {seq} once more: {ME}") and "(their disk was lost)" in why
    assert f"replayed it there as {again}." in dead.liaison("why", str(seq)).stdout
    line, = dead.log("operator", act="replay")
    assert line["id"] == str(seq) and line["destination"] == "ehpad" and line["who"].startswith(ME)
    assert "disk was lost" not in dead.log_text()

    # Once more, of the replay: it is the first message that goes.
    third = dead.liaison("replay", str(again), "--reason", "again", "--yes")
    assert third.returncode == 0 and "already acknowledged there" in third.stdout, third
    newest = int(re.search(r"replayed as (\d+)", third.stdout)[1])
    assert f"is message {seq} once more" in dead.liaison("why", str(newest)).stdout


def test_a_day_is_replayed_in_the_order_of_the_journal(dead, authority):
    ids, contents = push(dead, authority, 450)
    other, _ = push(dead, authority, 1, kind="ORU^R01^ORU_R01")
    reader = dead.pull(authority.ehpad)
    for start in range(0, 450, 50):
        assert reader.ack("ehpad", accepted=ids[start:start + 50]).status == 200
    dry = dead.liaison("replay", "--since", "1h", "--from", "chu", "--type", "ADT^A01", "--to", "ehpad")
    assert dry.returncode == 0, dry
    assert [int(line.split()[0]) for line in dry.stdout.splitlines()[:-1]] == ids
    assert dry.stdout.count("already acknowledged there") == 450
    done = dead.liaison("replay", "--since", "1h", "--from", "chu", "--type", "ADT^A01", "--to", "ehpad", "--reason", "lost", "--yes")
    assert done.returncode == 0 and "450 of 450 replayed" in done.stdout, done
    new = [int(one) for one in re.findall(r"replayed as (\d+)", done.stdout)]
    assert new == sorted(new) and queue(dead, "ehpad") == other + new
    assert [reader.message(one).body for one in new[::90]] == contents[::90]
    assert sum(int(line.get("count", 1)) for line in dead.log("operator", act="replay")) == 450

    # What waits is not put there twice, and replays are not replayed by time.
    again = dead.liaison("replay", "--since", "1h", "--to", "ehpad", "--reason", "lost", "--yes")
    assert again.returncode == 0 and "0 of 451 replayed" in again.stdout, again.stdout[-300:]
    assert len(queue(dead, "ehpad")) == 451
    for arguments in (["--since", "2099-01-01"], ["--since", "1h", "--from", "ehpad"], ["--since", "3h", "--until", "1h"],
                      ["--since", "1h", "--type", "ORU^R02"], ["--since", "1h", "--at", "paris"]):
        told = dead.liaison("replay", *arguments)
        assert told.returncode == 0 and told.stdout == "There is nothing to replay.\n", told


def test_a_destination_nobody_has_is_all_that_is_told(dead):
    told = dead.liaison("replay", "--since", "1h", "--to", "paris")
    assert told.returncode == 1 and not told.stdout and "no destination is called" in told.stderr, told


def test_dead_letters_are_replayed_once(dead, authority):
    ids, _ = push(dead, authority, 3)
    reader = dead.pull(authority.ehpad)
    assert reader.ack("ehpad", rejected=[{"seq": ids[1], "code": "unknown", "text": "no such resident"}]).status == 200
    assert dead.liaison("drop", str(ids[0]), "--at", "ehpad", "--reason", "x", "--yes").returncode == 0
    listed = dead.liaison("queue", "ehpad", "--dead")
    assert listed.returncode == 0, listed
    first, second = listed.stdout.splitlines()[1:]
    assert first.split()[0] == str(ids[0]) and "dropped" in first and f"by {ME}" in first
    assert second.split()[0] == str(ids[1]) and "rejected" in second and second.endswith("unknown by ehpad")
    done = dead.liaison("replay", "--dead", "ehpad", "--reason", "they know him now", "--yes")
    assert done.returncode == 0 and "1 of 1 replayed" in done.stdout, done  # what was dropped was meant to be
    new = [int(one) for one in re.findall(r"replayed as (\d+)", done.stdout)]
    assert queue(dead, "ehpad") == [ids[2], *new]
    assert dead.liaison("replay", "--dead", "ehpad", "--reason", "x", "--yes").stdout == "There is nothing to replay.\n"
    listed = dead.liaison("queue", "ehpad", "--dead").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [str(ids[0])]
    by_id = dead.liaison("replay", str(ids[0]), "--to", "ehpad", "--reason", "it was the right one", "--yes")
    assert by_id.returncode == 0 and "1 of 1 replayed" in by_id.stdout, by_id
    assert dead.liaison("queue", "ehpad", "--dead").stdout.count("\n") == 1
    assert dead.liaison("why", str(ids[1])).returncode == 0  # what became of it is told of its replay


@pytest.mark.parametrize("arguments, status, sentence", [
    (["999999"], 1, "no accepted message has this id"),
    (["1", "--to", "paris"], 1, 'no destination is called "paris"'),
    ([], 2, "replay what"),
    (["1", "--since", "1h"], 2, "one of them"),
    (["--since", "1h", "--dead", "lyon"], 2, "one of them"),
    (["1", "--from", "chu"], 2, "go with --since"),
    (["--dead", "lyon", "--at", "ehpad"], 2, "go with --since"),
    (["--since", "yesterday"], 2, '--since does not take "yesterday"'),
    (["--since", "1h", "--until", "2h"], 2, "no span of time"),
    (["1", "--yes"], 2, "why? --reason TEXT"),
    (["1", "--yes", "--reason", "a\x1b[2Jb"], 2, "without controls"),
    (["DEMO-1"], 2, "no id of ours"),
])
def test_a_mistaken_replay_does_nothing(dead, authority, arguments, status, sentence):
    ids, _ = push(dead, authority)
    told = dead.liaison("replay", *arguments)
    assert told.returncode == status and sentence in told.stderr + told.stdout, told
    assert queue(dead, "lyon") == queue(dead, "ehpad") == ids and not dead.log("operator")


def test_a_test_message_is_not_replayed_into_production(brokers, authority, configuration):
    configuration.peer("live", authority.issue("live"), establishment="chu-live")
    configuration.peer("nurse", authority.issue("nurse"), may=["read"], establishment="chu-live")
    configuration.inbox("lilas", readers=["nurse"], establishment="chu-live")
    configuration.routes[0]["when"] = {"mode": "test"}
    broker = brokers(configuration).start()
    ids, _ = push(broker, authority)
    for more in ([], ["--reason", "x", "--yes"]):
        told = broker.liaison("replay", str(ids[0]), "--to", "lilas", *more)
        assert told.returncode == 1 and "of the other mode" in told.stdout, told
    assert queue(broker, "lilas") == []


def test_what_was_refused_cannot_be_replayed(dead, authority):
    with contextlib.closing(dead.mllp(authority.chu)) as sender:
        assert sender.ask(message(version="7.7")).code == "AE"
    seq = dead.wait_log("refused")["id"]
    told = dead.liaison("replay", seq, "--to", "ehpad", "--reason", "x", "--yes")
    assert told.returncode == 1 and "no accepted message has this id" in told.stdout, told


def test_what_was_parked_is_routed_anew(brokers, authority, configuration):
    rule = configuration.routes[0]
    rule["when"] = {"type": "ORU"}
    broker = brokers(configuration).start()
    ids, contents = push(broker, authority, 2)
    assert queue(broker, "parked") == ids
    dry = broker.liaison("replay", str(ids[0]))  # what only the doing shows is not promised
    assert dry.returncode == 0 and "would be routed anew, if a route of now wants it" in dry.stdout, dry
    none = broker.liaison("replay", str(ids[0]), "--reason", "x", "--yes")
    assert none.returncode == 1 and "no route wants it" in none.stdout, none
    assert queue(broker, "parked") == ids
    del rule["when"]["type"]
    assert broker.stop() == 0
    broker.restart()
    done = broker.liaison("replay", *map(str, ids), "--reason", "the route is there now", "--yes")
    assert done.returncode == 0, done
    new = [int(one) for one in re.findall(r"replayed as (\d+)", done.stdout)]
    assert queue(broker, "ehpad") == new and queue(broker, "parked") == []
    assert broker.pull(authority.ehpad).message(new[1]).body == contents[1]
    broker.kill()
    broker.restart()
    assert queue(broker, "ehpad") == new and queue(broker, "parked") == []
    why = broker.liaison("why", str(ids[0]))
    assert why.returncode == 0 and "It was parked" in why.stdout and f"replayed as {new[0]}" in why.stdout, why


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_replay_that_is_cut_short_is_gone_on_with(dead, authority, tmp_path, end):
    ids, contents = push(dead, authority, 1200)
    reader = dead.pull(authority.ehpad)
    for start in range(0, len(ids), 100):
        assert reader.ack("ehpad", accepted=ids[start:start + 100]).status == 200
    command = ["replay", "--since", "1h", "--to", "ehpad", "--reason", "their disk was lost", "--yes"]
    told = tmp_path / "told"
    with open(told, "wb") as out:
        program = subprocess.Popen([LIAISON, "-c", dead.file, *command], stdout=out, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: told.read_text().count("replayed as") > 200)  # in the middle of the pages
    getattr(dead, end)()
    complaint = program.communicate(timeout=30)[1]
    assert end == "kill" or dead.wait() == 0
    dead.restart()
    done = [int(one) for one in re.findall(r"replayed as (\d+)", told.read_text())]
    assert 200 < len(done) < 1200, "the kill came too early or too late to show anything"
    assert program.returncode == 2 and ("the broker went away" in complaint or "the broker stops" in complaint), complaint
    assert queue(dead, "ehpad")[:len(done)] == done, "what was told is there"
    again = dead.liaison(*command)
    assert again.returncode == 0, again.stderr
    reader, everything, last = dead.pull(authority.ehpad), [], 0
    while items := reader.items("ehpad", after=last, limit=500).json["items"]:
        last = items[-1]["seq"]
        everything += [item["control_id"] for item in items]
    assert everything == [content.split(b"|")[9].decode() for content in contents], "each once, in order"


def test_below_the_disk_floor_nothing_is_replayed_and_all_else_is_done(dead, authority):
    ids, _ = push(dead, authority, 2)
    assert dead.pull(authority.ehpad).ack("ehpad", accepted=ids[:1]).status == 200
    assert dead.stop() == 0
    disk = os.statvfs(dead.folder)
    dead.configuration.journal["disk_floor"] = f"{disk.f_blocks * disk.f_frsize >> 20}M"  # all there is
    dead.restart()
    told = dead.liaison("replay", str(ids[0]), "--to", "ehpad", "--reason", "x", "--yes")
    assert told.returncode == 1 and "disk space is below the floor; of this page 0 were replayed" in told.stderr, told
    assert "not replayed: the journal could not take it" in told.stdout
    assert queue(dead, "ehpad") == ids[1:] and not dead.log("operator")
    assert dead.liaison("hold", "lyon", "--reason", "x").returncode == 0
    assert dead.liaison("drop", str(ids[0]), "--at", "lyon", "--reason", "x", "--yes").returncode == 0
    assert queue(dead, "lyon") == ids[1:]


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system takes root")
def test_what_the_journal_cannot_take_is_not_done(brokers, configuration, authority):
    configuration.destination("lyon", free_port(), retry_first="1h", retry_longest="1h")
    configuration.routes[0]["to"] = ["ehpad", "lyon"]
    configuration.journal = {"segment_size": "1M", "disk_floor": "4M", "reserve": "1M"}
    broker = brokers(configuration)
    place = broker.folder / "state"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M,mode=0700", "tmpfs", place]).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        broker.start()
        ids, _ = push(broker, authority, 1000)
        with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        for name in ("ehpad", "lyon"):  # a part of the reserve
            broker.liaison("drop", *map(str, ids), "--at", name, "--reason", "x" * 512, "--yes")
        for n in range(10_000):
            told = ask(broker, command="release" if n % 2 else "hold", destination="lyon", reason="x" * 512)[-1]
            if "error" in told:
                break
        assert told["error"] == {"code": "store", "message": "the journal could not take this act: nothing was done"}
        held = n % 2 == 1  # as many acts were answered well
        assert (state(broker, "lyon")["held"] is not None) == held
        before = [row["waiting"] for row in rows(broker, command="queue")]
        broker.kill()
        (place / "filler").unlink()
        broker.restart()
        assert [row["waiting"] for row in rows(broker, command="queue")] == before, "what was not journalled was not done"
        assert (state(broker, "lyon")["held"] is not None) == held
        assert broker.stop() == 0
    finally:
        if broker.process and broker.process.poll() is None:
            broker.kill()
        subprocess.run(["umount", place], check=True)


def test_bytes_that_are_gone_are_told_so(brokers, configuration, authority, monkeypatch):
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "3600")  # an hour a second
    configuration.journal = {"segment_size": "1M", "retention": "1h", "duplicate_window": "60h", "disk_floor": "16M", "reserve": "1M"}
    configuration.inboxes[0]["max_age"] = "300d"
    broker = brokers(configuration).start()
    ids, _ = push(broker, authority)
    assert broker.pull(authority.ehpad).ack("ehpad", accepted=ids).status == 200
    for _ in range(3):  # segments behind it, so that its own is sealed and grows old
        push(broker, authority, 4, filler=400_000)
    wait_until(lambda: "bytes are not kept any more" in broker.liaison("replay", str(ids[0])).stdout, 60)
    told = broker.liaison("replay", str(ids[0]), "--reason", "x", "--yes")
    assert told.returncode == 1 and "its bytes are not kept any more" in told.stdout, told


# who may

@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_who_is_not_in_the_group_does_nothing(dead, authority):
    ids, _ = push(dead, authority)
    dead.folder.chmod(0o755)
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(b'{\"command\":\"drop\",\"ids\":[1],\"destination\":\"lyon\",\"reason\":\"x\",\"yes\":true}\\n');"
            "print(s.recv(65536).decode())")
    told = subprocess.run([sys.executable, "-c", code, str(dead.folder / "control.sock")], user=65534, group=65534, extra_groups=[],
                          capture_output=True, text=True, timeout=20, cwd="/")
    assert told.returncode != 0 and "PermissionError" in told.stderr, told
    assert queue(dead, "lyon") == ids


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_the_journal_names_who_it_was(dead, authority):
    ids, _ = push(dead, authority)
    dead.folder.chmod(0o755)
    code = ("import socket, sys, json; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(json.dumps({'command': 'drop', 'ids': [int(sys.argv[2])], 'destination': 'lyon', 'reason': 'x', 'yes': True})"
            ".encode() + b'\\n'); print(s.recv(65536).decode())")
    told = subprocess.run([sys.executable, "-c", code, str(dead.folder / "control.sock"), str(ids[0])], user=65534, group=0,
                          extra_groups=[], capture_output=True, text=True, timeout=20, cwd="/")
    assert told.returncode == 0 and '"dropped":1' in told.stdout, told
    assert "uid:65534(nobody) dropped it from lyon" in dead.liaison("why", str(ids[0])).stdout
    assert dead.wait_log("operator", act="drop")["who"] == "uid:65534(nobody)"

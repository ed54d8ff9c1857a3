# SPDX-License-Identifier: Apache-2.0
"""Operators and destinations that are dialled: what is seen while one is down, held, refuses; what a replay says of what it acknowledged."""
import datetime
import re

import pytest

from liaison_harness import destination as does
from liaison_harness.authority import SERVER
from liaison_harness.broker import wait_until
from liaison_harness.operators import ME, push, queue, rows, state, words


@pytest.fixture
def settings():
    return {"acknowledgement": "1s", "retry_first": "100ms", "retry_longest": "500ms"}


@pytest.fixture
def broker(brokers, configuration, lab, settings):
    """All that `chu` sends goes to the destination `lab`."""
    configuration.destination("lab", lab.port, **settings)
    configuration.routes[0]["to"] = ["lab"]
    return brokers(configuration).start()


def drained(broker, name="lab"):
    wait_until(lambda: not queue(broker, name), what=f"{name} drained")


def row_of(broker, name):
    return next(line for line in broker.liaison("queue").stdout.splitlines() if line.startswith(name + " "))


def test_what_was_acknowledged_is_told_before_it_is_sent_again(broker, authority, lab):
    (seq,), (content,) = push(broker, authority)
    drained(broker)
    assert row_of(broker, "lab").split()[:4] == ["lab", "mllp", "up", "0"]
    assert words(broker.liaison("show", str(seq))) == ["accepted", "routed", "acknowledged"]
    why = broker.liaison("why", str(seq))
    assert why.returncode == 0 and "lab acknowledged it (AA) at" in why.stdout
    dry = broker.liaison("replay", str(seq))
    assert dry.returncode == 0, dry
    assert re.match(rf"{seq}  ADT\^A01 from chu -> lab  would be sent; already acknowledged there at 20[^ ]+ \(AA\)\n", dry.stdout), dry
    assert len(lab.messages) == 1
    done = broker.liaison("replay", str(seq), "--reason", "they lost it", "--yes")
    assert done.returncode == 0, done
    wait_until(lambda: len(lab.messages) == 2)
    assert [one.content for one in lab.messages] == [content, content]
    drained(broker)
    again = re.search(r"replayed as (\d+)", done.stdout)[1]
    assert words(broker.liaison("show", again)) == ["replayed", "acknowledged"]
    assert words(broker.liaison("show", str(seq))) == ["accepted", "routed", "acknowledged", "replayed"]
    # And of the replay, too.
    assert "already acknowledged there" in broker.liaison("replay", str(seq)).stdout


def test_a_day_goes_once_more_in_its_order(broker, authority, lab):
    ids, contents = push(broker, authority, 30)
    drained(broker)
    done = broker.liaison("replay", "--since", "1h", "--at", "lab", "--reason", "restored", "--yes")
    assert done.returncode == 0 and "30 of 30 replayed" in done.stdout, done
    assert done.stdout.count("already acknowledged there") == 30
    wait_until(lambda: len(lab.messages) == 60)
    assert [one.content for one in lab.messages] == contents + contents
    drained(broker)


def test_nothing_is_sent_while_it_is_held(broker, authority, lab):
    assert broker.liaison("hold", "lab", "--reason", "their machine is changed").returncode == 0
    ids, contents = push(broker, authority, 3)
    row = row_of(broker, "lab")
    assert row.split()[:4] == ["lab", "mllp", "held", "3"] and "their machine is changed" in row
    broker.kill()
    broker.restart()
    assert queue(broker, "lab") == ids and not lab.messages
    assert broker.liaison("release", "lab").returncode == 0
    drained(broker)
    assert [one.content for one in lab.messages] == contents


def test_a_destination_that_is_down_is_told_with_its_reason(broker, authority, lab):
    lab.stop()
    ids, contents = push(broker, authority, 2)
    wait_until(lambda: state(broker, "lab")["tries"] >= 2)
    one = state(broker, "lab")
    assert one["state"] in ("back-off", "down", "connecting") and "refused" in one["error"], one
    row = row_of(broker, "lab")
    assert row.split()[3] == "2" and "refused" in row.split("  ")[-1], row
    status = broker.liaison("status")
    assert status.returncode == 1 and "! lab does not take messages, 2 waiting: " in status.stdout
    assert "1 destination (1 down, 0 held)" in status.stdout
    why = broker.liaison("why", str(ids[1])).stdout
    assert "It waits for lab" in why and "the last try (of " in why and "refused" in why
    first, second = broker.liaison("queue", "lab").stdout.splitlines()[1:]
    assert "refused" in first and int(first.split()[-len(first.split("  ")[-1].split()) - 1]) >= 2 and second.rstrip().endswith("-")
    test = broker.liaison("peers", "test", "lab")
    assert test.returncode == 1 and "refused" in test.stdout, test
    lab.start()
    drained(broker)
    assert [one.content for one in lab.messages] == contents
    assert "! lab does not" not in broker.liaison("status").stdout


@pytest.mark.parametrize("settings", [{"retry_first": "1h", "retry_longest": "1h"}])
def test_a_release_of_one_that_pauses_tries_it_now(broker, authority, lab):
    lab.stop()
    ids, contents = push(broker, authority)
    wait_until(lambda: state(broker, "lab")["state"] == "back-off")
    lab.start()
    told = broker.liaison("release", "lab", "--reason", "they say it runs again")
    assert told.returncode == 0 and told.stdout == "lab was not held, it is tried now; 1 waiting there\n", told
    drained(broker)
    assert [one.content for one in lab.messages] == contents
    assert broker.wait_log("operator", act="release")["destination"] == "lab"


def test_what_was_refused_is_replayed_once_it_is_mended(broker, authority, lab):
    lab.next(does.code("AE", "103", "PID^1^3", "unknown resident"), does.accept)
    ids, contents = push(broker, authority, 2)
    drained(broker)
    why = broker.liaison("why", str(ids[0]))
    assert why.returncode == 1 and "lab refused it at" in why.stdout and "code AE" in why.stdout, why
    dead = broker.liaison("queue", "lab", "--dead").stdout.splitlines()
    assert len(dead) == 2 and dead[1].split()[0] == str(ids[0]) and "rejected" in dead[1] and "AE" in dead[1], dead
    done = broker.liaison("replay", "--dead", "lab", "--reason", "they know him now", "--yes")
    assert done.returncode == 0 and "1 of 1 replayed" in done.stdout and "already acknowledged" not in done.stdout, done
    drained(broker)
    assert [one.content for one in lab.messages] == [*contents, contents[0]]
    assert broker.liaison("queue", "lab", "--dead").stdout.count("\n") == 1
    assert broker.liaison("why", str(ids[0])).returncode == 0


@pytest.mark.parametrize("settings", [{"acknowledgement": "3s", "retry_first": "100ms", "retry_longest": "100ms"}])
def test_what_is_dropped_in_flight_may_have_arrived(broker, authority, lab):
    lab.usual = does.silence
    ids, contents = push(broker, authority, 2)
    wait_until(lambda: len(lab.messages) == 1)
    dry = broker.liaison("drop", *map(str, ids), "--at", "lab")
    first, second, _ = dry.stdout.splitlines()
    assert first == f"{ids[0]}  would be dropped from lab; it is being sent just now and may arrive all the same"
    assert second == f"{ids[1]}  would be dropped from lab"
    done = broker.liaison("drop", str(ids[0]), "--at", "lab", "--reason", "wrong patient", "--yes")
    assert done.returncode == 0 and "may arrive all the same" in done.stdout, done
    assert queue(broker, "lab") == ids[1:]
    lab.usual = does.accept
    drained(broker)
    assert lab.messages[-1].content == contents[1] and len({one.content for one in lab.messages}) == 2
    assert "dropped it from lab" in broker.liaison("why", str(ids[0])).stdout


@pytest.mark.parametrize("settings", [{"acknowledgement": "30s", "window": 100}])
def test_each_of_a_wide_window_is_told_to_be_in_flight(broker, authority, lab):
    lab.usual = does.silence
    ids, _ = push(broker, authority, 90)
    wait_until(lambda: len(lab.messages) == 90)
    assert [row["in_flight"] for row in rows(broker, command="drop", destination="lab", ids=ids)] == [True] * 90


def test_a_replay_behind_what_waits(broker, authority, lab):
    ids, contents = push(broker, authority, 2)
    drained(broker)
    assert broker.liaison("hold", "lab", "--reason", "test").returncode == 0
    live, live_contents = push(broker, authority, 1)
    done = broker.liaison("replay", *map(str, ids), "--reason", "again", "--yes")
    new = [int(one) for one in re.findall(r"replayed as (\d+)", done.stdout)]
    assert queue(broker, "lab") == live + new
    broker.kill()
    broker.restart()
    assert queue(broker, "lab") == live + new
    assert broker.liaison("release", "lab").returncode == 0
    drained(broker)
    assert [one.content for one in lab.messages] == contents + live_contents + contents


def test_certificates_of_those_we_dial(broker, authority, lab):
    told = broker.liaison("certs").stdout
    assert re.search(r"(?m)^lab .*not seen since the start", told), told
    push(broker, authority)
    drained(broker)
    told = broker.liaison("certs")
    row = next(line for line in told.stdout.splitlines() if line.startswith("lab "))
    assert "! the certificate of lab expires in 0 days: call the partner" in broker.liaison("status").stdout
    assert "within 1 days" in row and authority.server.serial.lstrip("0") in row.upper()
    good = broker.liaison("peers", "test", "lab")
    assert good.returncode == 0 and authority.server.serial.lstrip("0") in good.stdout.upper(), good
    peer = broker.liaison("peers", "test", "chu")
    assert peer.returncode == 0 and peer.stdout, peer
    nobody = broker.liaison("peers", "test", "nobody")
    assert nobody.returncode == 1 and "no peer and no dialled destination is called so" in nobody.stderr
    assert broker.liaison("peers", "test").returncode == 2
    assert not [line for line in broker.log("operator")], "to look is no act"


def test_a_reload_says_what_changed_or_what_is_wrong(broker, authority, lab):
    good = broker.file.read_text()
    same = broker.liaison("reload")
    assert same.returncode == 0 and "reloaded" in same.stdout, same
    broker.file.write_text(good.replace('name = "lab"', 'name = "labo"').replace('"lab"', '"labo"'))
    told = broker.liaison("reload")
    assert told.returncode == 0 and "labo" in told.stdout, told
    assert state(broker, "labo")["protocol"] == "mllp"
    broker.file.write_text(good.replace('protocol = "mllp"', 'protocol = "smoke"') + "\nnonsense = 1;\n")
    bad = broker.liaison("reload")
    assert bad.returncode == 1 and re.search(r"liaison\.conf:\d+: ", bad.stdout) and "nothing was switched" in bad.stderr, bad
    assert bad.stdout.count("\n") >= 2, "every error, not the first only"
    assert state(broker, "labo")["protocol"] == "mllp"
    told = broker.wait_log("operator", act="reload")
    assert told["who"].startswith(ME)
    # Half written, at three in the morning: the broker can be asked all the same.
    broker.file.write_text(good + "\nhalf = ((\n")
    bad = broker.liaison("reload")
    assert bad.returncode == 1 and re.search(r"liaison\.conf:\d+: syntax error", bad.stdout) and "nothing was switched" in bad.stderr, bad
    assert state(broker, "labo")["protocol"] == "mllp"


def test_the_first_destination_wants_a_certificate_for_clients(brokers, configuration, authority, lab):
    broker = brokers(configuration, server=authority.issue("for-servers", usage=SERVER, dns=("localhost",))).start()
    assert broker.liaison("reload").returncode == 0
    configuration.destination("lab", lab.port)
    broker.write()
    told = broker.liaison("reload")
    assert told.returncode == 1 and "the certificate is not one for a client as well" in told.stdout, told
    broker.server = authority.server
    broker.write()
    assert broker.liaison("reload").returncode == 0
    assert broker.liaison("peers", "test", "lab").returncode == 0


def test_what_waits_for_a_destination_that_is_configured_no_more(broker, authority, lab):
    lab.stop()
    ids, _ = push(broker, authority, 2)
    text = broker.file.read_text()
    broker.file.write_text(text.replace('"lab"', '"labo"'))
    told = broker.liaison("reload")
    assert told.returncode == 0 and "2 waiting for destinations that are not configured" in told.stdout, told
    gone = state(broker, "lab")
    assert (gone["protocol"], gone["waiting"]) == ("none", 2)
    assert "not configured" in broker.liaison("status").stdout
    assert "the configuration has no destination of that name" in broker.liaison("why", str(ids[0])).stdout
    held = broker.liaison("hold", "lab", "--reason", "x")
    assert held.returncode == 1 and "it is not configured (any more)" in held.stderr, held
    dry = broker.liaison("replay", str(ids[0]))
    assert dry.returncode == 1 and "no destination is called so (any more)" in dry.stdout, dry
    lab.start()
    moved = broker.liaison("replay", str(ids[0]), "--to", "labo", "--reason", "it has another name now", "--yes")
    assert moved.returncode == 0, moved
    drained(broker, "labo")
    assert broker.liaison("drop", *map(str, ids), "--at", "lab", "--reason", "sent to labo", "--yes").returncode == 0
    assert not [one for one in rows(broker, command="queue") if one["name"] == "lab"]
    assert len(lab.messages) == 1



def test_who_should_send_and_does_not_is_told(brokers, configuration, authority):
    configuration.peers[0]["silent_after"] = "1s"
    broker = brokers(configuration).start()
    push(broker, authority)
    assert "is silent" not in broker.liaison("status").stdout
    told = wait_until(lambda: (one := broker.liaison("status")) and "! chu is silent for " in one.stdout and one)
    assert told.returncode == 1
    push(broker, authority)
    assert "is silent" not in broker.liaison("status").stdout


def test_a_revoked_certificate_is_not_called_well(brokers, configuration, authority, tmp_path):
    lists = tmp_path / "lists.pem"
    lists.write_bytes(authority.crl())
    configuration.tls["crls"] = str(lists)
    broker = brokers(configuration).start()
    push(broker, authority)
    row = next(line for line in broker.liaison("certs").stdout.splitlines() if line.startswith("chu "))
    assert "revoked" not in row
    lists.write_bytes(authority.crl(authority.chu))
    assert broker.liaison("reload").returncode == 0
    told = broker.liaison("certs")
    row = next(line for line in told.stdout.splitlines() if line.startswith("chu "))
    assert told.returncode == 1 and row.split()[2] == "revoked", told


@pytest.mark.parametrize("days, row, alert", [
    (None, None, None),
    (1, "well", None),
    (-1, "STALE", "is past its next update: in 4"),
    (-4, "TOO OLD: CERTIFICATES ARE REFUSED", "is too old: its certificates are refused"),
])
def test_revocation_lists_are_told_with_their_age(brokers, configuration, authority, tmp_path, days, row, alert):
    day = datetime.timedelta(days=1)
    if days:
        (tmp_path / "lists.pem").write_bytes(authority.crl(since=-9 * day, until=days * day))
        configuration.tls["crls"] = str(tmp_path / "lists.pem")
    broker = brokers(configuration).start()
    told = broker.liaison("certs").stdout
    lines = [line for line in told.splitlines() if line.startswith("1 revocation list ")]
    assert [row in line for line in lines] == [True] * bool(row), told
    status = broker.liaison("status").stdout
    assert "revocation list" not in status if not alert else alert in status, status

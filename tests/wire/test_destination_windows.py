# SPDX-License-Identifier: Apache-2.0
"""Destinations with a window past 1, messages of one id, large ones, slow readers, and messages that grow too old."""
import time

import pytest

from liaison_harness import destination as does
from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message
from liaison_harness.road import QUICK, Road, arrived, doubles, in_order, settled, waiting

MEBI = 1 << 20


@pytest.fixture
def setting():
    return {**QUICK, "window": 16}


@pytest.fixture
def configuration(configuration, lab, setting):
    configuration.destination("lab", lab.port, **setting)
    configuration.routes[0]["to"] = ["lab"]
    return configuration


@pytest.fixture
def road(broker, authority):
    return Road(broker, authority.chu)


def test_in_flight_up_to_the_window(broker, road, lab):
    lab.usual = does.late(0.5)
    road.push(40)
    wait_until(lambda: len(lab.messages) == 16, what="sixteen without an answer")
    assert lab.count == 1
    told = settled(broker, 40)
    assert lab.most == 16
    assert in_order(lab, road) and doubles(lab, road) == [0] * 40
    assert [line["tries"] for line in told] == ["1"] * 40


def test_go_back(broker, road, lab):
    """One of twenty is never answered: those behind it that were answered are not sent again, those that were not are, in order."""
    lab.next(*[does.accept] * 3, does.silence, *[does.accept] * 5, does.silence)
    road.push(20)
    told = settled(broker, 20)
    assert {line["code"] for line in told} == {"AA"}
    assert in_order(lab, road)
    again = doubles(lab, road)
    assert again[3] == again[9] == 1 and sum(again) == 2, again
    late = [one.sha for one in lab.messages][-2:]
    assert late == [road.shas[3], road.shas[9]]


def test_a_cut_in_the_middle(broker, road, lab):
    lab.usual = does.silence
    road.push(30)
    wait_until(lambda: len(lab.messages) == 16)
    lab.usual = does.accept
    lab.cut()
    settled(broker, 30)
    assert in_order(lab, road)
    assert doubles(lab, road) == [1] * 16 + [0] * 14, "all that was on its way, nothing else"


def test_rejected_among_others(broker, road, lab):
    lab.next(does.accept, does.code("AE", "207"), does.accept, does.code("CE"))
    road.push(10)
    told = settled(broker, 10)
    assert sorted(line["code"] for line in told) == ["AA"] * 8 + ["AE", "CE"]
    assert in_order(lab, road) and doubles(lab, road) == [0] * 10
    assert broker.metric("liaison_items_rejected_total", destination="lab") == 2


def test_refused_for_now_among_others(broker, road, lab):
    """What is behind a refusal and was answered is not sent again; nothing new is sent before the refused one."""
    lab.next(does.accept, does.accept, does.code("AR", "207"), *[does.accept] * 4, does.silence)
    road.push(30)
    settled(broker, 30)
    again = doubles(lab, road)
    assert in_order(lab, road)
    assert again[2] == 1 and sum(again) <= 2, again


def test_two_hospitals_with_the_same_ids(broker, lab, authority):
    """Messages of one MSH-10 are never on their way together, and an answer that is repeated confirms only the first."""
    road = Road(broker, authority.chu)
    lab.next(does.times(3), does.silence)
    road.send(*(message(f"N{n // 2}", facility=f"CHU{n % 2}") for n in range(12)))
    settled(broker, 12)
    assert in_order(lab, road)
    again = doubles(lab, road)
    assert again[1] == 1, "the second was not answered at first; the answers to the first did not count for it"
    assert sum(again) == 1


@pytest.fixture
def roomy(configuration):
    configuration.peers[0]["max_size"] = "64M"
    configuration.journal["segment_size"] = "4M"
    configuration.limits["answer"] = "2s"
    configuration.destinations[0].update(acknowledgement="20s")
    return configuration


@pytest.mark.usefixtures("roomy")
def test_a_message_of_sixty_mebibytes(broker, road, lab):
    road.push(2)
    road.push(1, filler=60 * MEBI)
    road.push(2)
    settled(broker, 5, seconds=60)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 5


@pytest.mark.usefixtures("roomy")
def test_a_large_one_is_refused_before_it_is_whole(broker, road, lab, authority):
    """AE in the middle of a frame: a dead letter, and the next ones come."""
    road.push(1)
    settled(broker, 1)
    large = message("LARGE", filler=40 * MEBI)

    def refuse(connection):
        first = connection.socket.recv(1 << 16)
        if b"|LARGE|" in first:
            connection.send(does.frame(does.acknowledgement("AE", "LARGE", "207")))
            while connection.socket.recv(1 << 20):
                pass
            return
        connection.held += first
    lab.cut()
    lab.greeting = refuse
    road.send(large)
    told = settled(broker, 2)
    assert told[1]["code"] == "AE" and told[1]["condition"] == "207"
    lab.greeting = None
    road.push(2)
    settled(broker, 4)
    assert len(lab.messages) == 3


@pytest.mark.usefixtures("roomy")
def test_one_that_does_not_read(broker, road, lab, configuration):
    """It is given up after the time for an answer, not waited for; other traffic goes on meanwhile."""
    def stare(connection):
        time.sleep(30)
    lab.greeting = stare
    road.push(1, filler=30 * MEBI)
    wait_until(lambda: lab.count == 1)
    road.push(3)
    assert waiting(broker) >= 0
    failure = broker.wait_log("destination-down", seconds=20, destination="lab")
    assert failure["reason"] == "it does not read what it is sent"
    lab.greeting = None
    settled(broker, 4, seconds=40)
    assert in_order(lab, road)


@pytest.fixture
def hasty(configuration, monkeypatch):
    """A minute of the journal's time in a second."""
    monkeypatch.setenv("LIAISON_CLOCK_RATE", "60")
    configuration.destinations[0]["max_age"] = "2m"


@pytest.mark.usefixtures("hasty")
def test_too_old(broker, road, lab):
    lab.stop()
    road.push(5)
    dead = broker.wait_log("dead-letter", destination="lab", why="greatest age")
    assert dead["count"] in ("1", "2", "3", "4", "5")
    wait_until(lambda: sum(int(line["count"]) for line in broker.log("dead-letter")) == 5)
    rows = wait_until(lambda: len(lines := broker.liaison("queue", "lab", "--dead").stdout.splitlines()) == 6 and lines[1:])
    assert all(row.endswith("dead-letter  waited too long, or its queue held too much") for row in rows), rows
    lab.start()
    fresh = road.push(2)
    settled(broker, 2)
    assert [one.content for one in lab.messages] == list(fresh), "what expired is not sent"


def test_pauses_grow_and_survive_a_restart(brokers, configuration, lab, authority):
    configuration.destinations[0].update(retry_first="200ms", retry_longest="1m", window=1)
    broker = brokers(configuration).start()
    lab.stop()
    road = Road(broker, authority.chu)
    road.push(1)
    wait_until(lambda: broker.metric("liaison_destination_retries_total", destination="lab") >= 7, 20)
    assert broker.stop() == 0
    broker.restart()
    # The first try is at once; its failure tells the next pause, which is not the shortest.
    line = wait_until(lambda: broker.log("delivery-deferred")[1:])[0]
    assert 1000 <= int(line["next_ms"]) <= 60000, line
    lab.start()
    settled(broker, 1, seconds=30)
    assert len(arrived(lab)) == 1

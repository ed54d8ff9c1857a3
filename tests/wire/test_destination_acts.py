# SPDX-License-Identifier: Apache-2.0
"""Destinations under an operator's hands: held and released, reconfigured, taken away and put back, while messages are on their way."""
import time

import pytest

from liaison_harness import destination as does
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.road import QUICK, Road, arrived, doubles, in_order, settled


@pytest.fixture
def configuration(configuration, lab):
    configuration.destination("lab", lab.port, **QUICK)
    configuration.routes[0]["to"] = ["lab"]
    return configuration


@pytest.fixture
def road(broker, authority):
    return Road(broker, authority.chu)


def run(broker, *arguments, status=0):
    done = broker.liaison(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def reload(broker, configuration):
    tls = {"certificate": str(broker.server.pem), "key": str(broker.server.key_file), "authorities": str(broker.authority.pem)}
    broker.file.write_text(configuration.render(broker.folder, tls))
    return run(broker, "reload")


def test_held_and_released(broker, road, lab):
    lab.usual = does.late(0.3)
    road.push(4)
    wait_until(lambda: lab.messages)
    run(broker, "hold", "lab", "--reason", "the laboratory moves")
    lab.usual = does.accept
    settled(broker, 1)
    time.sleep(0.7)
    assert len(lab.messages) == 1, "what was on its way is settled, nothing more is sent"
    assert "held" in run(broker, "queue")
    assert broker.stop() == 0
    broker.restart()
    time.sleep(0.5)
    assert len(lab.messages) == 1, "a restart does not end the hold"
    road.again(broker.authority.chu)
    road.push(2)
    run(broker, "release", "lab")
    settled(broker, 6)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 6
    assert not broker.log("destination-down")


def test_held_while_it_is_down(broker, road, lab):
    lab.stop()
    road.push(2)
    broker.wait_log("destination-down")
    run(broker, "hold", "lab", "--reason", "known to be down")
    tries = broker.metric("liaison_destination_retries_total", destination="lab")
    time.sleep(1.5)
    assert broker.metric("liaison_destination_retries_total", destination="lab") <= tries + 1, "nobody calls it"
    lab.start()
    run(broker, "release", "lab")
    settled(broker, 2)
    broker.wait_log("destination-up")
    assert in_order(lab, road)


def test_dropped_while_it_waits(broker, road, lab):
    lab.usual = does.code("AR")
    road.push(3)
    broker.wait_log("destination-down")
    ids = [line["id"] for line in broker.log("routed", to="lab")]
    run(broker, "drop", ids[0], ids[1], "--at", "lab", "--reason", "sent by fax", "--yes")
    lab.usual = does.accept
    settled(broker, 1)
    assert arrived(lab)[-1] == road.shas[2] and arrived(lab).count(road.shas[1]) == 0


def test_replayed(broker, road, lab):
    """A message that was delivered goes again when an operator says so: the same bytes, behind what waits."""
    road.push(3)
    ids = [line["id"] for line in settled(broker, 3)]
    run(broker, "replay", ids[1], "--to", "lab", "--reason", "lost over there", "--yes")
    settled(broker, 4)
    assert arrived(lab) == [*road.shas, road.shas[1]]
    assert lab.equal == 0


def test_another_address(broker, road, lab, configuration, authority):
    """What is on its way is awaited where it was sent; the rest goes to the new address."""
    other = Destination(authority).start()
    try:
        lab.usual = does.late(0.4)
        road.push(3)
        wait_until(lambda: lab.messages)
        configuration.destinations[0]["address"] = f"localhost:{other.port}"
        reload(broker, configuration)
        settled(broker, 3)
        assert arrived(lab) == road.shas[:1]
        assert arrived(other) == road.shas[1:]
        wait_until(lambda: not lab.connections, what="the end of the former connection")
    finally:
        other.stop()


def test_an_address_mended_while_it_waits(broker, road, lab, configuration):
    """The pause ends with the mistake."""
    port = configuration.destinations[0]["address"]
    configuration.destinations[0].update(address="localhost:1", retry_first="30s", retry_longest="1m")
    reload(broker, configuration)
    road.push(1)
    broker.wait_log("destination-down")
    configuration.destinations[0]["address"] = port
    reload(broker, configuration)
    settled(broker, 1, seconds=5)
    assert in_order(lab, road)


def test_reloaded_under_messages(broker, road, lab, configuration):
    """Reloads that change nothing of it end no connection and lose nothing."""
    for n in range(10):
        road.push(20)
        configuration.limits["workers"] = 2
        configuration.destinations[0]["window"] = 1 + n % 4
        reload(broker, configuration)
    settled(broker, 200, seconds=30)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 200
    assert lab.count == 1
    broker.wait_metric(0, "liaison_waiting", destination="lab")


def test_taken_away_and_put_back(broker, road, lab, configuration):
    """Its queue waits for it, without a connection."""
    lab.usual = does.late(0.3)
    road.push(5)
    wait_until(lambda: lab.messages)
    there = configuration.destinations.pop()
    configuration.routes[0]["to"] = ["ehpad"]
    reload(broker, configuration)
    settled(broker, 1)
    wait_until(lambda: not lab.connections)
    time.sleep(0.3)
    assert len(lab.messages) == 1
    lab.usual = does.accept
    configuration.destinations.append(there)
    configuration.routes[0]["to"] = ["lab"]
    reload(broker, configuration)
    settled(broker, 5)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 5


def test_put_back_before_it_was_gone(broker, road, lab, configuration):
    lab.usual = does.late(0.8)
    road.push(3)
    wait_until(lambda: lab.messages)
    there = configuration.destinations.pop()
    configuration.routes[0]["to"] = ["ehpad"]
    reload(broker, configuration)
    configuration.destinations.append(there)
    configuration.routes[0]["to"] = ["lab"]
    reload(broker, configuration)
    lab.usual = does.accept
    settled(broker, 3)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 3
    assert lab.count == 1, "it is the same connection"

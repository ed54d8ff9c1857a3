# SPDX-License-Identifier: Apache-2.0
"""Who is there, as the log tells it: few lines, whatever a partner does."""
from liaison_harness import destination as does
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.hl7 import message


def test_a_peer_that_connects_a_thousand_times(broker, authority):
    """Its messages are told one by one, its connections are not; the metrics have them all."""
    stays = broker.mllp(authority.chu)
    for n in range(1000):
        client = broker.mllp(authority.chu)
        if n % 100 == 0:
            assert client.ask(message(f"M{n}")).code == "AA"
        client.close()
        broker.clients.remove(client)
    wait_until(lambda: sum(value for name, value in broker.metrics().items() if name.startswith("liaison_disconnected_total")) == 1000,
               what="the end of every connection")
    assert broker.metric("liaison_connected_total", peer="chu") == 1001
    told = [line.event for line in broker.log()]
    assert 20 <= told.count("connected") <= 22, told.count("connected")
    assert told.count("disconnected") <= told.count("connected")
    assert told.count("received") == 10
    assert len(told) < 120, told
    assert stays.ask(message("LAST")).code == "AA"


def test_a_peer_that_falls_silent(brokers, configuration, authority):
    configuration.peers[0]["silent_after"] = "1s"
    broker = brokers(configuration).start()
    client = broker.mllp(authority.chu)
    broker.wait_log("peer-silent", peer="chu")
    broker.wait_metric(1, "liaison_peer_silent", peer="chu")
    assert client.ask(message("A", version="9.9")).code == "AE"
    line = broker.wait_log("peer-heard", peer="chu")
    assert int(line["silent_s"]) >= 1
    # the third change within a minute is said to be flapping; after that it is told no more
    broker.wait_log("flapping", peer="chu", changes="3", now="silent")
    assert client.ask(message("B")).code == "AA"
    broker.wait_metric(0, "liaison_peer_silent", peer="chu")
    assert len(broker.log("peer-heard")) == 1


def test_a_destination_that_comes_and_goes(brokers, configuration, authority):
    """Each message is lost with its connection, twice, and then taken: it is down and up hundreds of times, which makes three lines.

    The first loss is none: the connection had carried something, and the next one is dialled at once.
    """
    count = 150
    lab = Destination(authority).start()
    lab.next(*[does.reset, does.reset, does.accept] * count)
    configuration.destination("lab", lab.port, retry_first="10ms", retry_longest="10ms")
    configuration.routes[0]["to"] = ["lab"]
    broker = brokers(configuration).start()
    client = broker.mllp(authority.chu)
    try:
        for n in range(count):
            assert client.ask(message(f"M{n}")).code == "AA"
        wait_until(lambda: len(broker.log("delivered", destination="lab")) == count, 60, "the delivery of all")
        assert lab.controls == [f"M{n // 3}" for n in range(3 * count)]
        changes = broker.metric("liaison_destination_changes_total", destination="lab")
        assert changes == 2 * count
        assert broker.metric("liaison_dialled_total", destination="lab") >= count
        broker.wait_log("flapping", destination="lab", changes="3", now="down")
        told = [line.event for line in broker.log()]
        assert told.count("destination-down") == told.count("destination-up") == told.count("flapping") == 1
        assert told.count("dialled") <= 24 and told.count("disconnected") <= 26, (told.count("dialled"), told.count("disconnected"))
        assert told.count("delivery-deferred") == 2, "with the first, and with the one that made it flapping"
        # what is told of each message stays
        assert told.count("received") == told.count("routed") == told.count("delivered") == count
        broker.stop()
    finally:
        lab.stop()

# SPDX-License-Identifier: Apache-2.0
"""Whom the broker sends to: a destination whose certificate is not good gets nothing, and the reason stands in the log."""
import datetime
import ipaddress
import subprocess

import pytest

from liaison_harness import LIAISOND
from liaison_harness.authority import BOTH, CLIENT, HOUR, SERVER, Authority
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.road import QUICK, Road, in_order, settled

LOOPBACK = ipaddress.ip_address("127.0.0.1")
DAY = datetime.timedelta(days=1)


@pytest.fixture
def stranger(tmp_path):
    return Authority(tmp_path / "stranger", "An authority nobody here knows")


@pytest.fixture
def receiver(authority):
    made = []

    def make(identity, **options):
        made.append(Destination(authority, identity, **options).start())
        return made[-1]
    yield make
    for one in made:
        one.stop()


def send_to(brokers, configuration, authority, lab, count=2, **settings):
    configuration.destination("lab", lab.port, **{**QUICK, **settings})
    configuration.routes[0]["to"] = ["lab"]
    broker = brokers(configuration).start()
    road = Road(broker, authority.chu)
    road.push(count)
    return broker, road


BAD = {
    "expired": (lambda authority, other: authority.issue("lab", usage=SERVER, dns=["localhost"], since=-2 * DAY, until=-DAY), "expired"),
    "not yet valid": (lambda authority, other: authority.issue("lab", usage=SERVER, dns=["localhost"], since=HOUR, until=DAY), "not yet valid"),
    "for another name": (lambda authority, other: authority.issue("lab", usage=SERVER, dns=["elsewhere.example.org"]), "name"),
    "for no name": (lambda authority, other: authority.issue("localhost", usage=SERVER), "name"),
    "for a client": (lambda authority, other: authority.issue("lab", usage=CLIENT, dns=["localhost"]), "usage"),
    "of an unknown authority": (lambda authority, other: other.issue("lab", usage=SERVER, dns=["localhost"]), "unknown authority"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_certificate(brokers, configuration, authority, stranger, receiver, what):
    make, words = BAD[what]
    lab = receiver(make(authority, stranger))
    broker, _ = send_to(brokers, configuration, authority, lab)
    down = broker.wait_log("destination-down", destination="lab")
    assert down["reason"].startswith("handshake 127.0.0.1:") or down["reason"].startswith("handshake "), down
    assert words in down["reason"], down
    assert lab.messages == [], "nothing is sent to it"
    assert broker.metric("liaison_destination_failures_total", reason="handshake") >= 1
    broker.wait_metric(2, "liaison_waiting", destination="lab")


def test_another_name_that_is_configured(brokers, configuration, authority, receiver):
    lab = receiver(authority.issue("lab", usage=SERVER, dns=["lab.example.org"]))
    broker, road = send_to(brokers, configuration, authority, lab, server_name="lab.example.org")
    settled(broker, 2)
    assert in_order(lab, road)


def test_our_own_is_refused_there(brokers, configuration, authority, stranger, receiver):
    """With TLS 1.3 a server judges our certificate behind the handshake: what is told then is why."""
    lab = receiver(authority.server)
    ours = authority.issue("broker", usage=SERVER, dns=["localhost"], addresses=[LOOPBACK], file_name="broker-server-only")
    configuration.destination("lab", lab.port, **QUICK)
    configuration.routes[0]["to"] = ["lab"]
    broker = brokers(configuration, server=ours).start()
    Road(broker, authority.chu).push(1)
    down = broker.wait_log("destination-down", destination="lab")
    assert "our certificate" in down["reason"], down
    assert lab.messages == []
    checked = subprocess.run([LIAISOND, "-n", "-c", broker.file], capture_output=True, text=True)
    assert checked.returncode != 0 and "not one for a client" in checked.stderr + checked.stdout, "and it could have been known before"


def test_it_gets_a_good_one(brokers, configuration, authority, receiver):
    """A destination that renews its certificate is sent to again, without anybody's help."""
    bad = receiver(authority.issue("lab", usage=SERVER, dns=["localhost"], since=-2 * DAY, until=-DAY, file_name="lab-expired"))
    broker, road = send_to(brokers, configuration, authority, bad)
    broker.wait_log("destination-down", destination="lab")
    good = Destination(authority, authority.issue("lab", usage=BOTH, dns=["localhost"], file_name="lab-good"))
    bad.stop()
    good.port = bad.port
    wait_until(lambda: start(good))
    try:
        settled(broker, 2)
        broker.wait_log("destination-up", destination="lab")
        assert in_order(good, road)
    finally:
        good.stop()


def start(destination):
    try:
        return destination.start()
    except OSError:
        return None

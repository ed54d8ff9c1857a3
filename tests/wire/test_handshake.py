# SPDX-License-Identifier: Apache-2.0
"""Who may not connect, and what the log tells an operator of it."""
import datetime
import socket
import ssl
import time

import pytest

from liaison_harness.authority import HOUR, SERVER, Authority
from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed, frame

MINUTE = datetime.timedelta(minutes=1)


def refused(broker, identity, **options):
    """The client learns it in the handshake (TLS 1.2) or at its first read (1.3)."""
    with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
        client = broker.mllp(identity, **options)
        client.frame(message())
        client.receive()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "Other authority")


@pytest.mark.parametrize("reason, issue", [
    ("expired", {"since": -2 * HOUR, "until": -MINUTE}),
    ("not yet valid", {"since": MINUTE}),
    ("wrong usage", {"usage": SERVER}),
])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bad_certificates(broker, authority, reason, issue, version):
    bad = authority.issue("chu", file_name="bad", **issue)
    refused(broker, bad, version=version)
    line = broker.wait_log("handshake-refused", reason=reason)
    assert line.level == "warning"
    assert (line["subject"], line["issuer"]) == (bad.subject, bad.issuer)
    assert line["serial"] == bad.serial
    assert line["not_after"] == bad.certificate.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert line["not_before"] == bad.certificate.not_valid_before.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert line["listener"] == "mllp" and line["address"].startswith("127.0.0.1:")
    assert broker.metric("liaison_handshakes_refused_total", reason=reason) == 1
    assert int(broker.wait_log("before-authentication", link=line["link"])["bytes"]) > 0
    assert not broker.log("connected")


def test_another_authority(broker, stranger):
    same_name = stranger.issue("chu")
    refused(broker, same_name)
    assert broker.wait_log("handshake-refused", reason="unknown authority", issuer=same_name.issuer)


def test_port_check_is_no_alarm(broker):
    """A load balancer connects and closes, all day: counted, and not a warning."""
    for _ in range(3):
        socket.create_connection(("127.0.0.1", broker.ports["mllp"]), 5).close()
    assert broker.wait_log("probed").level == "info"
    assert not broker.log("handshake-refused")


def test_no_certificate(broker):
    refused(broker, None)
    assert broker.wait_log("handshake-refused", reason="no certificate")


def test_a_certificate_of_no_peer(broker, authority):
    """The right authority, and the right CN: the whole subject counts."""
    unknown = authority.issue("chu", organisation="Somebody else", file_name="unknown")
    refused(broker, unknown)
    line = broker.wait_log("peer-unknown", subject=unknown.subject, issuer=unknown.issuer)
    assert len(line["spki"]) == 64
    assert not broker.log("connected")


def test_a_renewed_certificate_needs_no_edit(broker, authority):
    assert broker.mllp(authority.chu).ask(message()).code == "AA"
    renewed = authority.issue("chu", file_name="renewed")
    assert renewed.serial != authority.chu.serial
    assert broker.mllp(renewed).ask(message()).code == "AA"


@pytest.mark.parametrize("version, name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_both_versions_are_spoken(broker, authority, version, name):
    assert broker.mllp(authority.chu, version=version).ask(message()).code == "AA"
    line = broker.wait_log("connected", peer="chu", tls=name)
    assert "GCM" in line["cipher"] or "CHACHA20" in line["cipher"]


def plain(broker, content):
    with socket.create_connection(("127.0.0.1", broker.ports["mllp"]), timeout=10) as one:
        one.sendall(content)
        while one.recv(4096):
            pass


def test_plain_text_is_counted_and_never_looked_at(broker):
    sent = frame(message("PLAIN"))
    plain(broker, sent)
    line = broker.wait_log("handshake-refused", reason="not TLS")
    assert broker.wait_log("before-authentication", link=line["link"], bytes=len(sent))
    assert broker.metric("liaison_unauthenticated_bytes_total") == len(sent)
    assert not broker.log("received") and not broker.log("frame-rejected")
    assert "PLAIN" not in broker.log_text()


def test_the_handshake_has_a_deadline(brokers, configuration):
    configuration.limits["handshake"] = "1s"
    broker = brokers(configuration).start()
    since = time.monotonic()
    plain(broker, b"\x16\x03\x01")
    assert 0.9 < time.monotonic() - since < 5
    assert broker.wait_log("handshake-refused", reason="timeout")


def test_a_readable_key_is_refused(brokers, configuration, authority):
    loose = authority.issue("loose", usage=SERVER)
    loose.key_file.chmod(0o640)
    broker = brokers(configuration, server=loose)
    with pytest.raises(AssertionError, match="0600"):
        broker.start()

# SPDX-License-Identifier: Apache-2.0
"""Every certificate that must be refused is, inwards and outwards, each with its own reason in the log; and those that live, live."""
import datetime
import functools
import http.server
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from liaison_harness import LIAISON, LIAISOND, SOURCE, chains
from liaison_harness.authority import HOUR, SERVER, Authority
from liaison_harness.broker import Broker, wait_until
from liaison_harness.chains import admitted, with_chain
from liaison_harness.configuration import Configuration
from liaison_harness.destination import Destination
from liaison_harness.hl7 import message
from liaison_harness.road import QUICK

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # weak certificates, on purpose
MINUTE, DAY = datetime.timedelta(minutes=1), 24 * HOUR
BOTH, TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), (ssl.TLSVersion.TLSv1_2,)


class World:
    """A root with authorities below it, all listed, each with a revocation list in another state."""

    def __init__(self, folder):
        self.folder = folder
        self.root = Authority(folder / "root", "Root")
        self.between = Authority(folder / "between", "Between", above=self.root)
        self.withdrawn = Authority(folder / "withdrawn", "Withdrawn", above=self.root)
        self.unlisted = Authority(folder / "unlisted", "Without a list", above=self.root)
        self.overdue = Authority(folder / "overdue", "With an overdue list", above=self.root)
        self.stale = Authority(folder / "stale", "With a stale list", above=self.root)
        self.over = Authority(folder / "over", "Over", above=self.root, since=-2 * DAY, until=-HOUR)
        self.old = Authority(folder / "old", "With an RSA key", above=self.root, key=rsa.generate_private_key(65537, 2048))
        self.stranger = Authority(folder / "stranger", "Stranger")
        self.revoked = self.between.issue("revoked")
        self.released = self.between.issue("released")
        listed = [self.root, self.between, self.withdrawn, self.unlisted, self.overdue, self.stale, self.over, self.old]
        self.authorities = folder / "authorities.pem"
        self.authorities.write_bytes(b"".join(one.pem.read_bytes() for one in listed))
        self.crls = folder / "crls.pem"
        self.crls.write_bytes(self.root.crl(self.withdrawn.identity) + self.between.crl(self.revoked) + self.withdrawn.crl() +
                              self.over.crl() + self.old.crl() +
                              self.overdue.crl(since=-9 * DAY, until=-71 * HOUR) + self.stale.crl(since=-9 * DAY, until=-73 * HOUR))


# What a partner shows, the reason in the log, and where it can be shown. Written before the first run; a row's function makes the certificate.
INWARDS = {
    "expired": (lambda w: w.between.issue("chu", since=-2 * HOUR, until=-MINUTE), "expired", BOTH),
    "not yet valid": (lambda w: w.between.issue("chu", since=5 * MINUTE), "not yet valid", BOTH),
    "revoked": (lambda w: w.revoked, "revoked", BOTH),
    "of a revoked authority": (lambda w: w.withdrawn.issue("chu"), "authority revoked", BOTH),
    "of a revoked authority, sent along": (lambda w: with_chain(w.withdrawn.issue("chu"), w.withdrawn), "authority revoked", BOTH),
    "of an expired authority": (lambda w: w.over.issue("chu"), "authority expired", BOTH),
    "self-signed": (lambda w: chains.self_signed(w.folder, "chu"), "self-signed", BOTH),
    "of an unknown authority": (lambda w: w.stranger.issue("chu"), "unknown authority", BOTH),
    "of an unknown authority, sent along": (lambda w: with_chain(w.stranger.issue("chu"), w.stranger), "unknown authority", BOTH),
    "with another key": (lambda w: chains.wrong_key(w.between.issue("chu")), "key does not fit the certificate", BOTH),
    "for servers only": (lambda w: w.between.issue("chu", usage=SERVER), "wrong usage", BOTH),
    "changed in its signature": (lambda w: chains.wrong_signature(w.between.issue("chu")), "bad signature", BOTH),
    "signed with SHA-1": (lambda w: w.between.issue("chu", digest=hashes.SHA1()), "weak signature", BOTH),
    "signed with MD5": (lambda w: w.old.issue("chu", digest=hashes.MD5()), "weak signature", BOTH),
    "RSA of 1024 bits": (lambda w: w.between.issue("chu", key=rsa.generate_private_key(65537, 1024)), "weak key", BOTH),
    "ECDSA of 192 bits": (lambda w: w.between.issue("chu", key=ec.generate_private_key(ec.SECP192R1())), "weak key", TLS12),
    "20 authorities deep": (lambda w: chains.deep(w.folder, w.root, 20), "chain too long", BOTH),
    "64 KB large": (lambda w: chains.huge(w.between, 64 * 1024), "handshake too large", BOTH),
    "issued by no authority": (lambda w: chains.issued_by_a_leaf(w.between.issue("chu"), "below"), "issuer is no authority", BOTH),
    "of an authority without a list": (lambda w: w.unlisted.issue("chu"), "no revocation list of its authority", BOTH),
    "of an authority with a stale list": (lambda w: w.stale.issue("chu"), "revocation list too old", BOTH),
    "none": (lambda w: None, "no certificate", BOTH),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def broker_of(authority, world, **tls):
    configuration = Configuration()
    good = world.between.issue("chu-good")
    for i, issuer in enumerate([world.between, world.overdue]):
        configuration.peer(f"chu-{i}", issuer.issue("chu", file_name="chu-good"))
    configuration.peer("released", good)
    configuration.tls = {"authorities": str(world.authorities), "crls": str(world.crls), **tls}
    return Broker(authority, configuration)


@pytest.fixture(scope="module")
def strict(authority, world):
    """One broker for all rows: a refusal is found by what it tells of."""
    made = broker_of(authority, world).start()
    yield made
    try:
        assert made.stop() == 0, made.stderr.read_text()
    finally:
        made.clean()


def last_refusal(broker, count):
    wait_until(lambda: len(broker.log("handshake-refused")) > count, what="handshake-refused")
    return broker.log("handshake-refused")[-1]


@pytest.mark.parametrize("row,version", [(row, version) for row, (_, _, versions) in INWARDS.items() for version in versions],
                         ids=lambda one: one if isinstance(one, str) else one.name)
def test_refused_inwards(strict, world, row, version):
    make, reason, _ = INWARDS[row]
    identity = make(world)
    before = strict.metric("liaison_handshakes_refused_total", reason=reason)
    count = len(strict.log("handshake-refused"))
    assert not admitted(strict.ports["mllp"], identity, version)
    line = last_refusal(strict, count)
    assert line["reason"] == reason and line.level == "warning"
    if reason in ("expired", "revoked", "wrong usage", "weak key", "self-signed", "revocation list too old"):
        assert line["serial"] == identity.serial, "the line names the certificate"
    assert strict.metric("liaison_handshakes_refused_total", reason=reason) == before + 1
    assert not strict.log("connected", link=line["link"])


def test_reasons_are_a_row_s_own():
    """No reason stands for two kinds of fault, but for the same fault shown in two ways."""
    shared = {"authority revoked": 2, "unknown authority": 2, "weak signature": 2, "weak key": 2}
    reasons = [reason for _, reason, _ in INWARDS.values()]
    assert {one: reasons.count(one) for one in reasons if reasons.count(one) > 1} == shared


def test_the_reasons_are_explained():
    page = (SOURCE / "certs" / "README.md").read_text()
    for _, reason, *_ in [*INWARDS.values(), *OUTWARDS.values()]:
        assert f"`{reason}`" in page, reason


def test_a_certificate_that_is_none(strict, world):
    """Its bytes are changed on the wire (TLS 1.2 sends it in the clear): nothing of it can be read."""
    identity = world.between.issue("chu")
    content = identity.certificate.tbs_certificate_bytes[:8]
    changed = []

    def corrupt(sent):
        if content in sent and not changed:
            changed.append(True)
            return sent.replace(content, b"\x04" + content[1:], 1)
        return sent
    count = len(strict.log("handshake-refused"))
    assert not admitted(strict.ports["mllp"], identity, ssl.TLSVersion.TLSv1_2, corrupt)
    assert changed
    assert last_refusal(strict, count)["reason"] == "malformed certificate"


@pytest.mark.parametrize("version", BOTH, ids=lambda version: version.name)
@pytest.mark.parametrize("make", [
    lambda w: w.between.issue("chu"),
    lambda w: with_chain(w.between.issue("chu"), w.between),
    lambda w: with_chain(w.between.issue("chu"), w.between, w.root),
    lambda w: w.between.issue("chu", usage=None),  # no extended key usage: any use, as RFC 5280 has it
    lambda w: w.between.issue("chu", key=rsa.generate_private_key(65537, 2048)),
    lambda w: w.between.issue("chu", key=ec.generate_private_key(ec.SECP384R1())),
    lambda w: w.overdue.issue("chu"),  # the grace of 72 hours
], ids=["alone", "with its authority", "with the whole chain", "for any use", "RSA of 2048 bits", "ECDSA of 384 bits", "overdue list"])
def test_let_in(strict, world, make, version):
    """The table of refusals could be passed by refusing all."""
    assert admitted(strict.ports["mllp"], make(world), version)


def test_stale_lists_are_told(strict, world):
    line = strict.wait_log("crl-stale")
    assert line.level == "warning" and line["issuer"] == world.overdue.identity.subject
    line = strict.wait_log("crl-closed")
    assert line.level == "error" and line["issuer"] == world.stale.identity.subject
    assert len(strict.log("crl-stale")) == len(strict.log("crl-closed")) == 1, "once now, and then every hour"
    assert strict.metric("liaison_crl_next_update_seconds") == pytest.approx(time.time() - 73 * 3600, abs=120)


def test_a_check_before_the_start_tells_too(strict, world):
    done = subprocess.run([LIAISOND, "-n", "-c", strict.file], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    for name, words in ((world.overdue, "should have been replaced by"), (world.stale, "its certificates are refused"),
                        (world.unlisted, "its certificates will be refused")):
        assert any(name.identity.subject in row and words in row for row in done.stderr.splitlines()), done.stderr
    assert "Between" not in done.stderr


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"),
    (b"nothing of the kind", "no revocation list in PEM form"),
    (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "a revocation list cannot be read"),
    (None, "is of no authority of tls.authorities"),
    ("future", "is not valid yet"),
])
def test_bad_lists_are_refused_at_the_start(authority, world, tmp_path, content, words):
    bad = tmp_path / "bad.pem"
    bad.write_bytes(world.stranger.crl() if content is None else world.root.crl(since=HOUR) if content == "future" else content)
    broker = broker_of(authority, world, crls=str(bad))
    try:
        with pytest.raises(AssertionError, match=words):
            broker.start()
        assert str(bad) in broker.stderr.read_text()
    finally:
        broker.clean()


# Outwards: what a server shows, and the reason why nothing is sent there.
OUTWARDS = {
    "for another name": (lambda w: w.between.issue("lab", usage=SERVER, dns=["other.example"]), "wrong host name"),
    "with the name as CN only": (lambda w: w.between.issue("localhost", usage=SERVER), "wrong host name"),
    "for clients only": (lambda w: w.between.issue("lab", dns=["localhost"]), "wrong usage"),
    "expired": (lambda w: w.between.issue("lab", usage=SERVER, dns=["localhost"], since=-2 * HOUR, until=-MINUTE), "expired"),
    "not yet valid": (lambda w: w.between.issue("lab", usage=SERVER, dns=["localhost"], since=5 * MINUTE), "not yet valid"),
    "revoked": (lambda w: revoke(w, w.between.issue("lab", usage=SERVER, dns=["localhost"])), "revoked"),
    "of a revoked authority": (lambda w: w.withdrawn.issue("lab", usage=SERVER, dns=["localhost"]), "authority revoked"),
    "self-signed": (lambda w: chains.self_signed(w.folder, "localhost"), "self-signed"),
    "of an unknown authority": (lambda w: w.stranger.issue("lab", usage=SERVER, dns=["localhost"]), "unknown authority"),
    "of an authority without a list": (lambda w: w.unlisted.issue("lab", usage=SERVER, dns=["localhost"]),
                                       "no revocation list of its authority"),
}


def revoke(world, identity):
    world.crls.write_bytes(world.crls.read_bytes() + world.between.crl(world.revoked, identity, since=-HOUR / 2))
    return identity


@pytest.fixture
def outward(authority, tmp_path, brokers):
    """(a world of its own, a function that starts a receiver with an identity and a broker that sends to it)"""
    world = World(tmp_path / "world")
    made = []

    def start(identity):
        lab = Destination(world.root, identity)
        lab.context.load_verify_locations(authority.pem)
        made.append(lab.start())
        configuration = Configuration()
        configuration.peer("chu", authority.chu)
        configuration.destination("lab", lab.port, **QUICK)
        configuration.route("all", to=["lab"])
        together = tmp_path / "together.pem"
        together.write_bytes(world.authorities.read_bytes() + authority.pem.read_bytes())
        world.crls.write_bytes(world.crls.read_bytes() + authority.crl())
        configuration.tls = {"authorities": str(together), "crls": str(world.crls)}
        broker = brokers(configuration).start()
        assert broker.mllp(authority.chu).ask(message()).code == "AA"
        return lab, broker
    yield world, start
    for one in made:
        one.stop()


@pytest.mark.parametrize("row", OUTWARDS)
def test_refused_outwards(outward, row):
    world, start = outward
    make, reason = OUTWARDS[row]
    lab, broker = start(make(world))
    line = broker.wait_log("destination-down", destination="lab")
    assert line.level == "error" and re.search(f": {reason}(;|$)", line["reason"]), line
    assert broker.metric("liaison_dials_failed_total", reason=reason) >= 1
    told = broker.liaison("peers", "test", "lab")
    assert told.returncode == 1
    rows = [row for row in told.stdout.splitlines() if "WRONG" in row]
    assert any(f": {reason}. " in one for one in rows), told.stdout + told.stderr
    assert "messages cannot be sent there" in told.stdout
    assert lab.messages == []


def test_sent_outwards(outward):
    world, start = outward
    lab, broker = start(world.between.issue("lab", usage=SERVER, dns=["localhost"]))
    wait_until(lambda: lab.messages, what="a message")
    assert not broker.log("destination-down")


def test_a_destination_s_certificate_is_watched(outward):
    """The last one seen of each destination, like those of the peers."""
    world, start = outward
    identity = world.between.issue("lab", usage=SERVER, dns=["localhost"], until=13 * DAY)
    lab, broker = start(identity)
    line = broker.wait_log("certificate-ends", destination="lab")
    assert (line["within"], line["days"], line.level) == ("14", "12", "warning")
    assert line["serial"] == identity.serial
    assert broker.metric("liaison_destination_certificate_days", destination="lab") == 12
    time.sleep(2.5)
    assert len(broker.log("certificate-ends", destination="lab")) == 1
    assert "lab" in broker.liaison("certs").stdout
    told = broker.liaison("peers", "test", "lab")
    assert told.returncode == 0 and "verdict: good" in told.stdout, told.stdout + told.stderr


# Certificates that live: a list that comes while links are open.

@pytest.fixture
def living(authority, tmp_path, brokers):
    """(a world, a broker of which `stays` and `goes` are peers, both identities)"""
    world = World(tmp_path / "world")
    stays, goes = world.between.issue("stays"), world.between.issue("goes")
    configuration = Configuration()
    configuration.peer("stays", stays, max_connections=100)
    configuration.peer("goes", goes, max_connections=100)
    configuration.inbox("all", readers=[])
    configuration.route("all", to=["all"])
    configuration.tls = {"authorities": str(world.authorities), "crls": str(world.crls)}
    return world, brokers(configuration).start(), stays, goes


def test_revoked_while_connected(living):
    world, broker, stays, goes = living
    links = [broker.mllp(goes) for _ in range(40)] + [broker.mllp(stays) for _ in range(40)]
    for one in links:
        assert one.ask(message()).code == "AA"
    world.crls.write_bytes(world.crls.read_bytes() + world.between.crl(world.revoked, goes, since=-HOUR / 2))
    assert all(one.ask(message()).code == "AA" for one in links), "a file that nobody has asked to read changes nothing"
    since = time.monotonic()
    done = broker.liaison("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    for one in links[:40]:
        assert one.ended(5) == b""
    assert time.monotonic() - since < 5
    for one in links[40:]:
        assert one.ask(message()).code == "AA"
    lines = broker.log("link-judged-out", peer="goes", why="revoked")
    assert len(lines) == 40 and all(line["serial"] == goes.serial for line in lines)
    assert not broker.log("link-judged-out", peer="stays")
    assert broker.metric("liaison_links_judged_out_total", reason="revoked") == 40
    assert not admitted(broker.ports["mllp"], goes, ssl.TLSVersion.TLSv1_3)
    assert broker.wait_log("handshake-refused", reason="revoked")


@pytest.mark.parametrize("version", BOTH, ids=lambda version: version.name)
def test_a_session_is_not_resumed_past_a_revocation(living, version):
    """The ticket of before the reload is worth nothing: neither its key nor its certificate."""
    world, broker, _, goes = living
    context = chains.context_of(goes, version)

    def dial(session):
        with socket.create_connection(("127.0.0.1", broker.ports["mllp"]), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"\x0b" + message() + b"\x1c\r")
                assert b"MSA|AA" in tls.recv(65536)
                return tls.session, tls.session_reused
    session, _ = dial(None)
    assert dial(session)[1]
    world.crls.write_bytes(world.crls.read_bytes() + world.between.crl(world.revoked, goes, since=-HOUR / 2))
    assert broker.liaison("reload").returncode == 0
    with pytest.raises((ssl.SSLError, ConnectionError)):
        dial(session)
    assert broker.wait_log("handshake-refused", reason="revoked")


@pytest.mark.parametrize("content, words", [
    (b"", "is empty"),
    (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "a revocation list cannot be read"),
    (None, "is of no authority of tls.authorities"),
])
def test_a_bad_list_is_refused_and_the_old_one_stays(living, content, words):
    world, broker, stays, _ = living
    link = broker.mllp(stays)
    good = world.crls.read_bytes()
    world.crls.write_bytes(world.stranger.crl() if content is None else content)
    done = broker.liaison("reload")
    assert done.returncode != 0 and words in done.stdout + done.stderr
    assert link.ask(message()).code == "AA"
    assert broker.mllp(stays).ask(message()).code == "AA"
    assert not admitted(broker.ports["mllp"], world.revoked, ssl.TLSVersion.TLSv1_3), "the old list is still in force"
    world.crls.write_bytes(good)
    assert broker.liaison("reload").returncode == 0
    assert link.ask(message()).code == "AA"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_from_the_publisher_to_the_link(living, tmp_path):
    """What an installation's timer does, whole: a certificate is revoked, its authority publishes, the link falls."""
    world, broker, stays, goes = living
    web = tmp_path / "web"
    web.mkdir()
    authorities = {"root": world.root, "between": world.between, "withdrawn": world.withdrawn, "over": world.over, "old": world.old}

    def publish(name, *revoked):
        subprocess.run(["openssl", "crl", "-outform", "DER", "-out", web / f"{name}.crl"], input=authorities[name].crl(*revoked),
                       check=True)
    for name in authorities:
        publish(name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=web))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = tmp_path / "urls"
    urls.write_text("".join(f"http://127.0.0.1:{server.server_port}/{name}.crl\n" for name in authorities))
    fetch = [SOURCE / "certs" / "fetch-crls", urls, world.authorities, world.crls, LIAISON, "-c", broker.file, "reload"]
    try:
        links = broker.mllp(stays), broker.mllp(goes)
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert all(one.ask(message()).code == "AA" for one in links)
        publish("between", goes)
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert links[1].ended(5) == b""
        assert links[0].ask(message()).code == "AA"
        assert broker.wait_log("link-judged-out", peer="goes")["why"] == "revoked"
        reloads = len(broker.log("reloaded"))
        assert subprocess.run(fetch, capture_output=True, timeout=60).returncode == 0
        assert len(broker.log("reloaded")) == reloads == 2, "nothing new, nothing to read"
    finally:
        server.shutdown()
        server.server_close()

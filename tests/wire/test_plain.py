# SPDX-License-Identifier: Apache-2.0
"""Partners without TLS, as conf/doc/stunnel.md says: its own blocks are run, with Debian's stunnel, and what they promise is looked at.

Of a block only names, addresses and files are put in (each must be there to be replaced), and what needs root is left out.
"""
import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from liaison_harness import SOURCE
from liaison_harness.authority import BOTH, SERVER
from liaison_harness.broker import free_port, wait_until
from liaison_harness.destination import acknowledgement
from liaison_harness.hl7 import message
from liaison_harness.mllp import CR, FS, VT, Closed, Mllp, client_context, frame
from liaison_harness.road import QUICK, Road, settled

PAGE = SOURCE / "conf/doc/stunnel.md"
STUNNEL = shutil.which("stunnel4") or "/usr/bin/stunnel4"


def block(first):
    """The code block of the page that begins with the line ``first``."""
    rows = iter(PAGE.read_text().splitlines())
    for row in rows:
        if row == f"    {first}":
            break
    else:
        pytest.fail(f"{PAGE} has no block {first}")
    taken = []
    for row in rows:
        if row and not row.startswith("    "):
            break
        taken.append(row[4:])
    return "\n".join(taken).partition("\nsystemctl")[0] + "\n"


def put_in(text, **values):
    """Each line ``key = ...`` of ``text`` with another value; None: without it. Every one must be there, once."""
    rows = text.splitlines()
    for key, value in values.items():
        at, = [n for n, row in enumerate(rows) if row.split(" = ")[0].strip() == key]
        rows[at] = "" if value is None else f"{key} = {value}"
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def stunnel(folder, name, text, port):
    """A stunnel that runs on ``text``, listening on ``port``; its log file."""
    log = folder / f"{name}.log"
    file = folder / f"{name}.conf"
    file.write_text(f"output = {log}\ndebug = 5\n" + put_in(text, syslog="no", setuid=None, setgid=None))
    with open(folder / f"{name}.stderr", "w") as stderr:
        process = subprocess.Popen([STUNNEL, file], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    def listens():
        assert process.poll() is None, (folder / f"{name}.stderr").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    try:
        wait_until(listens, what=f"stunnel {name}")
        yield log
    finally:
        process.terminate()
        process.wait(10)


class Plain(Mllp):
    """A sender that knows nothing of TLS."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""


def recipe_1(authority, identity, port, to, **values):
    settings = {"accept": f"127.0.0.1:{port}", "connect": f"localhost:{to}", "cert": identity.pem, "key": identity.key_file,
                "CAfile": authority.pem, "checkHost": "localhost", "sni": "localhost", **values}
    return put_in(block("; /etc/stunnel/liaison.conf"), **settings)


@pytest.fixture
def lab(authority):
    return authority.issue("old-lab", organisation="CHU de demonstration")


def write_block(broker, text, replaced):
    """``text`` of the page as a file of conf.d/ of ``broker``."""
    for old, new in replaced.items():
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    folder = broker.folder / "conf.d"
    folder.mkdir(exist_ok=True)
    (folder / "old-lab.conf").write_text(text)


# 1: stunnel beside the sender


@pytest.fixture
def broker_1(brokers, configuration, authority, lab):
    broker = brokers(configuration)
    write_block(broker, block("# liaison.conf, recipe 1"), {
        "chu-demo": "chu-test",
        "CN=Liaison test authority,O=Liaison demo,C=FR": lab.issuer,
        "CN=old-lab,O=CHU de demonstration,C=FR": lab.subject})
    return broker.start()


def test_an_old_sender_through_stunnel(broker_1, authority, lab, tmp_path):
    port = free_port()
    with stunnel(tmp_path, "liaison", recipe_1(authority, lab, port, broker_1.ports["mllp"]), port):
        sender = Plain(port)
        sent = message("OLD-1", application="LIS")
        assert sender.ask(sent).code == "AA"
        assert [sender.ask(message(f"N{n}", application="LIS")).code for n in range(20)] == ["AA"] * 20
        large = sender.ask(message("LARGE", application="LIS", filler=3_000_000))
        assert (large.code, large.control) == ("AA", "LARGE")
        assert sender.ask(message("NOT-ITS", application="OTHER")).code == "AE"
        # A connection for each message, as many of them do, and the last answer arrives behind our own end.
        sender.frame(message("LAST", application="LIS"))
        sender.finish()
        assert sender.ack().control == "LAST"
        assert sender.ended() == b""
        again = Plain(port)
        assert again.ask(sent).code == "AA"
        again.close()
        broker_1.wait_log("received", peer="old-lab", control="OLD-1", bytes=len(sent))
        broker_1.wait_log("duplicate", peer="old-lab", control="OLD-1")
        assert broker_1.wait_log("connected", peer="old-lab", serial=lab.serial)["tls"].startswith("TLSv1.")


def test_stunnel_speaks_to_nobody_but_the_broker(broker_1, authority, lab, tmp_path):
    """The page's verifyChain and checkHost: a server of another name, and one of another authority, get nothing."""
    for name, values in (("name", {"checkHost": "liaison.example.org"}), ("authority", {"CAfile": lab.pem})):
        port = free_port()
        with stunnel(tmp_path, name, recipe_1(authority, lab, port, broker_1.ports["mllp"], **values), port) as log:
            sender = Plain(port)
            with contextlib.suppress(OSError):
                sender.frame(message("STRAY", application="LIS"))
            assert sender.ended() == b""
            wait_until(lambda: "certificate" in log.read_text().lower())
    assert not broker_1.log("received")


def test_a_strangers_stunnel_is_refused(broker_1, authority, tmp_path):
    stranger = authority.issue("stranger")
    port = free_port()
    with stunnel(tmp_path, "stranger", recipe_1(authority, stranger, port, broker_1.ports["mllp"]), port):
        sender = Plain(port)
        with contextlib.suppress(OSError):
            sender.frame(message("STRAY", application="LIS"))
        assert sender.ended() == b""
    broker_1.wait_log("peer-unknown", serial=stranger.serial)
    assert not broker_1.log("received")


# 2: the plain listener


@pytest.fixture
def broker_2(brokers, configuration):
    broker = brokers(configuration)
    write_block(broker, block("# liaison.conf, recipe 2"), {"chu-demo": "chu-test", "port = 2576": "port = 0"})
    return broker.start()


@pytest.fixture
def sender(broker_2):
    return Plain(broker_2.ports["old-lab"])


def test_the_plain_listener(broker_2, sender):
    sent = message("OLD-1", application="LIS")
    ack = sender.ask(sent)
    assert (ack.code, ack.control) == ("AA", "OLD-1")
    assert sender.ask(message("LARGE", application="LIS", filler=3_000_000)).code == "AA"
    for byte in b"\x0b" + message("SLOW", application="LIS") + b"\x1c\r":
        sender.send(bytes([byte]))
    assert sender.ack().control == "SLOW"
    listening = broker_2.wait_log("listening", listener="old-lab")
    connected = broker_2.wait_log("connected", peer="old-lab")
    assert (listening["tls"], listening["peer"], connected["tls"]) == ("none", "old-lab", "none")
    assert connected["listener"] == "old-lab" and not connected.get("cipher")
    broker_2.wait_log("received", peer="old-lab", control="OLD-1", bytes=len(sent))
    # It has no certificate: none of it has ended.
    assert "EXPIRED" not in broker_2.liaison("certs").stdout and "has expired" not in broker_2.liaison("status").stdout
    sender.finish()
    assert sender.ended() == b""
    broker_2.wait_log("disconnected", peer="old-lab", end="closed-by-peer")


def test_its_peers_rights_hold(broker_2, sender):
    ack = sender.ask(message("NOT-ITS", application="OTHER"))
    assert (ack.code, ack.control) == ("AE", "NOT-ITS")
    broker_2.wait_log("refused", peer="old-lab", control="NOT-ITS")


def test_its_peers_connections_have_their_limit(brokers, configuration):
    broker = brokers(configuration)
    write_block(broker, block("# liaison.conf, recipe 2"), {
        "chu-demo": "chu-test", "port = 2576": "port = 0", 'may = [ "send" ];': 'may = [ "send" ]; max_connections = 2;'})
    broker.start()
    first, second, third = (Plain(broker.ports["old-lab"]) for _ in range(3))
    assert first.ask(message("A", application="LIS")).code == second.ask(message("B", application="LIS")).code == "AA"
    assert third.ended() == b""
    broker.wait_log("connection-refused", peer="old-lab", limit="2")


def test_nothing_of_tls_is_spoken_there(broker_2, authority):
    """A client that begins a handshake gets no record back; what it sent is recorded as no frame."""
    raw = socket.create_connection(("127.0.0.1", broker_2.ports["old-lab"]), timeout=5)
    with pytest.raises((ssl.SSLError, OSError)):
        client_context(authority.chu, authority.pem).wrap_socket(raw, server_hostname="127.0.0.1")
    raw.close()
    broker_2.wait_log("frame-rejected", peer="old-lab")
    assert not broker_2.log("handshake-refused")


def test_the_other_listeners_speak_tls(broker_2, authority):
    with pytest.raises(Closed):
        Plain(broker_2.ports["mllp"]).ask(message("NO"))
    assert broker_2.mllp(authority.chu).ask(message("YES")).code == "AA"


def test_the_stopping_broker_answers_what_it_has(broker_2, sender):
    sender.send(b"".join(b"\x0b" + message(f"P{n}", application="LIS") + b"\x1c\r" for n in range(50)))
    assert [sender.ack().code for _ in range(50)] == ["AA"] * 50
    broker_2.terminate()
    assert sender.ended() == b""
    assert broker_2.wait() == 0


@pytest.mark.parametrize("replaced, told", [
    ({'"127.0.0.1"': '"0.0.0.0"'}, "not on the loopback"),
    ({'"127.0.0.1"': '"192.0.2.1"'}, "not on the loopback"),
    ({'"mllp"': '"https"'}, "plain is for protocol"),
    ({'may = [ "send" ]': 'may = [ "read" ]'}, "may not send"),
    ({'plain = "old-lab"': 'plain = "nobody"'}, "nobody"),
])
def test_what_the_configuration_refuses(brokers, configuration, authority, replaced, told):
    broker = brokers(configuration)
    write_block(broker, block("# liaison.conf, recipe 2"), {"chu-demo": "chu-test", **replaced})
    with pytest.raises(AssertionError) as refused:
        broker.start()
    assert told in str(refused.value)


# 3: stunnel beside a receiver


class Receiver:
    """A receiver without TLS: acknowledges what it hears."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.messages = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.listening.accept()
                threading.Thread(target=self.serve, args=[one], daemon=True).start()

    def serve(self, one):
        held = b""
        with one, contextlib.suppress(OSError):
            while got := one.recv(65536):
                *whole, held = (held + got).split(FS + CR)
                for content in whole:
                    assert content[:1] == VT
                    self.messages.append(content[1:])
                    one.sendall(frame(acknowledgement("AA", content.split(b"|")[9].decode())))


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.listening.close()


@pytest.fixture
def tunnel(authority, receiver, tmp_path):
    """The port of a stunnel before ``receiver`` that lets the broker in, under the name of its certificate."""
    identity = authority.issue("receiver", usage=SERVER, dns=["localhost"])
    port = free_port()
    text = put_in(block("; /etc/stunnel/receiver.conf"), accept=f"127.0.0.1:{port}", connect=f"127.0.0.1:{receiver.port}",
                  cert=identity.pem, key=identity.key_file, CAfile=authority.pem, checkHost="localhost")
    with stunnel(tmp_path, "receiver", text, port):
        yield port


def say(port, identity, authority):
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with client_context(identity, authority.pem).wrap_socket(raw, server_hostname="localhost") as link:
        link.sendall(frame(message()))
        return link.recv(1000)


def test_an_old_receiver_through_stunnel(brokers, configuration, authority, tunnel, receiver):
    configuration.destination("old-receiver", tunnel, **QUICK)
    configuration.routes[0]["to"] = ["old-receiver"]
    broker = brokers(configuration).start()
    road = Road(broker, authority.chu)
    road.push(20)
    road.push(1, filler=3_000_000)
    settled(broker, 21, "old-receiver")
    assert receiver.messages == road.sent
    line = broker.wait_log("dialled", destination="old-receiver")
    assert line["tls"].startswith("TLSv1.") and line["serial"]


def test_a_receivers_stunnel_lets_nobody_else_in(tunnel, receiver, authority):
    """A partner of the same authority is not the broker, which is let in."""
    with contextlib.suppress(OSError):
        assert say(tunnel, authority.chu, authority) == b""
    assert receiver.messages == []
    assert b"MSA|AA|" in say(tunnel, authority.server, authority)


def test_what_it_makes_of_another_brokers_certificate(brokers, configuration, authority, tunnel, receiver):
    """That it was refused reaches the broker's log, though TLS 1.3 tells it only after the handshake."""
    configuration.destination("old-receiver", tunnel, **QUICK)
    configuration.routes[0]["to"] = ["old-receiver"]
    other = authority.issue("other-broker", usage=BOTH, dns=["other.example.org"], addresses=[ipaddress.ip_address("127.0.0.1")])
    broker = brokers(configuration, server=other).start()
    Road(broker, authority.chu).push(1)
    line = broker.wait_log("disconnected", destination="old-receiver", end="reset")
    assert line["why"] == "refused by the other side", line  # stunnel's alert for a wrong name is an internal error
    assert receiver.messages == []

# SPDX-License-Identifier: Apache-2.0
"""Another configuration for a broker that runs: whole or not at all, seen on the wire, and no link dropped that should live."""
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from liaison_harness import LIAISOND
from liaison_harness.authority import BOTH, Identity
from liaison_harness.broker import free_port, wait_until
from liaison_harness.destination import Destination
from liaison_harness.hl7 import message
from liaison_harness.memory import ASAN_OPTIONS, MIB, SANITIZED, THREADS, held
from liaison_harness.mllp import PATIENCE, Closed, client_context

DROP_SECONDS = 5  # from a reload to the end of the last link that it forbids


class Control:
    """One connection to the control socket; faster than the program when a thousand are asked."""

    def __init__(self, broker):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(broker.folder / "control.sock"))
        self.lines = self.socket.makefile("r")

    def ask(self, **request):
        """The rows, and the last line."""
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        rows = []
        while True:
            line = json.loads(self.lines.readline())
            if "row" not in line:
                return rows, line
            rows.append(line["row"])

    def close(self):
        self.lines.close()
        self.socket.close()


def refused_connection(broker, identity, listener="mllp"):
    """True when ``identity`` is not let in."""
    try:
        client = broker.mllp(identity, listener)
        client.ended()
    except (OSError, Closed):
        return True
    except TimeoutError:
        return False
    return True


def items(broker, identity, inbox):
    answer = broker.pull(identity).items(inbox, limit=1000)
    return [item["control_id"] for item in answer.json["items"]]


# What changes, and is seen


def test_peers_come_and_go(broker, authority):
    """A new one is let in, one that is taken out is dropped and refused, one that comes back is let in again; others notice nothing."""
    lab = authority.issue("reload-lab")
    chu = broker.mllp(authority.chu)
    reader = broker.pull(authority.ehpad)
    assert chu.ask(message()).code == "AA"
    assert reader.inboxes().status == 200
    assert refused_connection(broker, lab)
    for _ in range(2):
        broker.configuration.peer("lab", lab)
        told = broker.reload()
        assert (told["peers"], told["routes"], told["listeners"]) == ("1", "0", "0")
        one = broker.mllp(lab)
        assert one.ask(message()).code == "AA"
        assert chu.ask(message()).code == "AA"
        broker.configuration.peers.pop()
        broker.reload()
        assert one.ended(DROP_SECONDS) == b""
        assert refused_connection(broker, lab)
        assert chu.ask(message()).code == "AA"
        assert reader.items("ehpad").status == 200
    assert not broker.log("disconnected", peer="chu") and not broker.log("disconnected", peer="ehpad")
    assert broker.log("disconnected", peer="lab")[-1]["end"] == "revoked"


def test_a_right_that_is_taken_ends_the_link(broker, authority):
    """The same for what a peer may do, and the reader's for what it may read."""
    reader = broker.pull(authority.ehpad)
    chu = broker.mllp(authority.chu)
    assert chu.ask(message("R-1")).code == "AA"
    assert reader.items("ehpad").status == 200
    broker.configuration.inboxes[0]["readers"] = []
    broker.configuration.peers[0]["may"] = ["read"]
    broker.reload()
    assert reader.items("ehpad").status == 404
    assert chu.ended(DROP_SECONDS) == b""
    broker.configuration.inboxes[0]["readers"] = ["ehpad"]
    broker.configuration.peers[0]["may"] = ["send"]
    broker.reload()
    assert [item["control_id"] for item in reader.items("ehpad").json["items"]] == ["R-1"]
    assert broker.mllp(authority.chu).ask(message()).code == "AA"


def test_an_entry_for_another_certificate_ends_the_link(broker, authority):
    """A peer whose certificate is another from now on: the old one is nobody's, and the new one is the same peer."""
    other = authority.issue("reload-other")
    chu = broker.mllp(authority.chu)
    assert chu.ask(message()).code == "AA"
    broker.configuration.peers[0]["certificates"][0]["subject"] = other.subject
    broker.reload()
    assert chu.ended(DROP_SECONDS) == b""
    assert refused_connection(broker, authority.chu)
    assert broker.mllp(other).ask(message("NEW")).code == "AA"
    assert broker.wait_log("received", control="NEW")["peer"] == "chu"


def test_a_long_poll_goes_on_under_the_new_configuration(broker, authority):
    """One that waits is answered with what there is, and the next one sees what came."""
    reader = broker.pull(authority.ehpad)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(reader.items("ehpad", wait=30)))
    thread.start()
    wait_until(lambda: broker.metric("liaison_connections", listener="pull") == 1)
    time.sleep(0.2)
    broker.reload()
    thread.join(5)
    assert answers and answers[0].json["items"] == []


def test_inboxes_and_routes_come_and_go(broker, authority):
    """Items of an inbox that was taken out wait: put back, by reload or by restart, it has them all in order."""
    chu = broker.mllp(authority.chu)
    broker.configuration.inbox("second", readers=["ehpad"])
    broker.configuration.routes.insert(0, {"name": "adt", "when": {"type": "ADT"}, "to": ["second"], "go_on": True})
    told = broker.reload()
    assert (told["destinations"], told["routes"]) == ("1", "1")
    sent = [f"IN-{n}" for n in range(5)]
    for control in sent:
        assert chu.ask(message(control)).code == "AA"
    assert items(broker, authority.ehpad, "second") == sent
    inbox, route = broker.configuration.inboxes.pop(), broker.configuration.routes.pop(0)
    for back in (broker.reload, broker.restart):
        broker.reload()
        assert broker.pull(authority.ehpad).items("second").status == 404
        assert broker.wait_log("orphaned")["count"] == "5"
        assert broker.metric("liaison_waiting", destination="second") == 5
        assert broker.mllp(authority.chu).ask(message()).code == "AA"
        assert broker.pull(authority.ehpad).items("second").status == 404
        if back == broker.restart:
            assert broker.stop() == 0
        broker.configuration.inboxes.append(inbox)
        broker.configuration.routes.insert(0, route)
        back()
        assert items(broker, authority.ehpad, "second") == sent
        broker.configuration.inboxes.pop()
        broker.configuration.routes.pop(0)


def test_destinations_come_and_go(broker, authority):
    """A new one is dialled at once; one whose address changes is dialled there; one that is gone is dialled no more."""
    first, second = Destination(authority).start(), Destination(authority).start()
    try:
        chu = broker.mllp(authority.chu)
        broker.configuration.destination("lyon", first.port, retry_first="50ms")
        broker.configuration.routes.insert(0, {"name": "out", "when": {}, "to": ["lyon"], "go_on": True})
        broker.reload()
        assert chu.ask(message("D-1")).code == "AA"
        wait_until(lambda: first.controls == ["D-1"])
        broker.configuration.destinations[0]["address"] = f"localhost:{second.port}"
        broker.reload()
        assert chu.ask(message("D-2")).code == "AA"
        wait_until(lambda: second.controls == ["D-2"])
        broker.configuration.destinations.pop()
        broker.configuration.routes.pop(0)
        broker.reload()
        assert chu.ask(message("D-3")).code == "AA"
        wait_until(lambda: not second.connections)
        assert first.controls == ["D-1"] and second.controls == ["D-2"]
    finally:
        first.stop()
        second.stop()


def test_listeners_come_and_go(broker, authority):
    """A new socket is opened and an old one closed; a link of one that stays goes on, one of one that is gone is closed after its answers."""
    chu = broker.mllp(authority.chu)
    broker.configuration.listeners.append({"name": "more", "protocol": "mllp", "address": "127.0.0.1", "port": 0})
    assert broker.reload()["listeners"] == "1"
    one = broker.mllp(authority.chu, "more")
    assert one.ask(message()).code == "AA"
    before = broker.ports["more"]
    broker.configuration.listeners[-1]["port"] = free_port()
    broker.reload()
    assert broker.ports["more"] == broker.configuration.listeners[-1]["port"] != before
    assert one.ended() == b""
    two = broker.mllp(authority.chu, "more")
    two.frame(message("LAST"))
    broker.configuration.listeners.pop()
    broker.reload()
    assert two.ack().control == "LAST"
    assert two.ended() == b""
    for port in (before, broker.ports["more"]):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert chu.ask(message()).code == "AA"
    assert not broker.log("disconnected", listener="mllp")


def test_a_plain_listener_comes_and_goes(broker, authority):
    """Without TLS from one reload to the next; its links are those of the peer it names, and end when it names another."""
    settings = broker.configuration
    for name in ("old-lab", "new-lab"):
        settings.peers.append({"name": name, "establishment": "chu-test", "may": ["send"]})
    settings.listeners += [{"name": name, "protocol": "mllp", "address": "127.0.0.1", "port": 0, "plain": name} for name in ("old-lab", "new-lab")]
    broker.reload()
    with socket.create_connection(("127.0.0.1", broker.ports["old-lab"]), PATIENCE) as raw:
        raw.sendall(b"\x0b" + message("PLAIN") + b"\x1c\r")
        assert b"MSA|AA|PLAIN" in raw.recv(4096)
        assert broker.wait_log("received", control="PLAIN")["peer"] == "old-lab"
        settings.listeners[-2]["plain"] = "new-lab"
        settings.listeners.pop()
        settings.peers[-2]["certificates"] = settings.peers[0]["certificates"][:0] + [
            {"spki": "sha256:" + "00" * 32}]
        broker.reload()
        raw.settimeout(DROP_SECONDS)
        assert raw.recv(4096) == b""
    with socket.create_connection(("127.0.0.1", broker.ports["old-lab"]), PATIENCE) as raw:
        raw.sendall(b"\x0b" + message("OTHER") + b"\x1c\r")
        assert b"MSA|AA|OTHER" in raw.recv(4096)
    assert broker.wait_log("received", control="OTHER")["peer"] == "new-lab"


def test_our_renewed_certificate_is_shown_to_the_next(brokers, configuration, authority, tmp_path):
    """Key and certificate are replaced in place: links that are open live on, the next one sees the new one."""
    own = Identity(tmp_path, "own", authority.server.certificate, authority.server.key)
    broker = brokers(configuration, server=own).start()
    chu = broker.mllp(authority.chu)

    def shown():
        der = broker.mllp(authority.chu).socket.getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(der)
    assert shown() == own.pem.read_text()
    renewed = authority.issue("reload-broker", usage=BOTH, dns=["localhost"],
                              addresses=[ipaddress.ip_address("127.0.0.1")])
    shutil.copyfile(renewed.pem, own.pem)
    shutil.copyfile(renewed.key_file, own.key_file)
    assert shown() != own.pem.read_text(), "nothing is read before it is asked for"
    assert broker.reload()["certificate"].upper().lstrip("0") == renewed.serial.lstrip("0")
    assert shown() == own.pem.read_text()
    assert chu.ask(message()).code == "AA"
    assert not broker.log("disconnected", peer="chu")


def resumable(broker, identity, authority):
    """A connection whose session may be resumed, and the context and the session for it."""
    context = client_context(identity, authority.pem, ssl.TLSVersion.TLSv1_2)
    raw = socket.create_connection(("127.0.0.1", broker.ports["mllp"]), PATIENCE)
    one = context.wrap_socket(raw, server_hostname="127.0.0.1")
    return one, context, one.session


def resume(broker, context, session):
    raw = socket.create_connection(("127.0.0.1", broker.ports["mllp"]), PATIENCE)
    one = context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
    one.sendall(b"\x0b" + message() + b"\x1c\r")
    return one, one.recv(4096)


def revoke(authority, path, *identities):
    """A revocation list of these and no others, in place."""
    path.write_bytes(authority.crl(*identities))
    return path


def test_a_revoked_certificate_ends_its_links(brokers, configuration, authority, tmp_path):
    """A new revocation list and a reload: within 5 s its link is dropped, it is refused, and a session from before does not help it."""
    bad = authority.issue("reload-revoked")
    configuration.peer("bad", bad)
    crl = revoke(authority, tmp_path / "crl.pem")
    configuration.tls = {"crls": str(crl)}
    broker = brokers(configuration).start()
    link, context, session = resumable(broker, bad, authority)
    second, answer = resume(broker, context, session)
    assert second.session_reused and b"MSA|AA" in answer, "resumption works while it is good"
    chu = broker.mllp(authority.chu)
    revoke(authority, crl, bad)
    assert broker.mllp(bad).ask(message()).code == "AA", "nothing is read before it is asked for"
    since = time.monotonic()
    broker.reload()
    for one in (link, second):
        one.settimeout(DROP_SECONDS)
        try:
            assert one.recv(4096) == b""
        except (ConnectionError, ssl.SSLError):
            pass
    assert time.monotonic() - since < DROP_SECONDS
    with pytest.raises((OSError, Closed)):
        third, answer = resume(broker, context, session)
        assert answer == b"", "a revoked peer was answered"
        raise Closed(b"")
    assert refused_connection(broker, bad)
    assert chu.ask(message()).code == "AA"
    revoke(authority, crl)
    broker.reload()
    assert broker.mllp(bad).ask(message()).code == "AA", "and back, when the list says so"


def test_limits_are_followed_by_open_links(broker, authority):
    chu = broker.mllp(authority.chu)
    assert chu.ask(message(filler=5000)).code == "AA"
    broker.configuration.peers[0]["max_size"] = "2K"
    broker.reload()
    assert chu.ask(message(filler=500)).code == "AA"
    big = broker.mllp(authority.chu)
    assert big.ask(message(filler=5000)).code == "AE"
    assert chu.ask(message(filler=5000)).code == "AE"
    broker.configuration.peers[0]["max_size"] = "1M"
    broker.configuration.limits["idle"] = "1s"
    chu = broker.mllp(authority.chu)
    assert chu.ask(message()).code == "AA"
    broker.reload()
    since = time.monotonic()
    assert chu.ended(5) == b""
    assert 0.5 < time.monotonic() - since < 4


# Asking


def test_one_at_a_time(broker):
    """Of many at once each is done or told that one is under way."""
    controls = [Control(broker) for _ in range(8)]
    answers = []
    threads = [threading.Thread(target=lambda control=control: answers.append(control.ask(command="reload"))) for control in controls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    done = [last for _, last in answers if last.get("ok")]
    told = [row["text"] for rows, last in answers if "error" in last for row in rows]
    assert done and len(done) + len(told) == 8
    assert set(told) <= {"a reload is under way"}
    assert Control(broker).ask(command="reload")[1].get("ok")


def test_a_stop_in_the_middle(brokers, configuration):
    """A reload that is under way when the broker is told to stop is done or refused, and the broker ends in time."""
    for _ in range(4):
        broker = brokers(configuration).start()
        control = Control(broker)
        for _ in range(3):
            control.socket.sendall(b'{"command":"reload"}\n')
        broker.terminate()
        assert broker.wait() == 0
        assert broker.log()[-1].event == "stopped"
        control.close()


def test_what_cannot_be_meant_is_a_warning(broker, authority):
    """A route from a test sender to a production inbox: taken, and told by the check and by the reload."""
    broker.configuration.inbox("live", readers=[], establishment="chu-live")
    broker.configuration.routes.insert(0, {"name": "mixed", "when": {"peer": "chu"}, "to": ["live"], "go_on": True})
    broker.write()
    told = "route mixed: nothing that it takes can enter live, which belongs to a production establishment"
    done = subprocess.run([LIAISOND, "-n", "-c", broker.file], capture_output=True, text=True)
    assert done.returncode == 0 and told in done.stdout and "is valid" in done.stdout
    done = broker.liaison("reload")
    assert done.returncode == 0 and told in done.stdout, done
    assert broker.mllp(authority.chu).ask(message()).code == "AA"


def test_the_act_is_journalled(broker, authority):
    """Who asked stands in the log and in the journal before anything changes."""
    told = broker.reload()
    assert told["who"].startswith("uid:")
    journal = b"".join(path.read_bytes() for path in sorted((broker.folder / "state" / "journal").glob("*.seg")))
    assert b"reload" in journal and told["who"].encode() in journal


# A thousand, half of them bad, under load


class Sender(threading.Thread):
    """Sends one by one, in order, and keeps what was acknowledged."""

    def __init__(self, broker, identity, number, stop):
        super().__init__(daemon=True)
        self.client = broker.mllp(identity)
        self.number, self.stop_now, self.accepted, self.trouble = number, stop, [], None

    def run(self):
        n = 0
        try:
            while not self.stop_now.is_set():
                control = f"L{self.number}-{n}"
                ack = self.client.ask(message(control, filler=70000 if n % 5 == 0 else 0), 30)  # some are judged by a worker
                assert ack.code == "AA" and ack.control == control, ack.text
                self.accepted.append(control)
                n += 1
        except Exception as trouble:  # told by the scenario
            self.trouble = trouble


def many_reloads(broker, authority, count, senders):
    control = Control(broker)
    stop = threading.Event()
    threads = [Sender(broker, authority.chu, n, stop) for n in range(senders)]
    for thread in threads:
        thread.start()
    extra = {"name": "extra", "establishment": "chu-test", "may": ["send"], "certificates": [{"spki": "sha256:" + "11" * 32}]}
    variants = [
        lambda s: s.peers.append(extra),
        lambda s: s.inbox("extra", readers=[]),
        lambda s: s.listeners.append({"name": "extra", "protocol": "mllp", "address": "127.0.0.1", "port": 0}),
        lambda s: s.routes.insert(0, {"name": "extra", "when": {"type": "ZZZ"}, "to": ["ehpad"]}),
        lambda s: s.limits.update(large_slots=3, output_buffer="128K"),
    ]
    broken = ["whatever = = ;\n", 'state = "/nowhere";\n', 'routes = ( { name = "x"; to = [ "y" ]; } );\n']
    memory = []
    try:
        for n in range(count):
            settings = json.loads(json.dumps({key: value for key, value in vars(broker.configuration).items()}))
            keep = {key: getattr(broker.configuration, key) for key in settings}
            for key, value in settings.items():
                setattr(broker.configuration, key, value)
            variants[n // 2 % len(variants)](broker.configuration)
            broker.write()
            if n % 2:
                broker.file.write_text(broken[n // 2 % len(broken)] if n % 3 else broker.file.read_text() + broken[0])
            for key, value in keep.items():
                setattr(broker.configuration, key, value)
            _, last = control.ask(command="reload")
            assert bool(last.get("ok")) == (n % 2 == 0), (n, last)
            if n % 50 == 49:
                memory.append(held(broker.process.pid)[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
    assert not [thread.trouble for thread in threads if thread.trouble]
    return threads, memory


def all_items(broker, authority):
    reader, there, after = broker.pull(authority.ehpad), [], 0
    while True:
        answer = reader.items("ehpad", limit=1000, after=after).json
        there += [item["control_id"] for item in answer["items"]]
        if not answer["more"]:
            return there
        after = answer["items"][-1]["seq"]


def check_load(broker, authority, threads):
    """Every message that was acknowledged is there once, in the order it was sent; no link of a sender ended."""
    there = all_items(broker, authority)
    assert len(there) == len(set(there))
    for thread in threads:
        mine = [control for control in there if control.startswith(f"L{thread.number}-")]
        assert mine[:len(thread.accepted)] == thread.accepted
        assert len(mine) - len(thread.accepted) <= 1, "one whose answer was not read"
        assert thread.accepted
    assert not broker.log("disconnected", peer="chu")


def test_reloads_under_load(broker, authority):
    """Few, for every build; the thousand below."""
    threads, _ = many_reloads(broker, authority, 30, 3)
    check_load(broker, authority, threads)
    assert len(broker.log("reloaded")) == 15 and len(broker.log("reload-refused")) == 15


def test_a_thousand_reloads(brokers, configuration, authority, monkeypatch):
    """Nothing lost, nothing dropped (fewer where threads are watched, which is slow); and then, with nothing else going on, memory is flat."""
    monkeypatch.setenv("ASAN_OPTIONS", ASAN_OPTIONS)
    for n in range(150):  # so that configurations that are kept would show
        configuration.peers.append({"name": f"quiet-{n}", "establishment": "chu-test", "may": ["send"],
                                    "certificates": [{"spki": f"sha256:{n + 1:064x}"}]})
    broker = brokers(configuration).start()
    threads, memory = many_reloads(broker, authority, 400 if THREADS else 1000, 4)
    check_load(broker, authority, threads)
    grown = sum(memory[-4:]) / 4 - sum(memory[4:8]) / 4  # what came is remembered, too
    assert grown < (32 if SANITIZED else 12) * MIB, [one // MIB for one in memory]
    broker.write()
    control, memory = Control(broker), []
    for n in range(200):
        assert control.ask(command="reload")[1].get("ok")
        memory.append(held(broker.process.pid)[0])
    assert memory[-1] - memory[99] < (4 if SANITIZED else 1) * MIB, [one >> 10 for one in memory]

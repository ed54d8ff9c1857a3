# SPDX-License-Identifier: Apache-2.0
"""Peers that mean harm, or behave as if: what they may not reach, hold or bring down."""
import hashlib
import json
import os
import re
import resource
import socket
import ssl
import struct
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from liaison_harness import BUILD
from liaison_harness.broker import Broker, wait_until
from liaison_harness.configuration import Configuration
from liaison_harness.hl7 import message
from liaison_harness.mllp import Closed, Mllp, client_context, frame


@pytest.fixture(scope="module")
def http_broker(authority):
    """One for many scenarios, with one message, seq 2, in the inbox of `ehpad`; `other` reads an inbox of its own."""
    configuration = Configuration()
    authority.other = authority.issue("other")
    configuration.peer("chu", authority.chu)
    configuration.peer("ehpad", authority.ehpad, may=["read"], max_connections=64)
    configuration.peer("other", authority.other, may=["read"], max_connections=64)
    configuration.inbox("ehpad", readers=["ehpad"])
    configuration.inbox("other", readers=["other"])
    configuration.route("all", to=["ehpad"])
    broker = Broker(authority, configuration).start()
    try:
        fill(broker, authority.chu, 1)
        yield broker
        broker.close_clients()
        assert broker.stop() == 0
    finally:
        broker.clean()


def https(broker, identity):
    """A connection to the pull API that is written byte by byte."""
    client = Mllp(broker.ports["pull"], identity, broker.authority.pem)
    broker.clients.append(client)
    return client


def request(client, path, **headers):
    rows = [f"GET {path} HTTP/1.1", "Host: liaison"] + [f"{name}: {value}" for name, value in headers.items()]
    client.send("\r\n".join(rows + ["", ""]).encode())


def abort(client):
    """End with a reset, as a machine that dies does."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def fill(broker, identity, count, **fields):
    """So many messages, sent at once, accepted in their order."""
    client = broker.mllp(identity)
    contents = [message(**fields) for _ in range(count)]
    client.send(b"".join(frame(content) for content in contents))
    for content in contents:
        ack = client.ack(20)
        assert ack.code == "AA" and f"|{ack.control}|".encode() in content, ack.raw


def count_answers(client, status, wanted, seconds=10):
    """Read until so many answers with this status have begun, or the end."""
    end = time.monotonic() + seconds
    mark = b"HTTP/1.1 %d " % status
    while client.held.count(mark) < wanted:
        try:
            client.more(end - time.monotonic())
        except Closed:
            break
    return client.held.count(mark)


def test_pipelined_requests_wait_for_their_reader(broker, authority):
    """More answers than a connection may have buffered: none is lost, and the connection lives on."""
    client = https(broker, authority.ehpad)
    client.send(b"GET /v1/inboxes HTTP/1.1\r\nHost: liaison\r\n\r\n" * 1500)
    assert count_answers(client, 200, 1500) == 1500
    client.send(b"GET /v1/inboxes HTTP/1.1\r\nHost: liaison\r\n\r\n")
    assert count_answers(client, 200, 1501) == 1501


def test_stop_while_workers_serve_clients_that_left(broker, authority):
    """What workers still did for them is given back: a leak is told at exit."""
    fill(broker, authority.chu, 1000)
    leaving = [https(broker, authority.ehpad) for _ in range(12)]
    for client in leaving:
        request(client, "/v1/inboxes/ehpad/items?limit=1000")
    time.sleep(0.03)
    for client in leaving:
        abort(client)
    time.sleep(0.03)
    assert broker.stop() == 0


def test_a_reader_that_does_not_read_gives_its_large_slot_back(brokers, configuration, authority):
    """Large content is read at large_rate or not at all: else few readers would stop every large message."""
    configuration.limits.update(large_slots=1, large_rate="16M")
    broker = brokers(configuration).start()
    large = message(filler=12 << 20)
    assert broker.mllp(authority.chu).ask(large, 30).code == "AA"
    lazy = https(broker, authority.ehpad)
    request(lazy, "/v1/messages/2")
    broker.wait_log("read-content", id=2)
    eager = broker.pull(authority.ehpad)
    assert eager.message(2).status == 503
    line = broker.wait_log("disconnected", 8, end="slow-reader")
    assert int(line["seconds"]) <= 5
    answer = eager.message(2)
    assert (answer.status, answer.body) == (200, large)


def oru(documents, title):
    return message(kind="ORU^R01", body="PID|1||4711\r" + "\r".join(
        f"OBX|{i + 1}|ED|11488-4^{title}^LN||^TEXT^XML^Base64^QUJD" for i in range(documents)))


def test_facts_past_their_ceiling_are_the_contents_fault(broker, authority):
    """What can never be journalled is not answered with "resend later"; what fits is listed."""
    sender = broker.mllp(authority.chu)
    for content in (oru(1000, "t" * 5000), message(application="A" * (5 << 20))):
        ack = sender.ask(content, 20)
        assert (ack.code, ack.errors[0].code) == ("AE", "207"), ack.raw
    assert sender.ask(oru(1000, "t" * 900), 20).code == "AA"
    listed = broker.pull(authority.ehpad).items("ehpad", limit=1000)
    assert listed.status == 200 and len(listed.body) < 1100000
    assert [item["document_count"] for item in listed.json["items"]] == [1000]


REQUEST = b"Host: liaison\r\n"
SMUGGLED = b"GET /v1/inboxes HTTP/1.1\r\nHost: liaison\r\n\r\n"


@pytest.mark.parametrize("status, raw", [
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"),
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Content-Length: +5\r\n\r\n12345"),
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
    (400, b"POST / HTTP/1.1\r\n" + REQUEST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: liaison\n\n"),
    (400, b"GET / HTTP/1.1\r\n" + REQUEST + REQUEST + b"\r\n"),
    (400, b"GET /v1/inboxes/ehpad%2fitems HTTP/1.1\r\n" + REQUEST + b"\r\n"),
    (413, b"POST / HTTP/1.1\r\n" + REQUEST + b"Content-Length: 1048577\r\n\r\n"),
    (413, b"POST / HTTP/1.1\r\n" + REQUEST + b"Expect: 100-continue\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\n" + REQUEST + b"X: y\r\n" * 5000 + b"\r\n"),
], ids=lambda value: None if isinstance(value, bytes) else str(value))
def test_ambiguous_requests_end_the_connection(http_broker, authority, status, raw):
    """One answer, then the end: nothing behind it is taken for a request."""
    client = https(http_broker, authority.ehpad)
    client.send(raw + SMUGGLED)
    assert client.ended().count(b"HTTP/1.1 ") == 1
    assert http_broker.wait_log("request-refused", status=status)
    client.close()


@pytest.mark.parametrize("body", [
    b'{"accepted":[2,2]}', b'{"accepted":[2],"rejected":[{"seq":2,"code":"X"}]}', b'{"accepted":[2],"accepted":[2]}',
    b'{"accepted":["2"]}', b'{"accepted":[2.0]}', b'{"accepted":[2e0]}', b'{"accepted":[-2]}', b'{"accepted":[0]}',
    b'{"accepted":[9007199254740992]}', b'{"accepted":[18446744073709551618]}', b'{"accepted":[2],"more":1}', b'[2]', b'', b'{}{}',
    b'{"accepted":{"0":2}}', b'{"rejected":[{"seq":2}]}', b'{"rejected":[{"seq":2,"code":""}]}', b'{"rejected":[{"seq":2,"code":"\xff"}]}',
    b'{"accepted":[2]}\x00', b"[" * 100000, b'{"accepted":' + b"[" * 100000, b'{"accepted":[' + b"2," * 400000 + b"2]}",
    b'{"accepted":[' + b",".join(b"%d" % n for n in range(1, 10002)) + b"]}", b'{"rejected":[' + b"{}," * 300000 + b"{}]}",
    b'{"rejected":[{"seq":2,"code":"' + b"x" * 65 + b'"}]}',
], ids=lambda body: body[:30].decode("latin-1") + f"({len(body)})")
def test_acknowledgements_are_taken_to_the_letter_or_not_at_all(http_broker, authority, body):
    reader = http_broker.pull(authority.ehpad)
    answer = reader.request("POST", "/v1/inboxes/ehpad/ack", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.json["code"] == "bad-request"
    assert reader.items("ehpad").json["items"][0]["seq"] == 2, "nothing is settled"
    http_broker.close_clients()


def test_what_is_not_ours_and_what_is_not_there_look_alike(http_broker, authority):
    def answers(identity, path):
        client = https(http_broker, identity)
        request(client, path, Connection="close")
        return re.sub(rb"Date: [^\r]*", b"", client.ended())
    seen = {answers(authority.other, path) for path in (
        "/v1/messages/2", "/v1/messages/1", "/v1/messages/999999", "/v1/messages/2/documents/1", "/v1/messages/x",
        "/v1/inboxes/ehpad/items", "/v1/inboxes/ehpad/items?wait=60", "/v1/inboxes/none/items", "/v1/none")}
    assert len(seen) == 1 and seen.pop().startswith(b"HTTP/1.1 404 ")
    settling = {http_broker.pull(authority.other).ack(name, [2]).body for name in ("ehpad", "none")}
    assert len(settling) == 1
    assert http_broker.pull(authority.ehpad).message(2).status == 200
    http_broker.close_clients()


def test_rights(http_broker, authority):
    """One who reads does not send, one who sends does not read, and it is said who tried."""
    with pytest.raises((Closed, ConnectionError)):
        http_broker.mllp(authority.ehpad).ask(message())
    assert http_broker.wait_log("connection-refused", peer="ehpad")
    assert http_broker.pull(authority.chu).message(2).status == 403
    http_broker.close_clients()


def test_a_certificate_of_two_peers_is_nobodys(brokers, configuration, authority):
    """By its subject one peer, by its name another, by its key a third: refused, not guessed."""
    both = authority.issue("both", dns=["both.example"])
    key = authority.issue("key")
    spki = hashlib.sha256(key.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    configuration.peer("by-subject", both)
    configuration.peer("by-name", both)
    configuration.peers[-1]["certificates"] = [{"issuer": both.issuer, "san": "dns:both.example"}]
    configuration.peer("by-key", key)
    configuration.peers[-1]["certificates"] = [{"spki": f"sha256:{spki}"}]
    configuration.peer("by-subject-of-key", key)
    broker = brokers(configuration).start()
    for identity in (both, key):
        with pytest.raises((Closed, ConnectionError)):
            broker.mllp(identity).ask(message())
    wait_until(lambda: len(broker.log("peer-unknown", why="more than one peer of the configuration has it")) == 2)
    assert not broker.log("connected")


def test_a_certificate_cannot_write_the_log(broker, authority):
    """Whatever a name holds stays in its line and its quotes (the log is read by its grammar here)."""
    name = 'x\n2026-11-21T00:00:00.000+00:00 info ready id=1 "\x1b[31m\x7f\u202e\U0001F600=\\"'
    evil = authority.issue(name, file_name="evil", organisation="CHU d'Évreux\r\nO=chu")
    with pytest.raises((Closed, ConnectionError)):
        broker.mllp(evil).ask(message())
    line = broker.wait_log("peer-unknown")
    assert "\x1b" not in line.row and len(line["subject"]) > 40
    assert len(broker.log("ready")) == 1


def test_a_message_cannot_write_the_log(broker, authority):
    sender = broker.mllp(authority.chu)
    secret = "MORTADELLE"
    forged = '2026-11-21T00:00:00.000+00:00 info ready id=9 "\x1b[2J'
    evil = {"application": "G=\t\"", "facility": "C\x00D", "body": f"PID|1||4711||{secret}^ROSE"}
    assert sender.ask(message(f'A"{forged}', **evil)).code == "AA"
    for content in (message(f'A"\n{forged}', **evil), message(body=f"{secret}|1"), message(kind=f"{secret}^A01"), message(version=secret), message(processing=secret),
                    message("X" * 150 + secret * 10), f"{secret}|^~\\&|".encode(), b""):
        assert sender.ask(content).code == "AE"
    reader = broker.pull(authority.ehpad)
    seq = reader.items("ehpad").json["items"][0]["seq"]
    assert reader.ack("ehpad", rejected=[{"seq": seq, "code": "X\n1", "text": f"not our {secret}"}]).status == 200
    broker.wait_log("item-rejected", id=seq)
    assert len(broker.log("ready")) == 1
    assert secret not in broker.log_text().replace(secret * 10, "")
    assert secret not in str(broker.metrics())


def test_a_control_client_that_does_not_read_keeps_no_stop(broker, authority):
    fill(broker, authority.chu, 1500)
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(broker.folder / "control.sock"))
        lazy.send(b'{"command":"search","limit":1000}\n')
        time.sleep(0.5)
        assert broker.stop(seconds=5) == 0


def test_small_junk_is_charged_for_what_it_costs(brokers, configuration, authority):
    """Frames of nothing: each makes a record and a line of the log, a thousand times its size."""
    configuration.peers[0]["junk_quota"] = "64K"
    broker = brokers(configuration).start()
    client = broker.mllp(authority.chu)
    client.send(frame(b"") * 2000)
    assert 512 < client.ended().count(b"MSA|AE|") <= 512 + 32, "and what was in flight"
    assert broker.wait_log("junk-quota", peer="chu")


def test_order_when_some_are_judged_by_workers(broker, authority):
    """Large ones go to workers, small ones do not: answers and records keep the order of arrival."""
    sizes = [0, 100 << 10, 10, 70 << 10, 0, 0, 2 << 20, 1, 66 << 10, 3]
    contents = [message(f"O{i}", filler=sizes[i % len(sizes)]) for i in range(60)]
    sender = broker.mllp(authority.chu)
    sending = threading.Thread(target=sender.send, args=(b"".join(frame(content) for content in contents),))
    sending.start()
    assert [sender.ack().control for _ in contents] == [f"O{i}" for i in range(60)]
    sending.join()
    listed = broker.pull(authority.ehpad).items("ehpad").json["items"]
    assert [item["control_id"] for item in listed] == [f"O{i}" for i in range(60)]


def test_a_ticket_is_of_the_certificate_that_got_it(broker, authority):
    """Whoever resumes is whom the session knew, whatever certificate it holds by now."""
    context = client_context(authority.chu, authority.pem, ssl.TLSVersion.TLSv1_2)

    def connect(session=None):
        raw = socket.create_connection(("127.0.0.1", broker.ports["mllp"]), 10)
        return context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
    with connect() as first:
        session = first.session
        broker.wait_log("connected", peer="chu", resumed="no")
    context.load_cert_chain(authority.ehpad.pem, authority.ehpad.key_file)
    with connect(session) as second:
        assert second.session_reused
        broker.wait_log("connected", peer="chu", resumed="yes")
    assert not broker.log("connected", peer="ehpad")


def test_polls_of_one_peer_are_bounded(http_broker, authority):
    polls = [https(http_broker, authority.ehpad) for _ in range(60)]
    last = https(http_broker, authority.ehpad)
    for client in polls:
        request(client, "/v1/inboxes/ehpad/items?wait=60&after=1000000")
    more = b"GET /v1/inboxes/ehpad/items?wait=60&after=1000000 HTTP/1.1\r\nHost: liaison\r\n\r\n"
    last.send(more * 10)
    assert last.silent(0.3), "a poll waits for its answer, those behind it for theirs"
    for client in polls:
        abort(client)
    abort(last)
    again = http_broker.pull(authority.ehpad)
    assert again.items("ehpad", wait=60).status == 200
    http_broker.close_clients()


def test_control_lines_that_are_none(broker):
    def answer(line):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(broker.folder / "control.sock"))
            client.sendall(line)
            return json.loads(client.makefile("rb").readline())
    for line in (b"\n", b"null\n", b"[]\n", b"{}\n", b"\xff\xfe\n", b'{"command":1}\n', b'{"command":"x"}\n', b"{" * 60000 + b"\n",
                 b'{"a":' * 9000 + b"\n", b"x" * 65536, b'{"command":"show","id":1e3}\n', b'{"command":"show","id":-1}\n',
                 b'{"command":"show","id":1,"content":true}\n', b'{"command":"show","id":1,"content":true,"reason":"a\\u0000b"}\n',
                 b'{"command":"status","command":"status"}\n', b'{"command":"tail","file":"/etc/passwd"}\n',
                 b'{"command":"show","id":9007199254740993}\n'):
        assert answer(line)["error"]["code"] == "request", line[:60]
    assert "row" in answer(b'{"command":"events"}\n'), "it still answers"


def test_stop_in_every_state(brokers, configuration, authority):
    """Handshakes, half frames, half requests, polls, bodies that nobody reads, control requests: the end comes all the same."""
    broker = brokers(configuration).start()
    large = message(filler=6 << 20)
    assert broker.mllp(authority.chu).ask(large, 20).code == "AA"
    plain = [socket.create_connection(("127.0.0.1", port)) for port in broker.ports.values() for _ in range(2)]
    plain[0].send(b"\x16\x03\x01\x02\x00\x01")
    for content in (b"", b"\x0b", frame(large)[:3 << 20], frame(message())[:-1], frame(message(filler=200 << 10)) * 3, b"noise"):
        broker.mllp(authority.chu).send(content)
    for raw in (b"GET /v1", b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",
                b"GET /v1/inboxes/ehpad/items?wait=60&after=99999 HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
                b"GET /v1/inboxes/ehpad/items HTTP/1.1\r\nHost: a\r\n\r\n" * 50):
        https(broker, authority.ehpad).send(raw)
    controls = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for client, line in zip(controls, (b"{", b'{"command":"check"}\n', b'{"command":"rebuild","reason":"test"}\n', b"")):
        client.connect(str(broker.folder / "control.sock"))
        client.send(line)
    time.sleep(0.2)
    started = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - started < 5
    for one in plain + controls:
        one.close()


def test_without_descriptors_nothing_spins(broker, authority):
    """Who comes while there are none waits; the loop rests, serves those it has, and takes the others later."""
    sender = broker.mllp(authority.chu)
    pid = broker.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    doors = list(broker.ports.values()) + [broker.admin_port]
    waiting = [socket.create_connection(("127.0.0.1", port)) for port in doors]
    control = socket.socket(socket.AF_UNIX)
    control.connect(str(broker.folder / "control.sock"))

    def spent():
        return sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    before = spent()
    time.sleep(1)
    assert spent() - before < 0.3
    assert sender.ask(message()).code == "AA"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_until(lambda: broker.admin("/healthz")[0] == 200)
    assert broker.mllp(authority.chu).ask(message()).code == "AA"
    for one in waiting + [control]:
        one.close()


def test_stop_while_the_disk_does_not_answer(brokers, configuration, authority, monkeypatch, tmp_path):
    """Past the stop's deadline everything is ended under whoever still waits: messages, reads, acknowledgements, operators' acts."""
    stall = tmp_path / "stall"
    configuration.limits["stop"] = "1s"
    with monkeypatch.context() as env:
        env.setenv("LIAISON_STALL", str(stall))
        env.setenv("LD_PRELOAD", str(BUILD / "tests" / "shim" / "stall.so"))
        env.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
        broker = brokers(configuration).start()
    fill(broker, authority.chu, 50)
    stall.write_text("")
    left = broker.mllp(authority.chu)
    for content in (frame(message()) * 40, frame(message("SAME")) * 5 + frame(message(filler=200 << 10)), frame(message("SAME"))):
        broker.mllp(authority.chu).send(content)
        left.send(content)
    readers = []
    for path in ("/v1/messages/2", "/v1/messages/3", "/v1/inboxes/ehpad/items", "/v1/inboxes/ehpad/items?wait=60&after=9999"):
        for _ in range(2):
            readers.append(https(broker, authority.ehpad))
            request(readers[-1], path)
    for _ in range(2):
        readers.append(https(broker, authority.ehpad))
        readers[-1].send(b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                         b'Content-Length: 18\r\n\r\n{"accepted":[2,3]}')
    operators = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for client, line in zip(operators, [b'{"command":"rebuild","reason":"test"}\n', b'{"command":"check"}\n',
                                        b'{"command":"show","id":3,"content":true,"reason":"test"}\n'] * 2):
        client.connect(str(broker.folder / "control.sock"))
        client.send(line)
    time.sleep(0.3)
    for client in [left] + readers[::2]:
        abort(client)
    operators[3].close()
    broker.terminate()
    time.sleep(1.5)
    assert broker.process.poll() is None, "what is queued is still written"
    stall.unlink()
    assert broker.wait() == 0
    for client in operators:
        client.close()

# SPDX-License-Identifier: Apache-2.0
"""Pulling: what a DUI sees of what a hospital sent. Every answer is held against the description of the API."""
import base64
import hashlib
import socket
import threading
import time

import pytest

from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import frame

CDA = b'<?xml version="1.0" encoding="UTF-8"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Examen</title></ClinicalDocument>\n'


@pytest.fixture
def chu(broker, authority):
    return broker.mllp(authority.chu)


@pytest.fixture
def ehpad(broker, authority):
    return broker.pull(authority.ehpad)


def report(control=None, data=None, encoding="Base64", title="CR d'examens biologiques", media="text^xml", **options):
    """An ORU^R01 with one document."""
    if data is None:
        data = base64.b64encode(CDA).decode()
    return message(control, kind="ORU^R01^ORU_R01", body="PID|1||4711^^^CHU||LILAS^ROSE\rOBR|1\r"
                   f"OBX|1|ED|11502-2^{title}^2.16.840.1.113883.6.1||^{media}^{encoding}^{data}||||||F", **options)


def digest(content):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(content).digest()).decode() + ":"


def seqs(answer):
    assert answer.status == 200, answer
    return [item["seq"] for item in answer.json["items"]]


def results(answer):
    assert answer.status == 200, answer
    return [(one["result"], one.get("standing")) for one in answer.json["results"]]


# A document travels


def test_a_document_travels(broker, chu, ehpad):
    sent = report("DOC-1")
    assert chu.ask(sent).code == "AA"

    (inbox,) = ehpad.inboxes().json["inboxes"]
    assert (inbox["name"], inbox["establishment"], inbox["mode"], inbox["waiting"]) == ("ehpad", "chu-test", "test", 1)
    assert inbox["oldest"]

    (item,) = ehpad.items("ehpad").json["items"]
    seq = item["seq"]
    assert item["received"][:19] == inbox["oldest"][:19]
    assert item["sender"] == {"peer": "chu", "application": "GAM", "facility": "CHU"}
    assert (item["type"], item["control_id"], item["processing"]) == ("ORU^R01", "DOC-1", "T")
    assert (item["size"], item["sha256"]) == (len(sent), hashlib.sha256(sent).hexdigest())
    (document,) = item["documents"]
    assert (document["index"], document["media_type"], document["type_code"], document["type_system"], document["title"]) == (
        1, "text/xml", "11502-2", "2.16.840.1.113883.6.1", "CR d'examens biologiques")

    whole = ehpad.message(seq)
    assert (whole.body, whole.headers["content-type"]) == (sent, "application/hl7-v2")
    assert whole.headers["repr-digest"] == digest(sent)

    decoded = ehpad.document(seq, 1)
    assert (decoded.body, decoded.headers["content-type"]) == (CDA, "text/xml")
    assert decoded.headers["repr-digest"] == digest(CDA)

    assert results(ehpad.ack("ehpad", accepted=[seq])) == [("accepted", None)]
    assert seqs(ehpad.items("ehpad")) == []
    assert ehpad.inboxes().json["inboxes"][0] == {**inbox, "waiting": 0, "oldest": None}

    for event, fields in [("listed", {"destination": "ehpad", "items": 1}), ("read-content", {"id": seq, "what": "message"}),
                          ("read-content", {"id": seq, "what": "document 1"}), ("delivered", {"id": seq, "destination": "ehpad"})]:
        broker.wait_log(event, peer="ehpad", **fields)
    assert broker.metric("liaison_delivered_total", destination="ehpad") == 1
    assert broker.metric("liaison_waiting", destination="ehpad") == 0


def test_what_was_settled_stays_so_after_a_kill(broker, authority, chu, ehpad):
    for _ in range(3):
        assert chu.ask(report()).code == "AA"
    first, second, third = seqs(ehpad.items("ehpad"))
    assert results(ehpad.ack("ehpad", accepted=[first], rejected=[{"seq": third, "code": "X", "text": "unknown"}])) == [
        ("accepted", None), ("rejected", None)]
    broker.kill()
    broker.restart()
    ehpad = broker.pull(authority.ehpad)
    assert seqs(ehpad.items("ehpad")) == [second]
    assert results(ehpad.ack("ehpad", accepted=[third, first])) == [("already", "rejected"), ("already", "accepted")]
    assert ehpad.message(first).status == 200, "an item that was settled can still be read"


def test_two_nodes_on_one_inbox(broker, authority, chu):
    """No lease: both see it, the first acknowledgement counts, the second is told what stands."""
    one, other = broker.pull(authority.ehpad), broker.pull(authority.ehpad)
    assert chu.ask(report()).code == "AA"
    (seq,) = seqs(one.items("ehpad"))
    assert seqs(other.items("ehpad")) == [seq]
    assert results(one.ack("ehpad", rejected=[{"seq": seq, "code": "E-12"}])) == [("rejected", None)]
    assert results(other.ack("ehpad", accepted=[seq])) == [("already", "rejected")]
    assert results(one.ack("ehpad", rejected=[{"seq": seq, "code": "E-12"}])) == [("already", "rejected")]


def test_a_rejected_item_is_told_by_its_code(broker, chu, ehpad):
    assert chu.ask(report()).code == "AA"
    (seq,) = seqs(ehpad.items("ehpad"))
    ehpad.ack("ehpad", rejected=[{"seq": seq, "code": "E-12", "text": "ROSE LILAS is not ours"}])
    assert broker.wait_log("item-rejected", id=seq, peer="ehpad", destination="ehpad", code="E-12").level == "warning"
    assert "LILAS" not in broker.log_text()
    assert broker.metric("liaison_items_rejected_total", destination="ehpad") == 1


def test_an_item_that_is_not_there(broker, ehpad):
    assert results(ehpad.ack("ehpad", accepted=[4711])) == [("absent", None)]


# Lists


def test_after_only_pages(broker, chu, ehpad):
    for _ in range(5):
        assert chu.ask(report()).code == "AA"
    everything = seqs(ehpad.items("ehpad"))
    assert everything == sorted(everything) and len(everything) == 5
    page = ehpad.items("ehpad", limit=2)
    assert (seqs(page), page.json["more"]) == (everything[:2], True)
    page = ehpad.items("ehpad", limit=3, after=everything[1])
    assert (seqs(page), page.json["more"]) == (everything[2:], False)
    assert seqs(ehpad.items("ehpad")) == everything


def test_a_poll_is_answered_when_something_comes(broker, authority, chu):
    answers = []

    def poll():
        reader = broker.pull(authority.ehpad)
        answers.append((reader.items("ehpad", wait=30), time.monotonic()))
    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert answers == []
    since = time.monotonic()
    assert chu.ask(report()).code == "AA"
    for thread in threads:
        thread.join(10)
    assert [len(seqs(answer)) for answer, _ in answers] == [1, 1, 1]
    assert max(at for _, at in answers) - since < 1


def test_a_poll_ends_at_its_time(broker, ehpad):
    since = time.monotonic()
    assert seqs(ehpad.items("ehpad", wait=1)) == []
    assert 0.9 < time.monotonic() - since < 3


def test_a_poll_is_answered_when_the_broker_stops(broker, ehpad):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ehpad.items("ehpad", wait=60)))
    thread.start()
    time.sleep(0.5)
    since = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - since < 5
    thread.join(5)
    assert [seqs(answer) for answer in answers] == [[]]
    assert answers[0].headers["connection"] == "close"


def test_polls_of_one_peer_are_bounded(brokers, configuration, authority):
    configuration.peers[1]["max_connections"] = 100
    broker = brokers(configuration).start()
    readers = [broker.pull(authority.ehpad) for _ in range(65)]
    for reader in readers[:64]:
        reader.connection.request("GET", "/v1/inboxes/ehpad/items?wait=60")
    answer = wait_until(lambda: (lambda one: one if one.status == 429 else None)(readers[64].items("ehpad", wait=1)), what="429")
    assert answer.json["code"] == "too-many-polls"
    assert readers[64].items("ehpad").status == 200, "what does not wait is answered"
    for reader in readers[:64]:
        reader.close()
    wait_until(lambda: readers[64].items("ehpad", wait=1).status == 200, what="room for another poll")


# Rights


@pytest.fixture
def two_inboxes(brokers, configuration, authority):
    """What GAM sends is for `ehpad`, all else for `other`, which `ehpad` does not read."""
    configuration.peer("other", authority.issue("other-dui"), may=["read"])
    configuration.inbox("other", readers=["other"])
    configuration.routes.clear()
    configuration.route("gam", to=["ehpad"], sending_application="GAM")
    configuration.route("rest", to=["other"], sending_application="LAB")
    return brokers(configuration).start()


def same(one, other):
    """Two answers tell nothing apart."""
    assert (one.status, one.body) == (other.status, other.body)
    assert {**one.headers, "date": ""} == {**other.headers, "date": ""}


def test_a_foreign_message_is_as_absent_as_none(two_inboxes, authority):
    chu, ehpad = two_inboxes.mllp(authority.chu), two_inboxes.pull(authority.ehpad)
    assert chu.ask(report("MINE")).code == "AA"
    assert chu.ask(report("FOREIGN", application="LAB")).code == "AA"
    (mine,) = seqs(ehpad.items("ehpad"))
    foreign = int(two_inboxes.wait_log("received", control="FOREIGN")["id"])
    assert [inbox["name"] for inbox in ehpad.inboxes().json["inboxes"]] == ["ehpad"]
    assert ehpad.message(mine).status == 200
    absent = ehpad.message(9007199254740991)
    assert absent.status == 404
    for answer in (ehpad.message(foreign), ehpad.document(foreign, 1), ehpad.document(mine, 2), ehpad.document(mine, 0),
                   ehpad.message(1), ehpad.message(0), ehpad.message("x"), ehpad.items("other"), ehpad.items("none"),
                   ehpad.ack("other", accepted=[foreign])):
        same(answer, absent)
    assert results(ehpad.ack("ehpad", accepted=[foreign])) == [("absent", None)]
    assert not two_inboxes.log("read-content", id=foreign)


def test_a_sender_may_not_read(broker, authority):
    answer = broker.pull(authority.chu).inboxes()
    assert (answer.status, answer.json["code"]) == (403, "not-a-reader")


# Content


def test_a_title_in_another_character_set(broker, chu, ehpad):
    sent = report(title="Compte rendu d\\T\\'épreuve").decode().replace("|2.5|", "|2.5|").encode("iso-8859-1")
    assert chu.ask(sent).code == "AA"
    (item,) = ehpad.items("ehpad").json["items"]
    assert item["documents"][0]["title"] == "Compte rendu d&'épreuve"
    assert ehpad.message(item["seq"]).body == sent


@pytest.mark.parametrize("data, leniency", [
    (base64.b64encode(CDA).decode().rstrip("="), "base64-padding"),
    (base64.b64encode(CDA).decode() + "=", "base64-padding"),
    ("\\.br\\".join([base64.b64encode(CDA).decode()[:40], base64.b64encode(CDA).decode()[40:]]), "base64-escapes"),
])
def test_base64_with_leniency(broker, chu, ehpad, data, leniency):
    assert base64.b64encode(CDA).decode().endswith("="), "the fixture must need padding"
    assert chu.ask(report(data=data)).code == "AA"
    (seq,) = seqs(ehpad.items("ehpad"))
    assert ehpad.document(seq, 1).body == CDA
    assert broker.metric("liaison_leniencies_total", leniency=leniency) == 1


def test_a_document_that_cannot_be_decoded_blocks_nothing(broker, chu, ehpad):
    assert chu.ask(report(data="not!base64")).code == "AA"
    assert chu.ask(report()).code == "AA"
    bad, good = seqs(ehpad.items("ehpad"))
    answer = ehpad.document(bad, 1)
    assert (answer.status, answer.json["code"]) == (422, "undecodable")
    assert ehpad.message(bad).status == 200
    assert ehpad.document(good, 1).body == CDA


def test_other_encodings(broker, chu, ehpad):
    assert chu.ask(report(data=CDA.hex(), encoding="Hex")).code == "AA"
    assert chu.ask(report(data="a \\T\\ b", encoding="A", media="text^plain")).code == "AA"
    hexadecimal, plain = seqs(ehpad.items("ehpad"))
    assert ehpad.document(hexadecimal, 1).body == CDA
    answer = ehpad.document(plain, 1)
    assert (answer.body, answer.headers["content-type"]) == (b"a & b", "text/plain")


def test_a_large_document(broker, authority, ehpad):
    content = bytes(range(256)) * 40_000  # 10 MB
    sent = report("LARGE", data=base64.b64encode(content).decode())
    assert broker.mllp(authority.chu).ask(sent, 60).code == "AA"
    (seq,) = seqs(ehpad.items("ehpad"))
    assert ehpad.message(seq).body == sent
    answer = ehpad.document(seq, 1)
    assert answer.body == content
    assert answer.headers["repr-digest"] == digest(content)


def test_head(broker, chu, ehpad):
    sent = report()
    assert chu.ask(sent).code == "AA"
    (seq,) = seqs(ehpad.items("ehpad"))
    answer = ehpad.request("HEAD", f"/v1/messages/{seq}")
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(sent)))
    assert ehpad.request("HEAD", "/v1/messages/4711").status == 404


# Requests that are not as they should be


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"accepted":[1,1]}', b'{"accepted":["1"]}', b'{"accept":[]}',
                                  b'{"rejected":[{"seq":1}]}', b'{"accepted":[' + b"[" * 3000 + b"]" * 3000 + b"]}",
                                  b'{"accepted":[' + b",".join(b"%d" % n for n in range(1, 10002)) + b"]}"],
                         ids=["empty", "list", "cut", "twice", "text", "member", "code", "deep", "many"])
def test_an_acknowledgement_that_is_none(ehpad, body):
    answer = ehpad.request("POST", "/v1/inboxes/ehpad/ack", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (400, "bad-request")


def test_many_acknowledgements_at_once(broker, chu, ehpad):
    for _ in range(10):
        chu.send(b"".join(frame(report()) for _ in range(20)))
        assert [chu.ack().code for _ in range(20)] == ["AA"] * 20
    waiting = seqs(ehpad.items("ehpad", limit=1000))
    assert len(waiting) == 200
    answer = ehpad.ack("ehpad", accepted=waiting + list(range(1_000_000, 1_009_800)))
    assert [one["result"] for one in answer.json["results"]] == ["accepted"] * 200 + ["absent"] * 9800


@pytest.mark.parametrize("method, path, status, code", [
    ("GET", "/", 404, "absent"), ("GET", "/v1", 404, "absent"), ("GET", "/v1/inboxes/", 404, "absent"),
    ("DELETE", "/v1/inboxes", 405, "method"), ("GET", "/v1/inboxes/ehpad/ack", 405, "method"),
    ("POST", "/v1/messages/1", 405, "method"), ("GET", "/v1/inboxes?all=1", 400, "bad-request"),
    ("GET", "/v1/inboxes/ehpad/items?limit=0", 400, "bad-request"), ("GET", "/v1/inboxes/ehpad/items?limit=1001", 400, "bad-request"),
    ("GET", "/v1/inboxes/ehpad/items?wait=61", 400, "bad-request"), ("GET", "/v1/inboxes/ehpad/items?after=-1", 400, "bad-request"),
    ("GET", "/v1/inboxes/ehpad/items?after=1&after=1", 400, "bad-request"), ("GET", "/v1/inboxes/%zz/items", 400, "not-http"),
    ("GET", "/" + "x" * 5000, 414, "target-too-long"),
])
def test_other_requests(broker, ehpad, method, path, status, code):
    answer = ehpad.request(method, path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert broker.wait_log("request-refused", peer="ehpad", status=status, why=code)
    if status == 405:
        assert answer.headers["allow"] in ("GET, HEAD", "POST")


def test_a_body_of_another_type(ehpad):
    answer = ehpad.request("POST", "/v1/inboxes/ehpad/ack", b"{}", {"Content-Type": "text/plain"})
    assert (answer.status, answer.json["code"]) == (415, "media-type")


def test_a_body_that_is_too_large(ehpad):
    answer = ehpad.request("POST", "/v1/inboxes/ehpad/ack", b" " * (1 << 20) + b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (413, "content-too-large")


def raw(broker, identity):
    """The bare connection, for what a client library would not send."""
    reader = broker.pull(identity)
    reader.connection.connect()
    return reader.connection.sock


def read_all(sock):
    content = b""
    try:
        while piece := sock.recv(65536):
            content += piece
    except (ConnectionError, socket.timeout):
        pass
    return content


@pytest.mark.parametrize("request_bytes, status", [
    (b"GET /v1/inboxes HTTP/1.1\nHost: a\n\n", 400),
    (b"GET /v1/inboxes HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /v1/inboxes HTTP/1.1\r\n\r\n", 400),
    (b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    (b"GET /v1/inboxes HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"MSH|^~\\&|\r", None),
], ids=["line feeds", "two hosts", "no host", "two lengths", "length and chunked", "version", "hl7"])
def test_what_is_not_http_is_refused_and_closed(broker, authority, request_bytes, status):
    sock = raw(broker, authority.ehpad)
    sock.settimeout(5)
    sock.sendall(request_bytes)
    if status is None:
        sock.sendall(b"\n\r\n")
        status = 400
    answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer


def test_pipelined_requests_are_answered_in_order(broker, authority, chu):
    assert chu.ask(report()).code == "AA"
    sock = raw(broker, authority.ehpad)
    sock.settimeout(10)
    get = b"GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n"
    sock.sendall(get % (b"/v1/inboxes/ehpad/items", b"") + get % (b"/v1/inboxes", b"") + get % (b"/none", b"Connection: close\r\n"))
    answer = read_all(sock)
    places = [answer.find(part) for part in (b'{"inbox":', b'{"inboxes":', b"HTTP/1.1 404 ")]
    assert -1 not in places and places == sorted(places)


def test_deadlines(brokers, configuration, authority):
    configuration.limits.update(head="1s", body="1s", idle="1s")
    broker = brokers(configuration).start()
    head, body, idle = (raw(broker, authority.ehpad) for _ in range(3))
    for sock in (head, body, idle):
        sock.settimeout(5)
    since = time.monotonic()
    head.sendall(b"GET /v1/inb")
    body.sendall(b"POST /v1/inboxes/ehpad/ack HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    for _ in range(4):  # a byte now and then moves no deadline
        time.sleep(0.2)
        head.sendall(b"o")
        body.sendall(b" ")
    assert read_all(head).startswith(b"HTTP/1.1 408 ")
    assert read_all(body).startswith(b"HTTP/1.1 408 ")
    assert read_all(idle) == b""
    assert 0.9 < time.monotonic() - since < 8


# Metrics and health


def test_health(broker):
    assert broker.admin("/healthz") == (200, "alive\n")
    assert broker.admin("/readyz") == (200, "ready\n")
    assert broker.admin("/other")[0] == 404


def test_metrics_count_http_answers(broker, ehpad):
    ehpad.inboxes()
    ehpad.items("none")
    assert broker.metric("liaison_http_requests_total", status="200") == 1
    assert broker.metric("liaison_http_requests_total", status="404") == 1


@pytest.mark.parametrize("head, status", [
    (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    (b"GET /metrics HTTP/1.1\r\nHost: localhost.evil.example:1\r\n\r\n", 403),
    (b"GET /metrics HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n", 200),
    (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", 200),
    (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", 405),
    (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n", 413),
    (b"nonsense\r\n\r\n", 400),
])
def test_the_admin_door_is_for_the_loopback(broker, head, status):
    """A web page that was given a name for 127.0.0.1 does not get through."""
    with socket.create_connection(("127.0.0.1", broker.admin_port), timeout=5) as sock:
        sock.sendall(head)
        assert read_all(sock).startswith(b"HTTP/1.1 %d " % status)


def test_the_admin_door_ends_slow_requests(broker):
    with socket.create_connection(("127.0.0.1", broker.admin_port), timeout=10) as sock:
        since = time.monotonic()
        for _ in range(4):
            sock.sendall(b"G")
            time.sleep(1)
        assert read_all(sock) == b""
        assert 4 < time.monotonic() - since < 8

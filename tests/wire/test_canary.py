# SPDX-License-Identifier: Apache-2.0
"""Names of patients never leave the journal but by its doors for content.

Canaries, names that occur nowhere else, stand in every field of messages good and bad, in junk, in HTTP requests, in a reader's rejection.
Then everything an operator or a monitoring system sees is searched for them. MSH-3, 4, 9 and 10 are what a log line names a message by.
"""
import base64
import http.client
import json
import os
import random
import re
import socket
import ssl
import string

import pytest

from liaison_harness.mllp import CR, FS, VT, Closed, client_context, frame

RNG = random.SystemRandom()

# Where a canary stood, and so where it may be seen. PATIENT: nowhere. ROUTING (MSH-5, 6, 18, and the document's code and media type): in `show`,
# which names a message's way and documents. READER (what a reader says of an item it rejects): where an operator asks for that message.
PATIENT, ROUTING, READER = "patient", "routing", "reader"


PLAIN = re.compile(rb"cnry[a-z0-9]{12}")
HEXADECIMAL = re.compile(rb"436e7279[0-9a-f]{24}")
# "Cnry" at each place in a group of three bytes: what of it does not hang on its neighbours.
BASE64 = re.compile(b"|".join(base64.b64encode(b"\0" * shift + b"Cnry")[from_:to] for shift, from_, to in ((0, 0, 5), (1, 2, 6), (2, 3, 8))))


class Flock:
    def __init__(self):
        self.kinds, self.names = {}, {}  # name -> kind; as it looks in lower case -> name

    def __call__(self, kind=PATIENT):
        name = "Cnry" + "".join(RNG.choices(string.ascii_letters + string.digits, k=12))
        self.kinds[name] = kind
        self.names[name.lower()] = name
        return name

    def seen(self, content, *allowed):
        """Canaries in ``content``, plain or in hexadecimal, but for those of the kinds that may be there; and whatever looks like one in base64."""
        low = content.lower()
        names = PLAIN.findall(low) + [bytes.fromhex(one.decode()).lower() for one in HEXADECIMAL.findall(low)]
        found = {self.names.get(name.decode(), name.decode()) for name in names}
        return [name for name in sorted(found) if self.kinds.get(name, PATIENT) not in allowed] + \
            [f"base64 {one.decode()}" for one in BASE64.findall(content)]


@pytest.fixture
def flock():
    return Flock()


def field(flock, kind=PATIENT):
    """Components, sub-components and a repetition of them."""
    return f"{flock(kind)}^{flock(kind)}&{flock(kind)}^{flock(kind)}~{flock(kind)}"


def segment(flock, name, count=30, **fixed):
    """Every field a canary, but for those that must be something, as f5="..."."""
    return "|".join([name] + [fixed.get(f"f{n}", field(flock)) for n in range(1, count + 1)])


def header(flock, control, kind="ORU^R01^ORU_R01", **fixed):
    fields = {3: "GAM", 4: "CHU", 5: flock(ROUTING), 6: flock(ROUTING), 7: field(flock), 8: field(flock), 9: kind, 10: control, 11: "P",
              12: "2.5", 13: field(flock), 14: field(flock), 15: field(flock), 16: field(flock), 17: field(flock), 18: flock(ROUTING),
              19: field(flock), 20: field(flock), 21: field(flock), 22: field(flock), 23: field(flock), 24: field(flock), 25: field(flock)}
    fields.update({int(name[1:]): value for name, value in fixed.items()})
    return "MSH|^~\\&|" + "|".join(fields[n] for n in range(3, 26))


def document(flock, number, encoding="Base64"):
    data = f"<name>{flock()}</name>"
    if encoding == "Base64":
        data = base64.b64encode(data.encode()).decode()
    code = f"{flock(ROUTING)}^{flock()}^{flock(ROUTING)}"
    return segment(flock, "OBX", f1=str(number), f2="ED", f3=code, f5=f"{flock()}^{flock(ROUTING)}^{flock(ROUTING)}^{encoding}^{data}")


def good(flock, control, kind="ORU^R01^ORU_R01", **fixed):
    rows = [header(flock, control, kind, **fixed)]
    rows += [segment(flock, name) for name in ("EVN", "PID", "PD1", "NK1", "PV1", "IN1", "ORC", "OBR", "NTE", "ZNY", "ROL", "PRT")]
    rows += [segment(flock, "TXA", f2=field(flock, ROUTING)), segment(flock, "OBX", f2="TX"), document(flock, 1), document(flock, 2, "A"),
             document(flock, 3, "Hex"), document(flock, 4, flock())]
    return ("\r".join(rows) + "\r").encode()


def refused(flock):
    """A fault in each rule, canaries all around: (why, bytes)."""
    pid = segment(flock, "PID")

    def message(*rows):
        return ("\r".join(rows) + "\r").encode()
    return [
        ("no MSH", message(pid)),
        ("a canary alone", flock().encode()),
        ("batch", message(segment(flock, "FHS"), header(flock, "B-1"), pid)),
        ("BOM", b"\xef\xbb\xbf" + message(header(flock, "B-2"), pid)),
        ("UTF-16", message(header(flock, "B-3"), pid).decode().encode("utf-16")),
        ("MSH-1 a letter", message(header(flock, "B-4").replace("|", "x"), pid)),
        ("MSH-2 too short", message(header(flock, "B-5").replace("^~\\&", "^~"), pid)),
        ("MSH-2 a canary", message(header(flock, "B-6").replace("^~\\&", flock()), pid)),
        ("LF in the MSH", message(header(flock, "B-7") + "\n" + flock(), pid)),
        ("LF ends", message(header(flock, "B-8"), pid).replace(b"\r", b"\n")),
        ("CRLF ends", message(header(flock, "B-9"), pid).replace(b"\r", b"\r\n")),
        ("a segment's name", message(header(flock, "B-10"), pid, flock() + "|" + flock())),
        ("an empty segment", message(header(flock, "B-11"), "", pid)),
        ("two MSH", message(header(flock, "B-12"), pid, header(flock, "B-13"))),
        ("BTS", message(header(flock, "B-14"), pid, segment(flock, "BTS"))),
        ("no last end", message(header(flock, "B-15"), pid)[:-1]),
        ("no version", message(header(flock, "B-16", f12=""), pid)),
        ("version", message(header(flock, "B-17", f12=field(flock)), pid)),
        ("no type", message(header(flock, "B-18", kind=""), pid)),
        ("type", message(header(flock, "B-19", kind="ZZZ9^A01"), pid)),
        ("no control id", message(header(flock, ""), pid)),
        ("control id", message(header(flock, "x" * 300), pid)),
        ("no processing id", message(header(flock, "B-20", f11=""), pid)),
        ("processing id", message(header(flock, "B-21", f11=field(flock)), pid)),
        ("processing id too old", message(header(flock, "B-22", f11=field(flock), f12="2.3"), pid)),
        ("sender", message(header(flock, "B-23", f3="OTHER"), pid)),
        ("facility", message(header(flock, "B-24", f4="OTHER"), pid)),
        ("too large", message(header(flock, "B-25"), pid, segment(flock, "NTE", f3=flock() * 20000))),
    ]


def send(broker, identity, content, answered=True):
    """On a connection of its own, until the answer or the end."""
    client = broker.mllp(identity)
    client.send(content)
    try:
        return client.ack(5).code if answered else client.finish() or client.ended(5)
    except (Closed, TimeoutError, OSError):
        return None
    finally:
        client.close()


def junk(flock):
    """What is no frame, or no whole one."""
    name = flock().encode()
    whole = VT + good(flock, "J-1") + FS + CR
    return [name * 10, name + whole, VT + name + VT + name, VT + name, VT + name + FS + name, whole + name + CR + whole, FS + CR + name,
            VT + good(flock, "J-2")[:1500]]


def raw_https(broker, identity, content):
    with client_context(identity, broker.authority.pem).wrap_socket(
            socket.create_connection(("127.0.0.1", broker.ports["pull"])), server_hostname="127.0.0.1") as client:
        client.settimeout(3)
        try:
            client.sendall(content)
            while client.recv(65536):
                pass
        except (OSError, ssl.SSLError):
            pass


def hostile_requests(flock):
    """Requests that are refused in every way there is, as bytes."""
    def request(line, *headers, body=""):
        return "\r\n".join([line, *headers, "", body]).encode()
    host, close = "Host: liaison", "Connection: close"
    name = flock()
    return [
        request(f"GET /v1/{name} HTTP/1.1", host, close),
        request(f"GET /v1/inboxes/{flock()}/items HTTP/1.1", host, close),
        request(f"GET /v1/inboxes/ehpad/items?{flock()}={flock()} HTTP/1.1", host, close),
        request(f"GET /v1/inboxes/ehpad/items?after={flock()} HTTP/1.1", host, close),
        request(f"GET /v1/inboxes/ehpad/items?limit=1&limit={flock()} HTTP/1.1", host, close),
        request(f"GET /v1/messages/{flock()} HTTP/1.1", host, close),
        request(f"GET /v1/messages/1/documents/{flock()} HTTP/1.1", host, close),
        request(f"{flock().upper()} /v1/inboxes HTTP/1.1", host, close),
        request(f"GET /v1/inboxes HTTP/{flock()}", host, close),
        request(f"GET /v1/inboxes HTTP/1.1", f"Host: {flock()} {flock()}", close),
        request("GET /v1/inboxes HTTP/1.1", host, host, f"X-Name: {flock()}", close),
        request("GET /v1/inboxes HTTP/1.1", host, f"{flock()} : {flock()}"),
        request("GET /v1/inboxes HTTP/1.1", host, f"X-{flock()}: {flock()}", f"User-Agent: {flock()}", f"Cookie: {flock()}", close),
        request("GET /v1/inboxes HTTP/1.1", host, f"Expect: {flock()}", close),
        request("POST /v1/inboxes/ehpad/ack HTTP/1.1", host, f"Content-Length: {flock()}", body="x"),
        request("POST /v1/inboxes/ehpad/ack HTTP/1.1", host, f"Transfer-Encoding: {flock()}", body="x"),
        request("POST /v1/inboxes/ehpad/ack HTTP/1.1", host, f"Content-Type: {flock()}", "Content-Length: 2", close, body="{}"),
        *[request("POST /v1/inboxes/ehpad/ack HTTP/1.1", host, "Content-Type: application/json", f"Content-Length: {len(body)}", close,
                  body=body)
          for body in (flock(), f'{{"{flock()}": 1}}', f'{{"accepted": ["{flock()}"]}}', f'{{"rejected": [{{"seq": 1, "{flock()}": 2}}]}}',
                       f'{{"rejected": [{{"seq": 1, "code": "{flock() * 9}", "text": "{flock()}"}}]}}',
                       f'{{"accepted": [1], "rejected": [{{"seq": 1, "code": "X", "text": "{flock()}"}}]}}')],
        b"\x16\x03\x01" + flock().encode(), flock().encode() * 3000,
    ]


def control(broker, **line):
    """What the control socket answers: all that the program can print."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(broker.folder / "control.sock"))
        client.sendall(json.dumps(line).encode() + b"\n")
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def operators(ids):
    """What an operator does about queues, as far as it does nothing."""
    for name in ("ehpad", "lab", "parked"):
        yield from (["queue", name], ["queue", name, "--dead"], ["replay", "--dead", name], ["drop", *map(str, ids), "--at", name])
    yield from (["replay", "--since", "1d"], ["replay", *map(str, ids)], ["peers", "test", "lab"], ["peers", "test", "chu"], ["reload"],
                ["hold", "lab", "--reason", "test"], ["release", "lab"], ["status"], ["queue"], ["certs"])


def outputs(broker, ids):
    """(what, bytes, kinds that may be in it): everything that is seen without asking for content."""
    yield "log", broker.log_file.read_bytes(), ()
    yield "stderr", broker.stderr.read_bytes(), ()
    for path in ("/metrics", "/health", "/"):
        yield path, broker.admin(path)[1].encode(), ()
    names = [os.path.join(folder, name) for folder, folders, files in os.walk(broker.folder) for name in folders + files]
    yield "file names", "\n".join(names).encode(), ()
    for command in (*operators(ids), ["tail", "-n", "100000"], ["tail"], ["tail", "--errors"], ["peers"], ["check"]):
        for more in ([], ["--json"]):
            told = broker.liaison(*command, *more)
            yield " ".join(command + more), (told.stdout + told.stderr).encode(), ()
    for one in ids:
        for command, kinds in (("why", (READER,)), ("show", (READER, ROUTING))):
            yield f"{command} {one}", control(broker, command=command, id=one), kinds


def test_the_search_finds(flock):
    name = flock()
    for shift in range(3):
        assert flock.seen(base64.b64encode(b"x" * shift + name.encode() + b"behind"))
    assert flock.seen(name.encode().hex().encode()) == flock.seen(name.upper().encode()) == [name]
    assert flock.seen(b"nothing, neither 436e nor Cnry") == []
    assert flock.seen(flock(READER).encode(), READER) == []


def talkative(flock):
    """A receiver that names patients wherever an acknowledgement has room for words."""
    def say(code):
        def behave(connection, message):
            rows = [header(flock, flock(), "ACK").replace("MSH|^~\\&|GAM|CHU", f"MSH|^~\\&|{flock()}|{flock()}"),
                    f"MSA|{code}|{message.control}|{flock(READER)}|{flock()}",
                    f"ERR||PID^1^3^{flock()}|101^{flock()}^HL70357|E|{field(flock)}|{flock()}|{flock(READER)}|{flock(READER)}",
                    segment(flock, "ZNY")]
            connection.said(code, message)
            connection.send(frame(("\r".join(rows) + "\r").encode()))
        return behave

    def junk(connection, message):
        connection.send(frame(flock().encode() * 9) + flock().encode())
    return [say("AE"), say("AR"), junk, say("XX"), say("AE")]


def test_no_canary_is_heard(brokers, configuration, authority, flock, lab):
    configuration.destination("lab", lab.port, acknowledgement="1s", retry_first="100ms", retry_longest="100ms")
    configuration.routes[0]["to"] = ["ehpad", "lab"]
    lab.next(*talkative(flock))
    configuration.peers[0].update(senders=["GAM|CHU"], types=["ORU^*", "MDM^*", "ADT^*"], max_size="300K")
    configuration.peer("other", authority.issue("other"))
    broker = brokers(configuration).start()
    chu, ehpad = authority.chu, broker.pull(authority.ehpad)

    assert send(broker, chu, frame(good(flock, "G-1"))) == "AA"
    assert send(broker, chu, frame(good(flock, "G-2", "MDM^T02^MDM_T02"))) == "AA"
    assert send(broker, chu, frame(good(flock, "G-3", "ADT^A01^ADT_A01", f18="UNICODE UTF-8", f11="T"))) == "AA"
    assert send(broker, chu, frame(good(flock, "G-1"))) == "AE"  # the same id, other bytes
    stray = ["MSH|^~\\&|GAM|CHU|" + header(flock, "S-1", "ACK^A01").split("|", 4)[4], f"MSA|AA|{flock()}|{flock()}", segment(flock, "ERR")]
    send(broker, chu, frame(("\r".join(stray) + "\r").encode()), answered=False)
    for why, content in refused(flock):
        assert send(broker, chu, frame(content)) == "AE", why
    for content in junk(flock):
        send(broker, chu, content, answered=False)

    # Before anybody is known, and to the wrong door.
    for port in (broker.ports["mllp"], broker.ports["pull"], broker.admin_port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"{flock()} /{flock()}?{flock()} HTTP/1.1\r\nHost: {flock()}\r\n{flock()}: {flock()}\r\n\r\n".encode())
            client.settimeout(2)
            try:
                client.recv(65536)
            except OSError:
                pass
    for name in (flock(), flock()):
        answer = http.client.HTTPConnection("127.0.0.1", broker.admin_port, timeout=5)
        answer.request("GET", f"/{name}?{flock()}", headers={"X-Name": flock()})
        assert answer.getresponse().status == 404
    for content in hostile_requests(flock):
        raw_https(broker, authority.ehpad, content)
        raw_https(broker, authority.chu, content)

    # What waits is listed with the sender's time (MSH-7), the documents' codes and titles, and nothing else of what it holds.
    items = ehpad.items("ehpad")
    listed = items.json["items"]
    assert sum(len(item["documents"]) for item in listed) >= 12
    for item in listed:
        assert flock.seen(str(item["documents"]).encode())
        del item["documents"], item["message_time"]
    assert flock.seen(str(listed).encode()) == []
    seq = listed[0]["seq"]
    assert ehpad.message(seq).status == 200
    assert ehpad.document(seq, 1).status == 200
    for number in range(2, 5):
        ehpad.document(seq, number)
    answer = ehpad.ack("ehpad", rejected=[{"seq": seq, "code": "NOT-OURS", "text": f"this is {flock(READER)}, who never lived here"}])
    assert answer.json["results"][0]["result"] == "rejected"
    assert broker.liaison("show", str(seq), "--content", "--reason", f"asked for by {flock(READER)}").returncode == 0
    broker.wait_log("item-rejected", id=seq, code="NOT-OURS")

    broker.wait_log("delivered", destination="lab")  # after all that it said before
    assert len(broker.log("item-rejected", destination="lab")) == 2 and broker.log("delivery-deferred", destination="lab")
    ids = sorted({int(line["id"]) for line in broker.log() if line.get("id")})
    assert len(ids) > 35
    heard = []
    for what, content, kinds in outputs(broker, ids):
        for name in flock.seen(content, *kinds):
            lines = [line for line in content.lower().split(b"\n") if name.lower().encode() in line]
            heard.append(f"{name} ({flock.kinds.get(name)}) in {what}: {lines[:1]}")
    assert heard == [], "\n".join(heard)
    assert b"NOT-OURS" in control(broker, command="show", id=seq)
    # And the search does find: the content has them.
    assert flock.seen(broker.liaison("show", str(seq), "--content", "--reason", "the search itself").stdout.encode())

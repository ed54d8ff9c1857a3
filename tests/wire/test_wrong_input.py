# SPDX-License-Identifier: Apache-2.0
"""Every row of wrong_input.py over the wire: its answers, its events, the state of its link, what it cost; that all its bytes are in the
journal, and that others are served all the while.

State is fresh for each row because each row has a peer of its own.
"""
import hashlib
import json
import resource
import socket
import ssl
import struct
import threading
import time

import pytest

from liaison_harness import log
from liaison_harness.broker import Broker, wait_until
from liaison_harness.configuration import Configuration
from liaison_harness.hl7 import control_id, message
from liaison_harness.memory import ASAN_OPTIONS, MIB, SANITIZED, Growth
from liaison_harness.mllp import Ack, Closed, client_context, frame, place_of
from wrong_input import ROWS

FRAME_SECONDS = 2
MESSAGES = {"received", "duplicate", "refused", "deferred", "same-id-other-bytes", "frame-rejected", "stray-acknowledgement", "junk-quota"}
FACTOR = 3 if SANITIZED else 1  # of memory: red zones and shadow
UNFINISHED = 1000


def mark_of(broker):
    """How far the log has come."""
    return broker.log_file.stat().st_size


def lines_since(broker, mark, **fields):
    with open(broker.log_file, "rb") as stream:
        stream.seek(mark)
        lines = log.parse(stream.read().decode())
    return [line for line in lines if all(line.get(key) == value for key, value in fields.items())]


#: What could be wrong of the second row of the table.
WRONG = {
    "another code": ({"answers": "AE A1"}, "answered"),
    "another message": ({"answers": "AA A2"}, "answered"),
    "no answer": ({"answers": ""}, "answered"),
    "one answer too many": ({"answers": "AA A1; AA A1"}, "answered"),
    "another event": ({"events": ["frame-rejected frame-noise 6@0", "received"]}, "logged"),
    "an event missing": ({"events": ["received"]}, "logged"),
    "an event too many": ({"events": ["frame-rejected frame-noise 5@0", "received", "received"]}, "logged"),
    "another link": ({"link": "closed-by-us"}, "the link ended"),
    "another record": ({"record": {"answer": "AE"}}, "the record says"),
    "no memory": ({"mib": -1000}, "MiB more"),
}


def running(authority, rows, **limits):
    """A broker with one peer a row, a good sender, and short deadlines unless said."""
    configuration = Configuration()
    configuration.limits.update({"handshake": "2s", "frame": f"{FRAME_SECONDS}s", "answer": "1s", "output_buffer": "64K", **limits})
    configuration.listeners[0]["max_connections"] = 2 * UNFINISHED
    configuration.limits["connections"] = 2 * UNFINISHED
    configuration.journal["disk_floor"] = "1M"
    configuration.peer("good", authority.chu)
    configuration.peer("reader", authority.ehpad, may=["read"])
    configuration.inbox("all", readers=["reader"])
    configuration.route("all", to=["all"])
    identities = {}
    for number, row in enumerate(rows):
        identities[row.case] = authority.issue(f"row-{number}", key=authority.chu.key, file_name=f"wrong-{number}-{row.roomy}")
        configuration.peer(f"row-{number}", identities[row.case], **({"max_size": "64M"} if row.roomy else {}), **row.peer)
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ASAN_OPTIONS", ASAN_OPTIONS)
        broker = Broker(authority, configuration).start()
    broker.identities = identities
    broker.names = {row.case: f"row-{number}" for number, row in enumerate(rows)}
    broker.good = broker.mllp(authority.chu)
    return broker


def served(authority, rows, **limits):
    broker = running(authority, rows, **limits)
    try:
        yield broker
        broker.close_clients()
        assert broker.stop() == 0
    finally:
        broker.clean()


@pytest.fixture(scope="module")
def hasty(authority):
    again = [ROWS[1]._replace(case=wrong) for wrong in WRONG]
    yield from served(authority, [row for row in ROWS if not row.roomy] + again)


@pytest.fixture(scope="module")
def roomy(authority):
    yield from served(authority, [row for row in ROWS if row.roomy], **{"frame": "60s"})


# Sending


def until_closed(client, seconds=10):
    """All that is answered before the end, as Acks."""
    try:
        rest = client.ended(seconds)
    except OSError:  # a reset behind what was answered
        rest = client.held
    acks = [Ack(one[1:]) for one in rest.split(b"\x1c\r") if one]
    assert all(one[:1] == b"\x0b" for one in rest.split(b"\x1c\r") if one), rest
    return acks


def pour(client, content, times=1):
    try:
        for _ in range(times):
            client.send(content)
    except OSError:
        pass


def drip(client):
    try:
        for _ in range(20 * FRAME_SECONDS):
            time.sleep(0.1)
            client.send(b"x")
    except OSError:
        pass


def send(client, row, content):
    """Send as the row says. True: the broker, or we, end the connection."""
    if row.how == "bytes":
        for at in range(len(content)):
            client.send(content[at:at + 1])
            time.sleep(0.0005)
    elif row.how == "pieces":
        for piece in row.sent:
            client.send(piece)
            time.sleep(0.05)
    elif row.how == "stream":
        pour(client, row.sent[0])
        pour(client, row.sent[1], 200)
    elif row.how == "unread":
        client.socket.settimeout(None)
        pour(client, content, 1 << 20)
    else:
        pour(client, content)
    if row.how == "drip":
        drip(client)
    elif row.how == "then close":
        with socket.socket(fileno=socket.dup(client.socket.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)
    elif row.how == "then reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.1)
        client.close()


# What came of it


def told(ack):
    if not ack.errors:
        return f"{ack.code} {ack.control or '-'}"
    error = ack.errors[0]
    assert len(ack.errors) == 1, ack.raw
    return f"{ack.code} {ack.control or '-'} {error.code} {error.place or '-'}"


def wanted_answers(row):
    answers = []
    for answer in row.answers.split("; ") if row.answers else []:
        code, control, *error = answer.split(" ")
        if error:
            error[1] = place_of("" if error[1] == "-" else error[1]) or "-"
        answers.append(" ".join([code, control] + error))
    return answers


def compact(line):
    if line.event == "frame-rejected":
        return f"frame-rejected {line['cause']} {line['bytes']}@{line['offset']}"
    if line.event == "before-authentication":
        return f"before-authentication {line['bytes']}"
    if line.event in ("refused", "deferred", "same-id-other-bytes"):
        place = line["bytes"] if line["code"] == "too-large" else line.get("path", "-")
        return f"{line.event} {line['code']} {place}"
    return line.event


def same_events(got, wanted):
    if isinstance(wanted, list):
        return got == wanted
    plain = {event for event in wanted if not event.endswith("*")}
    starts = tuple(event[:-1] for event in wanted if event.endswith("*"))
    return plain <= set(got) and all(event in plain or (starts and event.startswith(starts)) for event in got)


def show(broker, record):
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        one.connect(str(broker.folder / "control.sock"))
        one.sendall(json.dumps({"command": "show", "id": record}).encode() + b"\n")
        for row in one.makefile("rb"):
            answer = json.loads(row)
            if "row" not in answer:
                return answer
            if answer["row"]["kind"] == "message":
                return answer["row"]
    return {}


def framing(line):
    """Bytes of the stream around those that an event counts."""
    if line.event == "frame-rejected":
        return 0
    return 1 if line.get("code") in ("too-large", "overload") else 3


def journalled(broker, lines, received, record):
    """None, or what of the bytes that came is not in the journal as the log says."""
    total, last = 0, {}
    for line in lines:
        if line.event == "junk-quota":
            continue
        if not line.get("id"):
            return f"no record: {line}"
        total += int(line["bytes"]) + framing(line)
        if line.event == "duplicate":
            continue
        if len(lines) > 100 and line is not lines[-1]:  # hundreds of the same kind: the last one stands for them
            continue
        last = show(broker, int(line["id"]))
        if last.get("size") != int(line["bytes"]):
            return f"{line}: the record says {last}"
        if line.event == "frame-rejected" and (last["fault"]["name"], last["frame_offset"]) != (line["cause"], int(line["offset"])):
            return f"{line}: the record says {last}"
    if total != received:
        return f"{received} bytes were received, {total} are recorded"
    wrong = {key: last.get(key) for key, value in record.items() if last.get(key) != value}
    return f"the record says {wrong}" if wrong else None


def leniency(row, lines):
    """An end block without CR has a byte less."""
    return sum(1 for line in lines if line.event == "received") - 1 if "no-end-cr" in row.peer.get("lenient", ()) else 0


def content_of(row):
    sent = row.sent() if callable(row.sent) else row.sent
    return b"".join(sent) if isinstance(sent, list) else sent


def judge_link(broker, row, content):
    """Drive the row: its answers, or what is wrong, and the lines of its peer behind ``mark``."""
    name = broker.names[row.case]
    mark = mark_of(broker)
    client = broker.mllp(broker.identities[row.case], receive_buffer=4096 if row.how == "unread" else None)
    probe = control_id()
    acks = []
    try:
        send(client, row, content)
        if row.link == "open":
            client.frame(message(probe))
            while not acks or acks[-1].control != probe:
                acks.append(client.ack())
            if acks.pop().code != "AA":
                return "the message behind it was refused", []
        elif row.how not in ("then reset", "unread"):
            acks = until_closed(client)
    except (Closed, OSError, AssertionError) as problem:
        return f"{type(problem).__name__} {problem} after {acks}", []
    finally:
        client.close()
        broker.clients.remove(client)
    end = wait_until(lambda: [line for line in lines_since(broker, mark, peer=name) if line.event == "disconnected"])[-1]
    received = int(end["in"]) - (len(frame(message(probe))) if row.link == "open" else 0)

    def lines():
        return [line for line in lines_since(broker, mark, peer=name) if line.event in MESSAGES and line.get("control") != probe]

    def settled():
        return sum(int(line["bytes"]) + framing(line) for line in lines() if line.event != "junk-quota") - leniency(row, lines()) >= received
    try:
        wait_until(settled, 3)
    except AssertionError:
        pass  # told with what is missing
    got = [told(ack) for ack in acks]
    if got != wanted_answers(row):
        return f"answered {got}", []
    if (end["end"] if row.link != "open" else "open") != row.link:
        return f"the link ended as {end['end']}", []
    if row.how in ("at once", "bytes", "pieces", "then close", "then silence") and row.link != "closed-by-us" and received != len(content):
        return f"{received} of {len(content)} bytes were received", []
    events = [compact(line) for line in lines()]
    if not same_events(events, row.events):
        return f"logged {events[:20]}", []
    return journalled(broker, lines(), received + leniency(row, lines()), row.record), lines()


def judge_raw(broker, row, number, content):
    """The same of one that comes without TLS, from an address of its own: what is refused alike is not told for ever."""
    mark = mark_of(broker)
    with socket.create_connection(("127.0.0.1", broker.ports["mllp"]), 10, source_address=(f"127.0.1.{number + 1}", 0)) as raw:
        address = ":".join(map(str, raw.getsockname()))
        raw.sendall(content)
        answer = b""
        try:
            while piece := raw.recv(4096):
                answer += piece
        except OSError:
            pass
    if answer and answer[:2] != b"\x15\x03":
        return f"answered {answer[:40]}"

    def events():
        return [(line.event, compact(line)) for line in lines_since(broker, mark, address=address)]
    try:
        wait_until(lambda: len(events()) > len(row.events), 3)
    except AssertionError:
        pass  # told with what is missing
    refused = [line["reason"] for line in lines_since(broker, mark, address=address) if line.event == "handshake-refused"]
    if refused != [row.link.removeprefix("refused ")]:
        return f"refused for {refused}"
    others = {text for event, text in events() if event != "handshake-refused"}
    return None if others == row.events else f"logged {others}"


def judge(broker, row, number=0):
    """None, or in a line what is wrong."""
    content = content_of(row)
    with Growth(broker.process.pid) as growth:
        if row.how.startswith("raw"):
            problem = judge_raw(broker, row, number, content)
        else:
            problem, _ = judge_link(broker, row, content)
        grown = growth.most
    ack = broker.good.ask(message("GOOD" + control_id()))
    if ack.code != "AA":
        return f"another's message was answered {ack.raw}"
    if problem:
        return problem
    return None if grown < row.mib * FACTOR * MIB else f"{grown / MIB:.1f} MiB more"


@pytest.mark.parametrize("number, row", enumerate(ROWS), ids=[row.case for row in ROWS])
def test_wrong_input(request, number, row):
    broker = request.getfixturevalue("roomy" if row.roomy else "hasty")
    problem = judge(broker, row, number)
    assert not problem, problem


def test_names_are_unique():
    assert len({row.case for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("case, wrong, why", [(case, *rest) for case, rest in WRONG.items()], ids=list(WRONG))
def test_the_runner_sees_a_wrong_row(hasty, monkeypatch, case, wrong, why):
    """Wrong in each column in its turn, by a peer of its own; right otherwise."""
    monkeypatch.setattr("liaison_harness.mllp.PATIENCE", 1)
    monkeypatch.setattr(until_closed, "__defaults__", (1,))
    assert why in judge(hasty, ROWS[1]._replace(case=case, **wrong))


def test_the_runner_sees_missing_bytes(hasty):
    mark = mark_of(hasty)
    for _ in range(2):
        assert hasty.good.ask(message("GOOD" + control_id())).code == "AA"
    lines = wait_until(lambda: [line for line in lines_since(hasty, mark, peer="good") if line.event == "received"][1:] and
                       [line for line in lines_since(hasty, mark, peer="good") if line.event == "received"])
    total = sum(int(line["bytes"]) + 3 for line in lines)
    assert journalled(hasty, lines, total, {}) is None
    assert journalled(hasty, lines, total + 1, {})
    assert journalled(hasty, lines[:1], total, {})


def test_the_digest_of_all_that_came(roomy):
    """Of a message past its cap head and digest are kept: the digest is that of every byte of it until it was refused."""
    case = "200 MB against a cap of 64 MiB"
    content = message("DIGEST", filler=70 << 20)
    mark = mark_of(roomy)
    client = roomy.mllp(roomy.identities[case])
    pour(client, frame(content))
    assert [told(ack) for ack in until_closed(client)] == ["AE DIGEST 207 -"]
    line = wait_until(lambda: [line for line in lines_since(roomy, mark) if line.is_("refused", control="DIGEST")])[0]
    row = show(roomy, int(line["id"]))
    assert row["size"] == (64 << 20) + 1
    assert row["sha256"] == hashlib.sha256(content[:(64 << 20) + 1]).hexdigest()


# Crowds


def test_a_thousand_unfinished_handshakes(hasty, capsys):
    """Half of them say nothing, half begin: what each costs, that others are served, that all are gone in time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * UNFINISHED), hard))
    into, outof = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaking = client_context(None, hasty.authority.pem).wrap_bio(into, outof)
    with pytest.raises(ssl.SSLWantReadError):
        shaking.do_handshake()
    hello = outof.read()
    before = hasty.metric("liaison_connections", listener="mllp")
    crowd = []
    try:
        with Growth(hasty.process.pid) as growth:
            since = time.monotonic()
            for n in range(UNFINISHED):
                crowd.append(socket.create_connection(("127.0.0.1", hasty.ports["mllp"]), 10))
                if n % 2:
                    crowd[-1].sendall(hello)
            came = time.monotonic() - since
            slowest = 0
            for _ in range(20):
                asked = time.monotonic()
                assert hasty.good.ask(message("GOOD" + control_id())).code == "AA"
                slowest = max(slowest, time.monotonic() - asked)
            each = growth.most / UNFINISHED
        with capsys.disabled():
            print(f"\nan unfinished handshake: {each / 1024:.0f} KiB{', sanitized' if SANITIZED else ''}")
        assert each < 104 * 1024 * FACTOR
        assert slowest < 2
        wait_until(lambda: hasty.metric("liaison_connections", listener="mllp") == before, came + 10)
        assert hasty.metric("liaison_handshakes_refused_total", reason="timeout") >= UNFINISHED * 0.9
    finally:
        for one in crowd:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_are_limited(brokers, configuration, authority):
    """Of a peer, of a listener, of all: one more is closed and told; when one goes, another may come."""
    for peer in configuration.peers:
        peer["max_connections"] = 2 if peer["name"] == "chu" else 64
    configuration.listeners[0]["max_connections"] = 4
    configuration.limits["connections"] = 5
    other = authority.issue("other")
    configuration.peer("other", other, max_connections=64)
    broker = brokers(configuration).start()

    def refused(identity, why):
        with pytest.raises((Closed, OSError)):
            broker.mllp(identity).ask(message())
        wait_until(lambda: any(why in line["why"] for line in broker.log("connection-refused")), what=why)
    first = [broker.mllp(authority.chu) for _ in range(2)]
    assert [one.ask(message()).code for one in first] == ["AA", "AA"]
    refused(authority.chu, "the peer's greatest number")
    wait_until(lambda: broker.metric("liaison_connections", listener="mllp") == 2)
    second = [broker.mllp(other) for _ in range(2)]
    assert [one.ask(message()).code for one in second] == ["AA", "AA"]
    refused(other, "listener")
    wait_until(lambda: broker.metric("liaison_connections", listener="mllp") == 4)
    first[0].close()
    wait_until(lambda: broker.metric("liaison_connections", listener="mllp") == 3)
    assert broker.mllp(other).ask(message()).code == "AA"


def test_noise_without_end(hasty):
    """Noise that never ends is recorded piece by piece: what is pending is bounded."""
    mark = mark_of(hasty)

    def sizes():
        return [int(line["bytes"]) for line in lines_since(hasty, mark, peer="good") if line.event == "frame-rejected"]
    client = hasty.mllp(hasty.authority.chu)
    threading.Thread(target=pour, args=(client, b"n" * (1 << 20)), daemon=True).start()
    wait_until(lambda: sum(sizes()) >= (1 << 20) - (128 << 10))
    client.close()
    wait_until(lambda: sum(sizes()) == 1 << 20)
    assert max(sizes()) <= 128 << 10

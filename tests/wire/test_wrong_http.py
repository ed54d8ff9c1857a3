# SPDX-License-Identifier: Apache-2.0
"""Wrong HTTP at the pull API's listener: what is answered to each case, that nothing behind a refused one is taken for a request, and what
streams without end cost.

The codec's own verdicts are tests/vectors/http1 (a unit test); here the same bytes, and llhttp's, go over the wire.
"""
import hashlib
import re
import sys
import time

import pytest

from liaison_harness import SAMPLES, SOURCE
from liaison_harness.broker import Broker
from liaison_harness.configuration import Configuration
from liaison_harness.memory import ASAN_OPTIONS, MIB, SANITIZED, Growth
from liaison_harness.mllp import Closed, Mllp

sys.path.insert(0, str(SOURCE / "tests" / "tools"))
from llhttp_cases import cases  # noqa: E402

VECTORS = SOURCE / "tests" / "vectors" / "http1"
LLHTTP = SAMPLES / "corpora" / "http"
PROBE = b"GET /v1/inboxes HTTP/1.1\r\nHost: probe.example\r\n\r\n"
MORE = 8 * MIB * (3 if SANITIZED else 1)  # bytes the process may grow by in these tests: a body's cap is 1 MiB

ROWS = [row.split("\t") for row in (SOURCE / "tests" / "wire" / "http_verdicts.tsv").read_text().splitlines()
        if row and not row.startswith("#")][1:]

#: What an HTTP/1.1 server must refuse, and the vectors that say we do.
MUST_REFUSE = {
    "two differing lengths": ["n_two_lengths_differ"],
    "a length with a plus": ["n_length_plus"],
    "a blank before the colon": ["n_length_space_colon", "n_te_space_colon", "n_length_tab_colon"],
    "xchunked": ["n_te_xchunked"],
    "gzip, chunked": ["n_te_gzip_chunked"],
    "Transfer-Encoding in HTTP/1.0": ["n_te_http10"],
    "Transfer-Encoding with Content-Length": ["n_te_and_length", "n_length_and_te"],
    "chunk sizes": ["n_chunk_0x", "n_chunk_plus", "n_chunk_junk"],
    "bare LF": ["n_bare_lf_all", "n_bare_lf_field", "n_bare_lf_end", "n_bare_lf_request_line", "n_chunk_bare_lf", "n_chunk_data_bare_lf"],
    "folded lines": ["n_fold", "n_fold_first", "n_fold_tab"],
    "NUL in a value": ["n_nul_value"],
    "field names": ["n_name_empty", "n_name_8bit", "n_name_blank"],
    "hosts": ["n_no_host", "n_two_hosts", "n_two_hosts_same", "n_two_hosts_http10"],
    "targets that override the host": ["n_absolute_other_host", "n_absolute_other_port", "n_network_path"],
    "asterisk": ["n_asterisk", "n_asterisk_get"],
    "bytes of the target": ["n_target_space", "n_target_control", "n_target_8bit", "n_target_pct00", "n_target_dots", "n_target_dots_encoded"],
    "double blanks": ["n_double_space_1", "n_double_space_2"],
    "versions": ["n_http12", "n_http20", "n_http2_preface", "n_http09"],
}


@pytest.fixture(scope="module")
def http(authority):
    configuration = Configuration()
    configuration.limits["head"] = configuration.limits["body"] = "2s"
    configuration.peer("chu", authority.chu)
    configuration.peer("ehpad", authority.ehpad, may=["read"], max_connections=64)
    configuration.inbox("ehpad", readers=["ehpad"])
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ASAN_OPTIONS", ASAN_OPTIONS)
        broker = Broker(authority, configuration).start()
    try:
        yield broker
        broker.close_clients()
        assert broker.stop() == 0
    finally:
        broker.clean()


def connect(broker):
    client = Mllp(broker.ports["pull"], broker.authority.ehpad, broker.authority.pem)
    broker.clients.append(client)
    return client


@pytest.fixture(scope="module")
def samples():
    """{case: bytes} of llhttp's; empty when they are not there."""
    made = {}
    for path in sorted(LLHTTP.iterdir()) if LLHTTP.exists() else []:
        made.update({f"{name}: {title}": data for name, title, data in cases(path, ("request", "response"))})
    return made


def bytes_of(case, digest, samples):
    if case.startswith("llhttp__"):
        if not LLHTTP.exists():
            pytest.skip("../shared/samples is absent")
        data = samples[case]
    else:
        data = (VECTORS / case).read_bytes()
    assert hashlib.sha256(data).hexdigest()[:16] == digest, "not the bytes that were judged"
    return data


def statuses(stream, request=b""):
    """Of every whole answer in ``stream``, in order; nothing may stand between them. A HEAD has no content."""
    found = []
    while stream:
        head, separator, stream = stream.partition(b"\r\n\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n]*", head.split(b"\r\n")[0])
        assert status and separator, f"not an answer: {head!r}"
        found.append(status[1].decode())
        length = re.search(rb"(?im)^content-length: ([0-9]+)\r?$", head)
        if length and not (request.startswith(b"HEAD") and len(found) == 1):
            assert len(stream) >= int(length[1]), "half an answer"
            stream = stream[int(length[1]):]
    return found


def whole(stream, request):
    try:
        return statuses(stream, request)
    except AssertionError:
        return None


def judge(broker, data, status, link, patience=5):
    """None, or what is wrong."""
    wanted = [] if status == "-" else status.split()
    client = connect(broker)
    behind = PROBE if link == "open" else b"" if link == "waits" else PROBE * 2
    try:
        try:
            client.send(data + behind)
        except OSError:
            pass  # refused before its last byte: told below by what was answered
        end = time.monotonic() + (0.05 if link == "waits" else patience)
        closed = False
        while not closed:
            if link == "open" and whole(client.held, data) == wanted + ["200"]:
                break
            try:
                client.more(end - time.monotonic())
            except TimeoutError:
                break
            except Closed:
                closed = True
        got = statuses(client.held, data)
    except AssertionError as problem:
        return str(problem)
    finally:
        client.close()
        broker.clients.remove(client)
    if got != wanted + (["200"] if link == "open" else []):
        return f"answered {got}"
    if closed != (link == "closed"):
        return "closed" if closed else "not closed"
    return None


@pytest.mark.parametrize("case, digest, status, link", ROWS, ids=[row[0] for row in ROWS])
def test_verdicts_on_the_wire(http, samples, case, digest, status, link):
    problem = judge(http, bytes_of(case, digest, samples), status, link)
    assert not problem, problem


def test_every_case_has_its_row(samples):
    there = {row[0] for row in ROWS}
    assert {path.name for path in VECTORS.glob("*.http")} <= there
    assert set(samples) <= there
    rows = {row[0]: row for row in ROWS}
    for what, names in MUST_REFUSE.items():
        for name in names:
            _, _, status, link = rows[f"{name}.http"]
            assert link == "closed" and status in ("400", "501", "505"), (what, name)


@pytest.mark.parametrize("status, link", [("404", "open"), ("431", "closed"), ("400", "open"), ("400", "waits"), ("400 400", "closed"), ("-", "closed")])
def test_the_runner_sees_a_wrong_row(http, status, link):
    """Rows that are wrong about a request that is refused, each in another way."""
    assert judge(http, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", status, link, patience=0.3)
    assert judge(http, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", "closed", patience=0.3)
    assert judge(http, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", "open") is None


def test_what_is_not_whole_ends_with_its_deadline(http, samples):
    """All of them at once; each gets 408, and its connection is closed."""
    waiting = []
    for case, digest, _, link in ROWS:
        if link == "waits" and (samples or not case.startswith("llhttp__")):
            waiting.append((case, connect(http)))
            waiting[-1][1].send(bytes_of(case, digest, samples))
    assert len(waiting) >= 5
    since = time.monotonic()
    for case, client in waiting:
        assert statuses(client.ended(8)) == ["408"], case
    assert time.monotonic() - since < 8
    http.close_clients()


def stream(client, piece, most, before=b""):
    """Send until it is refused; the statuses answered, and how many bytes went."""
    sent = 0
    try:
        client.send(before)
        while sent < most:
            client.send(piece)
            sent += len(piece)
    except OSError:
        pass
    try:
        rest = client.ended()
    except OSError:  # reset: what was answered was read before, or is lost with it
        rest = client.held
    return statuses(rest), sent


@pytest.mark.parametrize("status, before, piece", [
    ("431", b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-Y: " + b"z" * 59 + b"\r\n"),
    ("431", b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: ", b"z" * 64),
    ("414", b"GET /", b"a" * 64),
    ("501", b"", b"A" * 64),
    ("413", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 209715200\r\n\r\n", b"b" * 64),
    ("413", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"40\r\n" + b"b" * 64 + b"\r\n"),
    ("400", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 62 + b"\r\nb\r\n"),
    ("431", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Y: " + b"z" * 59 + b"\r\n"),
], ids=["fields", "field", "target", "method", "length", "chunks", "extensions", "trailers"])
def test_streams_without_end(http, status, before, piece):
    """200 MB of one thing: refused at its cap, no more is taken than that."""
    with Growth(http.process.pid) as growth:
        got, sent = stream(connect(http), piece * 1024, 200 * MIB, before)
        assert growth.most < MORE
    assert got in ([status], []), "the answer, unless the reset for what it did not read overtook it"
    assert sent < 64 * MIB
    assert http.wait_log("request-refused", status=status)
    http.close_clients()


def test_pipelining_without_bound(http):
    """Requests by the thousand whose answers are not read: held back, not in memory."""
    client = connect(http)
    client.socket.settimeout(1)
    sent = 0
    with Growth(http.process.pid) as growth:
        try:
            while sent < 64 * MIB:
                client.socket.send(PROBE * 300)
                sent += len(PROBE) * 300
        except TimeoutError:
            pass
        assert growth.most < MORE
    assert sent < 32 * MIB
    client.close()
    probe = connect(http)
    probe.send(PROBE)
    probe.more(5)
    assert statuses(probe.held) == ["200"]
    http.close_clients()

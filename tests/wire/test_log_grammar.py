# SPDX-License-Identifier: Apache-2.0
"""The log of a busy run, byte by byte: each line is of the grammar, of the catalogue, and says what was sent and nothing a sender made up."""
import re
import subprocess
import threading

from liaison_harness import LIAISOND, log
from liaison_harness.hl7 import message
from liaison_harness.mllp import FS, VT, Closed, frame

LINE_MAX = 1024  # conf/doc/log-grammar.md
VALUE_MAX = 128

# What a line's reader could be made to believe, if one of these stood in it as it came.
FORGERIES = [
    '" peer=root', 'x id=1 peer=root', '\\', '\\"', '"', "'", '\\\\" id=7', '\t', 'a b', '=', 'id=1', '%n%s%d', '\x1b[2J\x1b[H', '\x7f', '\x01\x02',
    '\xe9t\xe9', '\xff\xfe', '\u202e'.encode().decode("latin-1"), '...', '""', '" cut=1', "$(reboot)", '\n2026-11-21T00:00:00.000+00:00 error fatal why="x"',
    '\n', '\x0c', '\x85', '\\x0a', '\\n', 'y' * 199, '"' * 199, '\xff' * 199,
]


def catalogue():
    told = subprocess.run([LIAISOND, "--events"], capture_output=True, text=True, check=True)
    return {name: level for name, level, *_ in (row.split("\t") for row in told.stdout.splitlines())}


def work(broker, identity, peer_number):
    """A connection's share of the busy run: good, bad and broken ones in turn."""
    client = broker.mllp(identity)
    for n, forged in enumerate(FORGERIES):
        text = forged.replace("|", "")
        content = message("K", application="AP", facility="FA").replace(b"|K|", f"|{text}|".encode("latin-1"))
        content = content.replace(b"|AP|FA|", f"|{text[:60]}|{text[:60]}{peer_number}|".encode("latin-1"))
        try:
            client.ask(content)
            client.ask(message(f"D{peer_number}-{n}", version="9.9" if n % 3 == 0 else "2.5", kind=f"ADT^{'A01' if n % 2 else 'zz'}"))
            if n % 5 == 0:
                client.send(b"noise " + text.encode("latin-1") + VT + VT + b"MSH" + FS)
        except (Closed, TimeoutError, OSError):
            client = broker.mllp(identity)


def test_every_line_of_a_busy_run(broker, authority):
    threads = [threading.Thread(target=work, args=(broker, authority.chu, n)) for n in range(4)]
    reader = broker.pull(authority.ehpad)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for item in reader.items("ehpad", limit=50).json["items"]:
        reader.message(item["seq"])
        reader.ack("ehpad", rejected=[{"seq": item["seq"], "code": 'x" id=1', "text": "\n"}])
    for path in ("/v1/nothing\" id=1", "/v1/messages/999999"):
        reader.get(path.replace('"', "%22").replace(" ", "%20"))
    broker.liaison("rebuild", "--reason", 'a "reason" id=1')
    assert broker.stop() == 0

    raw, events = broker.log_file.read_bytes(), catalogue()
    assert re.fullmatch(rb"[ -~\n]*\n", raw), "a byte that is neither printable ASCII nor a line feed"
    rows = raw.decode("ascii").split("\n")[:-1]
    lines = [log.Line(row) for row in rows]  # holds each to the grammar
    assert len(lines) > 4 * len(FORGERIES)
    for line in lines:
        assert len(line.row) <= LINE_MAX, line
        assert line.event in events, line
        assert line.level == events[line.event], line
        keys = [m[1] for m in log.GRAMMAR["field"].finditer(line.row)]
        assert len(keys) == len(set(keys)), line
        # The fields are the whole of it: nothing stands between or behind them.
        bare = log.GRAMMAR["field"].sub("", line.row).split()
        assert len(bare) == 3, line
    # Only the peers there are, and only ids that were given.
    assert {line["peer"] for line in lines if line.get("peer")} <= {"chu", "ehpad"}
    given = {line["id"] for line in lines if line.event in ("received", "refused", "frame-rejected", "same-id-other-bytes", "stray-acknowledgement")}
    about = {line["id"] for line in lines if line.event in ("answered", "routed", "delivered", "item-rejected", "read-content")}
    assert about <= given
    # What was sent is told: whole or cut, never something else.
    told = {line["control"] for line in lines if line.event in ("received", "duplicate", "same-id-other-bytes")}
    sent = {text.replace("|", "") for text in FORGERIES}
    for control in told:
        assert any(one == control or (control.endswith("...") and one.startswith(control[:-3])) for one in sent) or control.startswith("D"), control
    assert {'" peer=root', 'x id=1 peer=root', '\\"', '\x1b[2J\x1b[H'} <= told
    assert all(len(control) <= VALUE_MAX for control in told)


def test_an_accepted_message_has_its_id_on_every_line_of_its_life(broker, authority):
    content = message("LIFE")
    assert broker.mllp(authority.chu).ask(content).code == "AA"
    seq = broker.wait_log("received", control="LIFE")["id"]
    reader = broker.pull(authority.ehpad)
    reader.message(seq)
    assert broker.mllp(authority.chu).ask(content).code == "AA"
    reader.ack("ehpad", accepted=[int(seq)])
    broker.wait_log("delivered", id=seq)
    broker.wait_log("duplicate", id=seq)
    told = [line.event for line in broker.log() if line.get("id") == seq]
    assert told[:3] == ["received", "answered", "routed"] or told[:3] == ["received", "routed", "answered"], told
    assert sorted(told[3:]) == ["answered", "delivered", "duplicate", "read-content"], told

# SPDX-License-Identifier: Apache-2.0
"""Every row of the verdict tables, over the real wire: our own fixtures for each rule, and the samples.

State is fresh for each row because each row has a peer of its own: what the broker remembers of messages it remembers of a peer.
A message that is surely taken is sent behind each file, on the same connection: what was answered before its answer is all there was.
"""
import collections
import hashlib

import pytest

from liaison_harness import SAMPLES, SOURCE
from liaison_harness.configuration import Configuration
from liaison_harness.mllp import frame, place_of

VECTORS = SOURCE / "tests" / "vectors" / "hl7"

PEERS = {
    "strict": {},
    "lf": {"lenient": ["lf"]},
    "no-final-cr": {"lenient": ["no-final-cr"]},
    "restricted": {"senders": ["LIS|CHU-TEST"], "types": ["ORU^R01", "MDM^*"], "processing": ["T"]},
    "production": {"establishment": "chu-live"},
}


def rows_of(table):
    rows = [row.split("\t") for row in (VECTORS / table).read_text().splitlines() if row and not row.startswith("#")]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def probe(peer):
    processing = "P" if peer == "production" else "T"
    return f"MSH|^~\\&|LIS|CHU-TEST|||20261121||ORU^R01|PROBE|{processing}|2.5\rPID|1\r".encode()


def expected(row):
    """What must come back: (code, ERR-3, ERR-5, path) for each answer, in order."""
    if row["answer"] == "none":
        return []
    answers = row["answer"].split(";")
    columns = [(row[name].split(";") + [""] * len(answers))[:len(answers)] for name in ("err3", "err5", "path")]
    return list(zip(answers, *columns))


def told(ack, path):
    """The same of what did come; the path as it was expected if it says the same place."""
    if not ack.errors:
        return ack.code, "", "", ""
    assert len(ack.errors) == 1, ack.raw
    error = ack.errors[0]
    place = path if error.place == place_of(path, error.old) else error.place
    return ack.code, error.code, error.application, place


def difference(broker, row, identity, content):
    """None, or in a line what is wrong."""
    want = expected(row)
    client = broker.mllp(identity)
    try:
        client.frame(content)
        client.frame(probe(row["peer"]))
        acks = []
        while not acks or acks[-1].control != "PROBE":
            acks.append(client.ack())
            if len(acks) > len(want) + 1:
                break
    except Exception as problem:  # told with its row
        return f"{type(problem).__name__} {problem} after {acks}"
    finally:
        client.close()
    if acks[-1].control != "PROBE" or acks[-1].code != "AA":
        return f"the message behind it: {acks[-1].raw!r}"
    got = [told(ack, path) for ack, (_, _, _, path) in zip(acks[:-1], want + [("", "", "", "")] * len(acks))]
    return None if got == want else f"wanted {want}, got {got}"


def drive(brokers, authority, rows, folder):
    configuration = Configuration()
    identities = []
    for number, row in enumerate(rows):
        identities.append(authority.issue(f"row-{number}", key=authority.chu.key, file_name=f"{folder.name}-{number}"))
        configuration.peer(f"row-{number}", identities[-1], **PEERS[row["peer"]])
    broker = brokers(configuration).start()
    wrong = []
    for row, identity in zip(rows, identities):
        content = (folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest()[:16] == row["sha256"], f"{row['file']} is not the file that was judged"
        problem = difference(broker, row, identity, content)
        if problem:
            wrong.append(f"{row['file']} [{row['peer']}] rule {row['rule']}: {problem}")
    assert not wrong, f"{len(wrong)} of {len(rows)} rows:\n" + "\n".join(wrong)
    return broker


def count_rules(what, rows, capsys):
    """How many files need each rule."""
    needs = collections.defaultdict(set)
    for row in rows:
        needs[row["rule"]].add(row["file"])
    with capsys.disabled():
        print(f"\n{what}, files by the rule they need: " + ", ".join(f"{rule} {len(files)}" for rule, files in sorted(needs.items())))


def test_fixtures_of_our_own(brokers, authority, capsys):
    rows = rows_of("rules.tsv")
    count_rules("fixtures", rows, capsys)
    drive(brokers, authority, rows, VECTORS / "rules" if (VECTORS / "rules").is_dir() else VECTORS)


def test_samples(brokers, authority, capsys):
    if not SAMPLES.exists():
        pytest.skip("../shared/samples is absent")
    rows = rows_of("verdicts.tsv")
    count_rules("samples", rows, capsys)
    drive(brokers, authority, rows, SAMPLES)

# SPDX-License-Identifier: Apache-2.0
"""Every document of the official sample messages comes out as it went in, broken base64 included: what is missing of it is counted,
not hidden. Compared with a reading by Python's own base64."""
import base64
import binascii
import collections

import pytest

from liaison_harness import SAMPLES

FOLDER = SAMPLES / "hl7v2"


def documents_of(content):
    """(encoded data) of every OBX-5 of type ED."""
    for line in content.replace(b"\r", b"\n").split(b"\n"):
        fields = line.split(b"|")
        if fields[0] == b"OBX" and len(fields) > 5 and fields[2] == b"ED":
            parts = fields[5].split(b"^")
            yield (parts[3].lower() if len(parts) > 3 else b""), (parts[4] if len(parts) > 4 else b"")


def decode(data):
    """The bytes, and what was wrong: '' (strict), 'padding' or 'truncated'."""
    bare = data.rstrip(b"=")
    try:
        return base64.b64decode(data, validate=True), ""
    except binascii.Error:
        pass
    if len(bare) % 4 == 1:
        return base64.b64decode(bare[:-1] + b"=" * (-len(bare[:-1]) % 4), validate=True), "truncated"
    return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True), "padding"


def test_documents_of_the_samples(brokers, authority, configuration, capsys):
    if not SAMPLES.exists():
        pytest.skip("../shared/samples is absent")
    files = [f for f in sorted(FOLDER.rglob("*")) if f.is_file() and b"|ED|" in f.read_bytes()]
    senders = []
    for number, _ in enumerate(files):  # control ids collide: a peer for each
        senders.append(authority.issue(f"doc-{number}", key=authority.chu.key, file_name=f"documents-{number}"))
        configuration.peer(f"doc-{number}", senders[-1], lenient=["lf", "no-final-cr"])
    broker = brokers(configuration).start()
    reader = broker.pull(authority.ehpad)
    found = collections.Counter()
    for file, sender in zip(files, senders):
        content = file.read_bytes()
        client = broker.mllp(sender)
        client.frame(content)
        assert client.ack().code == "AA", file.name
        client.close()
    items = reader.items("ehpad").json["items"]
    assert len(items) == len(files)
    for file, item in zip(files, items):
        wanted = list(documents_of(file.read_bytes()))
        assert item["document_count"] == len(wanted)
        for number, (encoding, data) in enumerate(wanted, 1):
            answer = reader.document(item["seq"], number)
            assert answer.status == 200, f"{file.name} document {number}"
            if encoding == b"base64":
                plain, wrong = decode(data)
                assert answer.body == plain, f"{file.name} document {number}"
                found[wrong or "strict"] += 1
    with capsys.disabled():
        print(f"\ndocuments of the samples by their base64: {dict(found)}")
    assert found["strict"] and found["padding"] and found["truncated"]
    assert broker.metric("liaison_leniencies_total", leniency="base64-padding") >= found["padding"]
    assert broker.metric("liaison_leniencies_total", leniency="base64-truncated") == found["truncated"]

# SPDX-License-Identifier: Apache-2.0
"""Proofs for others: that a message was received, when, by which certificate, and what each destination answered, checked where there is no
journal; by the product and by a reader that knows the format's page only."""
import base64
import json
import pathlib
import re
import subprocess

import pytest

from liaison_harness import destination as does
from liaison_harness.authority import Authority
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.operators import push, queue

READER = pathlib.Path(__file__).parent.parent / "vectors/proof/read_proof.py"


@pytest.fixture
def other(authority):
    made = Destination(authority).start()
    yield made
    made.stop()


@pytest.fixture
def sealed(authority, configuration):
    """The configuration with a seal key."""
    seal = authority.issue("seal", usage=None)
    configuration.journal = {**configuration.journal, "seal_certificate": str(seal.pem), "seal_key": str(seal.key_file)}
    return configuration


@pytest.fixture
def broker(brokers, sealed, lab, other):
    """All that `chu` sends goes to the destinations `lab` and `other`."""
    sealed.destination("lab", lab.port)
    sealed.destination("other", other.port)
    sealed.routes[0]["to"] = ["lab", "other"]
    return brokers(sealed).start()


def settled(broker):
    wait_until(lambda: not queue(broker, "lab") and not queue(broker, "other"), what="both drained")


def prove(broker, seq, path):
    done = broker.liaison("show", str(seq), "--proof", str(path))
    assert done.returncode == 0, done
    return path.read_bytes()


def verify(broker, path, ca, *more, cwd=None):
    return broker.liaison("verify", "--proof", str(path), "--ca", str(ca), *more)


def read(path, ca):
    return subprocess.run(["/usr/bin/python3", READER, path, ca], capture_output=True, text=True)


def test_a_message_with_two_destinations(broker, authority, other, tmp_path):
    other.next(does.code("AE", "207", "PV1", "not here"))
    (seq,), (content,) = push(broker, authority)
    settled(broker)
    proof = tmp_path / "proof.json"
    prove(broker, seq, proof)
    assert proof.stat().st_size < 16384
    assert broker.stop() == 0
    done = verify(broker, proof, authority.pem)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"message {seq} was received 20") and lines[-1] == f"{proof}: good"
    assert f"by certificate {authority.chu.subject}, issuer {authority.chu.issuer}, serial {authority.chu.serial}, SHA-256 " in done.stdout
    digest = authority.chu.certificate.fingerprint(__import__("cryptography").hazmat.primitives.hashes.SHA256()).hex()
    assert digest in done.stdout
    assert re.search(r"^destination lab: accepted 20[^ ]+, by .*$", done.stdout, re.M), done.stdout
    assert re.search(r"^destination other: rejected 20.*not here", done.stdout, re.M), done.stdout
    assert re.search(r"^signed 20[^ ]+ by CN=seal,", done.stdout, re.M), done.stdout
    again = read(proof, authority.pem)
    assert again.returncode == 0, again
    assert again.stdout.splitlines() == lines[:-1]
    message = tmp_path / "message.hl7"
    message.write_bytes(content)
    assert verify(broker, proof, authority.pem, "--content", str(message)).returncode == 0
    message.write_bytes(content + b"\r")
    assert verify(broker, proof, authority.pem, "--content", str(message)).returncode == 1


def test_no_byte_can_be_changed(broker, authority, tmp_path):
    (seq,), _ = push(broker, authority)
    settled(broker)
    content = prove(broker, seq, tmp_path / "proof.json")
    changed = tmp_path / "changed.json"
    step = max(1, len(content) // 60)  # every byte: tests/unit/test_proof.c
    for at in range(0, len(content), step):
        changed.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
        done = verify(broker, changed, authority.pem)
        assert done.returncode == 1 and "NOT good" in done.stderr, (at, done)
        if at % (10 * step) == 0:
            assert read(changed, authority.pem).returncode == 1
    for cut in (1, len(content) // 2, len(content) - 1):
        changed.write_bytes(content[:cut])
        assert verify(broker, changed, authority.pem).returncode == 1


def test_who_is_trusted(broker, authority, sealed, brokers, tmp_path):
    """Another authority, a peer that signs, an order of records that is not the journal's."""
    (seq,), _ = push(broker, authority)
    settled(broker)
    content = prove(broker, seq, tmp_path / "proof.json")
    foreign = Authority(tmp_path / "foreign", name="Somebody else")
    assert verify(broker, tmp_path / "proof.json", foreign.pem).returncode == 1
    proof = json.loads(content)
    proof["records"][1], proof["records"][2] = proof["records"][2], proof["records"][1]
    (tmp_path / "reordered.json").write_text(json.dumps(proof, indent=2) + "\n")
    assert verify(broker, tmp_path / "reordered.json", authority.pem).returncode == 1
    proof = json.loads(content)
    del proof["records"][1]  # still true, but its sentences are not those of its records any more
    (tmp_path / "less.json").write_text(json.dumps(proof, indent=2) + "\n")
    assert verify(broker, tmp_path / "less.json", authority.pem).returncode == 1
    assert broker.stop() == 0
    peer = authority.chu  # its authority is the same
    sealed.journal.update(seal_certificate=str(peer.pem), seal_key=str(peer.key_file))
    with pytest.raises(Exception):
        brokers(sealed).start()


def test_without_a_key(brokers, configuration, authority, tmp_path):
    broker = brokers(configuration).start()
    (seq,), _ = push(broker, authority)
    done = broker.liaison("show", str(seq), "--proof", str(tmp_path / "proof.json"))
    assert done.returncode == 1 and "not signed" in done.stderr, done
    seal = authority.issue("seal-late", usage=None)
    configuration.journal = {**configuration.journal, "seal_certificate": str(seal.pem), "seal_key": str(seal.key_file)}
    broker.write()
    assert broker.liaison("reload").returncode == 0
    prove(broker, seq, tmp_path / "proof.json")  # also what came before the key
    assert verify(broker, tmp_path / "proof.json", authority.pem).returncode == 0


def segments(broker):
    return sorted((broker.folder / "state/journal").glob("*.seg"))


def test_a_purged_message(broker, authority, tmp_path):
    """Its bytes are nowhere on the disk any more; that it came, and who purged it, can still be proven, and every check holds."""
    (seq, after), (content, _) = push(broker, authority, 2)
    settled(broker)
    family = re.search(rb"\rPID\|[^\r]*", content)[0]
    assert any(family in one.read_bytes() for one in segments(broker))
    before = prove(broker, seq, tmp_path / "before.json")
    refused = broker.liaison("purge", str(seq))
    assert refused.returncode == 2, refused
    done = broker.liaison("purge", str(seq), "--reason", "of the wrong patient")
    assert done.returncode == 0, done
    for one in segments(broker):
        assert content not in one.read_bytes()
    shown = broker.liaison("show", str(seq))
    assert "purged by uid:" in shown.stdout and "(of the wrong patient)" in shown.stdout, shown
    gone = broker.liaison("show", str(seq), "--content", "--reason", "to see")
    assert gone.returncode == 1 and "no longer kept" in gone.stderr, gone
    assert broker.liaison("show", str(after), "--content", "--reason", "to see").returncode == 0
    check = broker.liaison("check")
    assert check.returncode == 0, check
    prove(broker, seq, tmp_path / "after.json")
    done = verify(broker, tmp_path / "after.json", authority.pem)
    assert done.returncode == 0 and re.search(r"^operator's act: purge 20[^ ]+, by uid:.*, of the wrong patient$", done.stdout, re.M), done
    assert read(tmp_path / "after.json", authority.pem).returncode == 0
    assert verify(broker, tmp_path / "before.json", authority.pem).returncode == 0 and before
    broker.kill()
    broker.restart()
    assert broker.liaison("check").returncode == 0
    again = broker.liaison("show", str(seq), "--content", "--reason", "to see")
    assert again.returncode == 1 and "no longer kept" in again.stderr


def test_what_waits_is_not_purged(broker, authority, lab):
    lab.stop()
    (seq,), _ = push(broker, authority)
    done = broker.liaison("purge", str(seq), "--reason", "of the wrong patient")
    assert done.returncode == 1 and "waits" in done.stderr, done


def test_a_journal_and_its_first_break(broker, authority, tmp_path):
    """Each kind of damage in turn, in the copy that the broker reads: named by its place."""
    ids, _ = push(broker, authority, 6)
    settled(broker)
    prove(broker, ids[0], tmp_path / "proof.json")  # so that something is signed
    good = broker.liaison("verify", "--ca", str(authority.pem))
    assert good.returncode == 0 and "ok   seal CN=seal," in good.stdout and "first break" not in good.stdout, good
    foreign = Authority(tmp_path / "foreign", name="Somebody else")
    assert broker.liaison("verify", "--ca", str(foreign.pem)).returncode == 1
    path = next(one for one in segments(broker) if b"LRec" in one.read_bytes())
    content = path.read_bytes()
    second = content.index(b"LRec", content.index(b"LRec", 4096) + 4)
    number = int(path.stem)
    for at, where, what in [(40, 0, "one copy of the head"), (second + 60, second, "no record"),
                            (second + 200, second, "facts or decision"), (second + 4, second, "no record")]:
        with open(path, "r+b") as stream:
            stream.seek(at)
            stream.write(bytes([content[at] ^ 1]))
        done = broker.liaison("verify")
        assert done.returncode == 1, done
        first = re.search(r"^the first break: segment=(\d+) offset=(\d+) (.*)$", done.stdout, re.M)
        assert first and (int(first[1]), int(first[2])) == (number, where) and what in first[3], (at, done)
        with open(path, "r+b") as stream:
            stream.seek(at)
            stream.write(content[at:at + 1])
    assert broker.liaison("verify").returncode == 0

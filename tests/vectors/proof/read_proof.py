#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a proof by its format page alone (conf/doc/proof.md), sharing no code with the broker: standard library and the openssl program.

read_proof.py FILE CA: prints what the proof shows and ends with status 0, or says what is wrong first and ends with status 1.
"""
import base64
import datetime
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

HEADER = struct.Struct("<HHIIIQQQQQ16s32s32s32s8s")
STATEMENT = struct.Struct("<8sIIQI4s16sQQQ8s32s32s32s32s")
OUTCOMES = {1: "accepted", 2: "rejected", 3: "dead letter", 4: "dropped"}
HIDDEN = {0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x7F, 0xA0), *range(0x20)}


class Wrong(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Wrong(text)


def bytes_of(text):
    want(isinstance(text, str), "a text is missing")
    data = base64.b64decode(text, validate=True)
    want(base64.b64encode(data).decode() == text, "base64 in another spelling")
    return data


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def shown(raw, limit=1024):
    """Bytes of unknown origin as the sentences have them."""
    pieces, at = [], 0
    while at < len(raw):
        for size in (1, 2, 3, 4):
            try:
                one = raw[at:at + size].decode()
                break
            except UnicodeDecodeError:
                one = ""
        used = size if one else 1
        if one == "\\":
            pieces.append("\\\\")
        elif one and ord(one) not in HIDDEN:
            pieces.append(one)
        else:
            pieces.append("".join(f"\\x{byte:02x}" for byte in raw[at:at + used]))
        at += used
    if sum(len(piece.encode()) for piece in pieces) <= limit:
        return "".join(pieces)
    cut, length = "", 0
    for piece in pieces:
        length += len(piece.encode())
        if length + 3 > limit:
            return cut + "..."
        cut += piece
    return cut


def when(us):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{us % 1000000:06}Z"


def items(data):
    """Tag, length, value."""
    at = 0
    while at < len(data):
        tag, length = struct.unpack_from("<HI", data, at)
        want(at + 6 + length <= len(data), "an item is cut")
        yield tag, data[at + 6:at + 6 + length]
        at += 6 + length


def number(found, tag):
    return struct.unpack("<Q", found[tag])[0] if tag in found else 0


class Record:
    def __init__(self, row):
        want(list(row) == ["header", "facts", "decision", "chain_before", "signature", "index", "path"], "fields of a record")
        header = bytes_of(row["header"])
        want(len(header) == HEADER.size, "a header's length")
        (self.kind, self.flags, facts_len, decision_len, _, self.body_len, self.seq, self.time, self.ref, self.size, self.key,
         self.sha256, facts_sha256, decision_sha256, _) = HEADER.unpack(header)
        want(not self.flags & 4 and self.seq > 0, "a header")
        self.facts = self.part(row["facts"], facts_len, facts_sha256)
        self.decision = self.part(row["decision"], decision_len, decision_sha256)
        before = bytes_of(row["chain_before"])
        want(len(before) == 32, "a chain value")
        self.leaf = sha256(before, header)
        self.signature, self.index, self.path = row["signature"], row["index"], [bytes_of(one) for one in row["path"]]

    @staticmethod
    def part(text, length, digest):
        if text is None:
            return None
        data = bytes_of(text)
        want(len(data) == length and (sha256(data) if data else bytes(32)) == digest, "facts or decision are not those of the header")
        return data

    def root(self, count):
        """RFC 9162, 2.1.3.2."""
        place, last, value = self.index, count - 1, self.leaf
        want(0 <= place < count, "an index past its signature")
        for node in self.path:
            want(last > 0 and len(node) == 32, "a path that is too long")
            if place & 1 or place == last:
                value = sha256(b"\x01", node, value)
                while not place & 1 and place:
                    place, last = place >> 1, last >> 1
            else:
                value = sha256(b"\x01", value, node)
            place, last = place >> 1, last >> 1
        want(last == 0, "a path that is too short")
        return value


class Signature:
    def __init__(self, text):
        data = bytes_of(text)
        self.statement = data[:208]
        (magic, version, self.algorithm, self.time, _, _, _, _, _, self.count, _, _, _, self.root, digest) = STATEMENT.unpack(self.statement)
        want(magic == b"LIAISONS" and version == 1 and self.algorithm in (1, 2), "a statement")
        length, = struct.unpack_from("<I", data, 208)
        self.signature, rest = data[212:212 + length], data[212 + length:]
        want(sha256(rest) == digest, "the certificates are not those of the statement")
        self.certificates = []
        while rest:
            length, = struct.unpack_from("<I", rest)
            want(0 < length <= len(rest) - 4, "a certificate is cut")
            self.certificates.append(rest[4:4 + length])
            rest = rest[4 + length:]
        want(self.certificates, "there is no certificate")

    def openssl(self, *arguments, good=True, **more):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, **more)
        want(done.returncode == 0 or not good, f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def check(self, ca):
        """Signature, chain, usage; the sentence about it."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            pems = [self.openssl("x509", "-inform", "DER", input=one) for one in self.certificates]
            (folder / "seal.pem").write_bytes(pems[0])
            (folder / "others.pem").write_bytes(b"".join(pems[1:]) or pems[0])
            (folder / "key.pem").write_bytes(self.openssl("x509", "-in", folder / "seal.pem", "-noout", "-pubkey"))
            (folder / "statement").write_bytes(self.statement)
            (folder / "signature").write_bytes(self.signature)
            self.openssl("dgst", "-sha256", "-verify", folder / "key.pem", "-signature", folder / "signature", folder / "statement")
            self.openssl("verify", "-partial_chain", "-attime", self.time // 1000000, "-trusted", ca, "-untrusted", folder / "others.pem",
                         folder / "seal.pem")
            usage = self.openssl("x509", "-in", folder / "seal.pem", "-noout", "-ext", "extendedKeyUsage").decode()
            want("TLS Web" not in usage, "the certificate is one for TLS connections, not a seal's")
            names = self.openssl("x509", "-in", folder / "seal.pem", "-noout", "-subject", "-issuer", "-serial", "-nameopt",
                                 "RFC2253,-esc_msb").decode().splitlines()
        subject, issuer, serial = (line.split("=", 1)[1] for line in names)
        return f"signed {when(self.time)} by {shown(subject.encode())}, issuer {shown(issuer.encode())}, serial {shown(serial.encode())}"


def message_says(record):
    yield f"message {record.seq} was received {when(record.time)}"
    if record.flags & 8:
        yield f"an operator sent message {record.ref} once more"
    yield f"{record.size} bytes, SHA-256 {record.sha256.hex()}"
    if record.facts is None:
        yield "its facts are not shown"
    elif record.facts:
        found = dict(items(record.facts))

        def some(before, tag):
            return before + shown(found[tag]) if found.get(tag) else ""
        yield "from peer " + shown(found.get(3, b"")) + some(" of ", 4) + some(" through ", 5)
        if len(found.get(31, b"")) == 32:
            yield (f"by certificate {shown(found.get(29, b''))}, issuer {shown(found.get(28, b''))}, serial {shown(found.get(30, b''))}, "
                   f"SHA-256 {found[31].hex()}")
        else:
            yield "by no certificate"
        yield ("type " + shown(found.get(11, b"")) + some("^", 12) + some(", control id ", 14) + some(", sending application ", 6) +
               some(", sending facility ", 7))
    if record.decision:
        found = dict(items(record.decision))
        answer = {1: "AA", 2: "AE", 3: "AR"}.get(number(found, 1), "none")
        place = ", at " + shown(found[32]) if found.get(32) else ""
        yield f"answered {answer}" + (f", fault {number(found, 4)}{place}" if number(found, 4) else "")
        for tag, value in items(record.decision):
            if tag == 34:
                yield "routed to " + shown(value)


def about_says(record):
    found = dict(items(record.decision)) if record.decision else {}
    line = "operator's act: " + shown(found.get(38, b"")) + " " if record.kind == 8 else "destination " + shown(found.get(36, b"")) + ": "
    if record.kind == 6:
        line += OUTCOMES.get(number(found, 10), "unknown") + " "
    line += when(record.time)
    for before, tag in ((", by ", 37), (", code ", 39), (", ", 40)):
        if found.get(tag):
            line += before + shown(found[tag])
    return line


def spelled(proof):
    """The one spelling of a proof."""
    return json.dumps(proof, indent=2, ensure_ascii=False) + "\n"


def check(content, ca):
    proof = json.loads(content.decode())
    want(list(proof) == ["format", "says", "records", "signatures"] and proof["format"] == "liaison-proof 1", "the format")
    want(spelled(proof).encode() == content, "it is spelled otherwise")
    records = [Record(row) for row in proof["records"]]
    signatures = [Signature(text) for text in proof["signatures"]]
    want(records and records[0].kind in (1, 2, 3, 4), "record 1 is no message")
    used = 0
    for at, record in enumerate(records):
        if at:
            want(record.kind in (6, 8) and record.ref == records[0].seq, "a record about something else")
        if at > 1:
            want(record.seq > records[at - 1].seq, "the order of records")
        want(record.signature <= used and record.signature < len(signatures), "the order of signatures")
        used = max(used, record.signature + 1)
        signature = signatures[record.signature]
        want(record.root(signature.count) == signature.root, "a record is not among what was signed")
    want(used == len(signatures) and len(set(proof["signatures"])) == used, "a signature of no use")
    says = [*message_says(records[0]), *map(about_says, records[1:]), *(one.check(ca) for one in signatures)]
    want(len(says) == len(proof["says"]), "what it says is not what it shows")
    for mine, its in zip(says, proof["says"]):
        want(mine == its, f"it says {its!r}, and shows {mine!r}")
    return proof["says"]


def main(path, ca):
    try:
        for line in check(pathlib.Path(path).read_bytes(), ca):
            print(line)
    except (Wrong, ValueError, KeyError, TypeError, struct.error) as wrong:
        sys.exit(f"read_proof: {wrong}")


if __name__ == "__main__":
    main(*sys.argv[1:])

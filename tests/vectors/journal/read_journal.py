#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a journal by its format page alone (conf/doc/journal.md), sharing no code with the broker.

Prints one line per record, in the order in which they lie: segment, offset, sequence, type, flags, time, ref, size, key, SHA-256 of the received
bytes, facts, decision, received bytes as far as they are kept (those of a replayed message lie in another record). Ends with status 1 at the first thing that is not as the page says.
"""
import hashlib
import pathlib
import struct
import sys

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def want(condition, text):
    if not condition:
        sys.exit(f"read_journal: {text}")


def block_ok(block):
    return struct.unpack_from("<I", block, 12)[0] == crc32c(block[:12] + bytes(4) + block[16:])


def head_of(data):
    for at in (0, 2048):
        block = data[at:at + 256]
        if block[:8] == b"LIAISONJ" and block_ok(block):
            want(struct.unpack_from("<I", block, 8)[0] == 1, "unknown version")
            number, prev_number, created, first_seq = struct.unpack_from("<IIQQ", block, 48)
            return {"id": block[16:32], "secret": block[32:48], "number": number, "prev_number": prev_number,
                    "created": created, "first_seq": first_seq, "prev_id": block[72:88],
                    "prev_end": struct.unpack_from("<Q", block, 88)[0], "prev_chain": block[96:128]}
    want(not any(data[:4096]), "both copies of a head are damaged")
    return None


def shown(data):
    if not data:
        return "-"
    if all(32 <= c < 127 for c in data):
        return data.decode("ascii")
    return "hex:" + data.hex()


def record_at(data, at, seed):
    """The fields of the record at an offset, or None."""
    if at + 192 > len(data) or data[at:at + 4] != b"LRec":
        return None
    header = data[at:at + 192]
    header_crc, front_crc, body_crc, kind, flags, facts_len, decision_len = struct.unpack_from("<IIIHHII", header, 4)
    if header_crc != crc32c(header[:4] + header[8:], crc32c(struct.pack("<Q", at), seed)):
        return None
    body_len, seq, time, ref, size = struct.unpack_from("<QQQQQ", header, 32)
    front = at + 192
    body = front + facts_len + decision_len
    end = (body + body_len + 15) // 16 * 16
    if end > len(data):
        return None
    record = {"kind": kind, "flags": flags, "seq": seq, "time": time, "ref": ref, "size": size, "end": end,
              "key": header[72:88], "sha256": header[88:120], "facts": data[front:front + facts_len],
              "decision": data[front + facts_len:body], "body": data[body:body + body_len]}
    want(crc32c(data[front:body], seed) == front_crc, f"facts or decision of {seq}")
    want(crc32c(record["body"], seed) == body_crc, f"received bytes of {seq}")
    if not flags & 4:
        for part, digest in (("facts", header[120:152]), ("decision", header[152:184])):
            expected = hashlib.sha256(record[part]).digest() if record[part] else bytes(32)
            want(expected == digest, f"digest of the {part} of {seq}")
        if body_len == size and any(record["sha256"]):
            want(hashlib.sha256(record["body"]).digest() == record["sha256"], f"digest of the bytes of {seq}")
    record["covered"] = header[16:18] + struct.pack("<H", flags & ~4) + header[20:]
    return record


def foot_of(data):
    foot = data[-128:]
    if foot[:8] != b"LIAISONF" or not block_ok(foot):
        return None
    number, count, end, last, next_seq, index_crc = struct.unpack_from("<IIQQQI", foot, 32)
    return {"id": foot[16:32], "number": number, "count": count, "end": end, "index_crc": index_crc, "chain": foot[96:]}


def main(directory):
    files = []
    for path in sorted(pathlib.Path(directory).glob("*.seg")):
        data = path.read_bytes()
        head = head_of(data)
        if head:
            want(head["number"] == int(path.stem), "a head of another number")
            files.append((head, data))
    ends = {}  # what the next head says: number -> (id, end, chain)
    void = set()
    for head, _ in files:
        ends[head["prev_number"]] = (head["prev_id"], head["prev_end"], head["prev_chain"])
        void.update(range(head["prev_number"] + 1, head["number"]))
    bodies = {}  # of accepted messages, for the replays of them
    for head, data in files:
        number = head["number"]
        if number in void:
            continue
        seed = crc32c(head["id"])
        chain, at, index = head["prev_chain"], 4096, []
        limit = ends[number][1] if number in ends else len(data)
        while at < limit:
            record = record_at(data, at, seed)
            if record is None:
                break
            chain = hashlib.sha256(chain + record["covered"]).digest()
            index.append((record["seq"], at))
            if record["flags"] & 8:
                record["body"] = bodies.get(record["ref"], b"")
                want(hashlib.sha256(record["body"]).digest() == record["sha256"], f"bytes replayed by {record['seq']}")
            elif record["kind"] == 1:
                bodies[record["seq"]] = record["body"]
            print(number, at, record["seq"], record["kind"], record["flags"], record["time"], record["ref"],
                  record["size"], record["key"].hex(), record["sha256"].hex(), shown(record["facts"]),
                  shown(record["decision"]), shown(record["body"]), sep="\t")
            at = record["end"]
        if number in ends:
            want(ends[number] == (head["id"], at, chain), f"segment {number} ends otherwise than the next head says")
        foot = foot_of(data)
        if foot:
            want((foot["id"], foot["number"], foot["end"], foot["chain"]) == (head["id"], number, at, chain), "foot")
            entries = data[at + 16:at + 16 + 48 * foot["count"]]
            want(data[at:at + 4] == b"LIdx" and crc32c(entries) == foot["index_crc"], "index")
            want(index == [struct.unpack_from("<QQ", entries, 48 * i) for i in range(foot["count"])], "index entries")
        else:
            want(not any(data[at:]), f"segment {number}: bytes behind the last record")


if __name__ == "__main__":
    main(sys.argv[1])

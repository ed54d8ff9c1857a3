# SPDX-License-Identifier: Apache-2.0
"""The table of wrong input: what is sent, what is answered, which events the log has, how the link stands, what it may cost.

Written from the rules by which the HL7 door judges, before it was run. A row:

    case     its name
    sent     bytes, or several pieces that go out one after the other
    answers  every acknowledgement in order, "CODE MSA-2 ERR-3 PATH" each, "-" for an empty one; with "; " between; "" for none
    events   what the log tells of messages, in order: "received", "refused NAME PATH", "frame-rejected CAUSE SIZE@OFFSET" ... ; of a
             set only that there is nothing else
    link     "open": a message behind it on the same connection is taken; else the word of its end in the log. On a TLS port without TLS,
             "refused REASON"
    how      "at once", "bytes" (each alone, with pauses), "pieces" (with pauses), "then close", "then reset", "then silence" (until we are
             closed), "drip" (a byte now and then, until we are closed), "unread" (again and again, no answer is read), "stream" (the last piece
             200 times), "raw" (no TLS), "raw, then silence"
    record   what `show` says of the last record besides
    mib      MiB that the process may grow by
    peer     settings of the sender
    roomy    at the broker with long deadlines and a cap of 64 MiB
"""
from typing import NamedTuple

from liaison_harness.hl7 import message
from liaison_harness.mllp import CR, FS, VT, frame


class Row(NamedTuple):
    case: str
    sent: object
    answers: str
    events: object
    link: str = "open"
    how: str = "at once"
    record: dict = {}
    mib: int = 4
    peer: dict = {}
    roomy: bool = False


def m(control, **fields):
    return message(control, **fields)


def f(control, **fields):
    return frame(m(control, **fields))


def charset(control, name, text):
    """A message with MSH-18 and a patient's name in these bytes."""
    head = f"MSH|^~\\&|GAM|CHU|LIAISON|PFI|20261121120000+0100||ADT^A01^ADT_A01|{control}|T|2.5||||||{name}\r"
    return frame(head.encode() + b"PID|1||4711^^^CHU||" + text + b"\r")


def delimiters(bar, rest, version="2.5"):
    """A message whose delimiters are these."""
    text = f"MSH{bar}{rest}{bar}GAM{bar}CHU{bar}{bar}{bar}20261121{bar}{bar}ADT{rest[:1]}A01{bar}D1{bar}T{bar}{version}\rPID{bar}1\r"
    return frame(text.encode())


def taken(charset_used, reason):
    return {"answer": "AA", "charset_used": charset_used, "charset_reason": reason}


GET = b"GET / HTTP/1.1\r\nHost: broker\r\nUser-Agent: scanner\r\n\r\n"
HELLO = bytes.fromhex("160301004a0100004603035f") + b"h" * 60
SSH = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
TELNET = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfd\x01"
XML = b'<?xml version="1.0"?><PRPA_IN201301UV02 xmlns="urn:hl7-org:v3"/>\r'
STRAY = b"MSH|^~\\&|A|B|C|D|20261121||ACK^A01^ACK|S1|T|2.5\rMSA|AA|OURS\r"
NO_MSH = "AE - 100 MSH"
REFUSED_MSH = ["refused segment-sequence MSH"]
BEGINNING = VT + m("HALF")[:60]


def noise(size, at=0):
    return f"frame-rejected frame-noise {size}@{at}"


def no_message(case, content, **more):
    """Framed, but what is inside does not begin with MSH."""
    return Row(case, frame(content), NO_MSH, REFUSED_MSH, **more)


ROWS = [
    # The frame
    Row("no start block", m("A1") + FS + CR, "", [noise(len(m("A1")) + 2)]),
    Row("noise before it", b"hello" + f("A1"), "AA A1", [noise(5), "received"]),
    Row("noise before, between and behind", b"12345" + f("A1") + b"\r\n\r\n" + f("A2") + b"\x00", "AA A1; AA A2",
        [noise(5), "received", noise(4, 5 + len(f("A1"))), "received", noise(1, 9 + 2 * len(f("A1")))]),
    Row("single bytes", f("A1"), "AA A1", ["received"], how="bytes"),
    Row("end block in two packets", [VT + m("A1") + FS, CR], "AA A1", ["received"], how="pieces"),
    Row("start block alone in its packet", [VT, m("A1"), FS, CR], "AA A1", ["received"], how="pieces"),
    Row("two messages in one packet", f("A1") + f("A2"), "AA A1; AA A2", ["received"] * 2),
    Row("ten messages in one packet", b"".join(f(f"A{n}") for n in range(10)), "; ".join(f"AA A{n}" for n in range(10)), ["received"] * 10),
    Row("no end block, then the end", VT + m("A1"), "", [f"frame-rejected frame-cut {len(m('A1')) + 1}@0"], "closed-by-peer", "then close"),
    Row("no end block, then a reset", VT + m("A1"), "", [f"frame-rejected frame-cut {len(m('A1')) + 1}@0"], "reset", "then reset"),
    Row("no end block, then silence", VT + m("A1"), "", [f"frame-rejected frame-slow {len(m('A1')) + 1}@0"], "closed-by-us", "then silence"),
    Row("end block without CR, then the end", VT + m("A1") + FS, "", [f"frame-rejected frame-end {len(m('A1')) + 2}@0"], "closed-by-peer", "then close"),
    Row("end block without CR, then the next", VT + m("A1") + FS + f("A2"), "AE A1 207 -; AA A2",
        [f"frame-rejected frame-end {len(m('A1')) + 2}@0", "received"]),
    Row("end block without CR, allowed", VT + m("A1") + FS + f("A2"), "AA A1; AA A2", ["received"] * 2, peer={"lenient": ["no-end-cr"]}),
    Row("start block inside", VT + m("A1")[:-20] + f("A2"), "AE A1 207 -; AA A2",
        [f"frame-rejected frame-restart {len(m('A1')) - 19}@0", "received"]),
    Row("start block twice", VT + f("A1"), "AA A1", ["frame-rejected frame-restart 1@0", "received"]),
    Row("start blocks only", VT * 50, "", ["frame-rejected frame-restart 1@%d" % n for n in range(50)]),
    Row("FS inside is data", f("A1", body="PID|1||47\x1c11"), "AA A1", ["received"]),
    Row("end block without a frame", FS + CR, "", [noise(2)]),
    no_message("empty frame", b""),
    Row("empty frame without CR", VT + FS + f("A1"), "AA A1", ["frame-rejected frame-end 2@0", "received"]),
    no_message("a frame of one CR", b"\r"),
    # Other protocols
    Row("HTTP in the link", GET, "", [noise(len(GET))], "closed-by-us", "then silence"),
    Row("HTTP, then a message", GET + f("A1"), "AA A1", [noise(len(GET)), "received"]),
    Row("a TLS hello in the link", HELLO, "", [noise(len(HELLO))], "closed-by-peer", "then close"),
    Row("an SSH banner in the link", SSH, "", [noise(len(SSH))], "closed-by-us", "then silence"),
    Row("telnet in the link", TELNET, "", [noise(len(TELNET))], "closed-by-peer", "then close"),
    no_message("HL7 version 3 in a frame", XML),
    no_message("HTTP in a frame", GET),
    Row("plain text on the TLS port: HTTP", GET, "", {f"before-authentication {len(GET)}"}, "refused not TLS", "raw"),
    Row("plain text on the TLS port: a message", f("A1"), "", {f"before-authentication {len(f('A1'))}"}, "refused not TLS", "raw"),
    Row("plain text on the TLS port: SSH", SSH, "", {f"before-authentication {len(SSH)}"}, "refused not TLS", "raw"),
    Row("plain text on the TLS port: telnet", TELNET, "", {f"before-authentication {len(TELNET)}"}, "refused not TLS", "raw"),
    Row("zeros on the TLS port", bytes(64), "", {"before-authentication 64"}, "refused not TLS", "raw"),
    Row("half a hello, then silence", HELLO[:20], "", {"before-authentication 20"}, "refused timeout", "raw, then silence"),
    Row("nothing on the TLS port", b"", "", set(), "refused timeout", "raw, then silence"),
    # What is inside
    no_message("no MSH", b"PID|1||4711\r"),
    no_message("a blank before MSH", b" " + m("A1")),
    Row("lower case", frame(m("A1").replace(b"MSH", b"msh")), NO_MSH, REFUSED_MSH),
    Row("MSH and nothing else", frame(b"MSH"), "AE - 102 MSH-1", ["refused data-type MSH-1"]),
    Row("another field separator", delimiters("#", "^~\\&"), "AA D1", ["received"]),
    Row("five delimiters", delimiters("|", "^~\\&#", "2.7"), "AA D1", ["received"]),
    Row("a letter as separator", delimiters("A", "^~\\&"), "AE - 102 MSH-1", ["refused data-type MSH-1"]),
    Row("a blank as separator", delimiters(" ", "^~\\&"), "AE - 102 MSH-1", ["refused data-type MSH-1"]),
    Row("a NUL as separator", delimiters("\0", "^~\\&"), "AE - 102 MSH-1", ["refused data-type MSH-1"]),
    Row("a repeated delimiter", delimiters("|", "^^\\&"), "AE D1 102 MSH-2", ["refused data-type MSH-2"]),
    # Its fields are one off: what stands tenth is the type, escaped in the answer, whose delimiters are the usual ones.
    Row("the separator repeated", delimiters("^", "|~\\^"), "AE ADT\\F\\A01 102 MSH-2", ["refused data-type MSH-2"]),
    Row("too few delimiters", delimiters("|", "^~"), "AE D1 102 MSH-2", ["refused data-type MSH-2"]),
    Row("too many delimiters", delimiters("|", "^~\\&#$"), "AE D1 102 MSH-2", ["refused data-type MSH-2"]),
    Row("a quote as delimiter", delimiters("|", "^~\\\""), "AE D1 102 MSH-2", ["refused data-type MSH-2"]),
    Row("NUL in a field", f("A1", body="PID|1||47\x0011"), "AA A1", ["received"]),
    no_message("NUL only", bytes(100)),
    no_message("NUL before MSH", b"\0" + m("A1")),
    no_message("UTF-16 with a mark", b"\xff\xfe" + m("A1").decode().encode("utf-16-le")),
    no_message("UTF-16, little-endian", m("A1").decode().encode("utf-16-le")),
    no_message("UTF-16, big-endian", m("A1").decode().encode("utf-16-be")),
    no_message("UTF-8 with a mark", b"\xef\xbb\xbf" + m("A1")),
    no_message("file header first", b"FHS|^~\\&|GAM\rBHS|^~\\&|GAM\r" + m("A1") + b"BTS|1\rFTS|1\r"),
    no_message("batch header first", b"BHS|^~\\&|GAM\r" + m("A1") + b"BTS|1\r"),
    Row("batch header inside", frame(m("A1") + b"BHS|^~\\&|GAM\r"), "AE A1 100 BHS", ["refused segment-sequence BHS"]),
    Row("batch trailer behind", frame(m("A1") + b"BTS|1\r"), "AE A1 100 BTS", ["refused segment-sequence BTS"]),
    Row("two messages in one frame", frame(m("A1") + m("A2")), "AE A1 100 MSH(2)", ["refused segment-sequence MSH(2)"]),
    Row("line feeds as ends", f("A1", end="\n"), "AE A1 100 MSH", ["refused segment-sequence MSH"]),
    Row("CR LF as ends", f("A1", end="\r\n"), "AE A1 100 (2)", ["refused segment-sequence (2)"]),
    Row("no last end", f("A1", final=False), "AE A1 100 PID", ["refused segment-sequence PID"]),
    Row("a stray acknowledgement", frame(STRAY), "", ["stray-acknowledgement"]),
    # Character sets: carried as they are, the decision is recorded
    Row("UTF-8, said and true", charset("U1", "UNICODE UTF-8", "Évreux".encode()), "AA U1", ["received"], record=taken("UTF-8", "msh18")),
    Row("UTF-8, said and not true", charset("U1", "UNICODE UTF-8", "Évreux".encode("latin-1")), "AA U1", ["received"],
        record=taken("ISO-8859-15", "fallback")),
    Row("Latin-1 said, UTF-8 sent", charset("U1", "8859/1", "Évreux".encode()), "AA U1", ["received"], record=taken("ISO-8859-1", "msh18")),
    Row("ASCII said, UTF-8 sent", charset("U1", "ASCII", "Évreux".encode()), "AA U1", ["received"], record=taken("UTF-8", "bytes")),
    Row("a set that is none", charset("U1", "KLINGON", "Évreux".encode()), "AA U1", ["received"], record=taken("UTF-8", "bytes")),
    Row("overlong UTF-8", charset("U1", "UNICODE UTF-8", b"\xc0\x80"), "AA U1", ["received"], record=taken("windows-1252", "fallback")),
    Row("a surrogate in UTF-8", charset("U1", "UNICODE UTF-8", b"\xed\xa0\x80"), "AA U1", ["received"], record=taken("windows-1252", "fallback")),
    Row("past the last of UTF-8", charset("U1", "UNICODE UTF-8", b"\xf5\xbf\xbf\xbf"), "AA U1", ["received"], record=taken("ISO-8859-15", "fallback")),
    Row("a lone continuation", charset("U1", "", b"caf\xa9"), "AA U1", ["received"], record=taken("ISO-8859-15", "fallback")),
    # Who sends, and what again
    Row("the same id with other bytes", f("A1") + f("A1", body="PID|1||4712"), "AA A1; AE A1 207 MSH-10",
        ["received", "same-id-other-bytes same-id-other-bytes MSH-10"]),
    Row("the same bytes again", f("A1") + f("A1"), "AA A1; AA A1", ["received", "duplicate"]),
    Row("for another application", f("A1", application="OTHER"), "AE A1 207 MSH-3", ["refused application MSH-3"], peer={"senders": ["GAM|CHU"]}),
    Row("for another facility", f("A1", facility="OTHER"), "AE A1 207 MSH-4", ["refused application MSH-4"], peer={"senders": ["GAM|CHU"]}),
    Row("junk past the quota", b"x" * 3000 + f("A1"), "", {noise(3000), f"frame-rejected frame-cut {len(f('A1'))}@3000", "junk-quota"}, "closed-by-us",
        peer={"junk_quota": "2K"}),
    Row("stray acknowledgements past the quota", frame(STRAY) * 40, "", {"stray-acknowledgement", "junk-quota", "frame-rejected frame-cut *"},
        "closed-by-us", peer={"junk_quota": "2K"}),
    # Slow ones
    Row("a slow sender", BEGINNING, "", {"frame-rejected frame-slow *"}, "closed-by-us", "drip"),
    Row("a reader that never reads", f("R1", version="9.9") * 100, "", {"refused unsupported-version MSH-12.1", "frame-rejected frame-cut *"},
        "slow-reader", "unread", mib=12, peer={"junk_quota": "1G"}),
    # Large ones
    Row("a million segments", frame(m("A1") + b"ZZZ|\r" * 1_000_000), "AA A1", ["received"], mib=40, roomy=True),
    Row("a million empty ones", frame(m("A1") + b"\r" * 1_000_000), "AE A1 100 (3)", ["refused segment-sequence (3)"], mib=16, roomy=True),
    Row("200 MB against a cap of 64 MiB", [VT + m("A1") + b"NTE|1||", b"x" * 1_000_000], "AE A1 207 -",
        {f"refused too-large {64 << 20 | 1}", "frame-rejected frame-cut *"}, "closed-by-us", "stream", mib=80, roomy=True),
    Row("one segment of 60 MB", lambda: f("A1", filler=60_000_000), "AA A1", ["received"], mib=80, roomy=True),
]

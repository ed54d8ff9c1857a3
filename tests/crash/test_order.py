# SPDX-License-Identifier: Apache-2.0
"""The checker of traces: silent about a sound trace, and never blind to one that is not."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import order  # noqa: E402

MESSAGE = r'\1\2MSH|^~\\&|A|CHU|LIAISON|PFI|20261121120000+0100||ADT^A01|%s|T|2.5\rPID|1\r'
ACK = r'\vMSH|^~\\&|LIAISON|PFI|A|CHU|20261121||ACK^A01|L1|T|2.5\rMSA|AA|%s\r\34\r'


def write(control, thread=12, descriptor=7, result=300):
    return f'{thread} pwritev(7, [{{iov_base="head", iov_len=100}}, {{iov_base="{MESSAGE % control}", iov_len=200}}], 2, 4096) = {result}' \
        .replace("(7,", f"({descriptor},")


def send(*controls, thread=11):
    return f'{thread} sendto(9, "{"".join(ACK % control for control in controls)}", 90, MSG_NOSIGNAL, NULL, 0) = 90'


SYNC = "12 fdatasync(7) = 0"


def test_sound():
    assert order.check([write("a1"), SYNC, send("a1")]) == ([], 1)
    # in several threads, calls told in two parts
    assert order.check([
        write("a1").replace(") = 300", " <unfinished ...>"), '11 recvfrom(9, "x", 1, 0, NULL, NULL) = 1', "12 <... pwritev resumed>) = 300",
        "12 fdatasync(7 <unfinished ...>", write("a2", thread=13), "12 <... fdatasync resumed>) = 0", send("a1"),
        "13 fdatasync(7) = 0", send("a2")]) == ([], 2)
    # one sync for many; by the thread that sends; pwrite64; a trailing time
    assert order.check([write("a1", thread=11), write("a2", thread=11), "11 fdatasync(7) = 0 <0.000031>", send("a1", "a2")]) == ([], 2)
    one = f'12 pwrite64(7, "{MESSAGE % "a1"}", 200, 8192) = 200'
    assert order.check([one, SYNC, send("a1")]) == ([], 1)
    assert order.check([one + " <0.000012>", SYNC, send("a1")]) == ([], 1)


UNSOUND = {
    "not written": ("unwritten", [SYNC, send("a1")]),
    "another written": ("unwritten", [write("a2"), SYNC, send("a1")]),
    "written later": ("unwritten", [send("a1"), write("a1"), SYNC]),
    "not synced": ("unsynced", [write("a1"), send("a1")]),
    "synced before": ("unsynced", [SYNC, write("a1"), send("a1")]),
    "synced later": ("unsynced", [write("a1"), send("a1"), SYNC]),
    "another file synced": ("unsynced", [write("a1"), "12 fdatasync(8) = 0", send("a1")]),
    "the sync failed": ("unsynced", [write("a1"), "12 fdatasync(7) = -1 EIO (Input/output error)", send("a1")]),
    "the sync has not returned": ("unsynced", [write("a1"), "12 fdatasync(7 <unfinished ...>", send("a1"), "12 <... fdatasync resumed>) = 0"]),
    "the sync began before the write ended": ("unsynced", [
        write("a1").replace(") = 300", " <unfinished ...>"), "13 fdatasync(7) = 0", "12 <... pwritev resumed>) = 300", send("a1")]),
    "the write was short": ("unwritten", [write("a1", result=299), SYNC, send("a1")]),
    "the write failed": ("unwritten", [write("a1").replace("= 300", "= -1 ENOSPC (No space left on device)"), SYNC, send("a1")]),
    "one of two": ("unsynced", [write("a2"), SYNC, write("a1"), send("a2", "a1")]),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound(case):
    what, lines = UNSOUND[case]
    findings, count = order.check(lines)
    assert count >= 1 and len(findings) == 1 and findings[0].startswith(f"{what}: a1"), findings


def test_program(tmp_path):
    trace = tmp_path / "trace"
    trace.write_text("\n".join([write("a1"), SYNC, send("a1")]) + "\n")
    assert order.main([str(trace)]) == 0
    trace.write_text(send("a1") + "\n")
    assert order.main([str(trace)]) == 1
    trace.write_text("")  # which proves nothing
    assert order.main([str(trace)]) == 1
    assert order.main([]) == 2

# SPDX-License-Identifier: Apache-2.0
"""Was every message on disk before it was acknowledged? Reads what strace saw of a daemon; knows nothing of the daemon.

A trace is made by

    strace -f -s 1000000 -e trace=pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,fdatasync,fsync -o TRACE liaisond ...

and its messages and acknowledgements must be in the clear: a plain listener, and control ids (MSH-10) that occur nowhere else.

The promise that is checked, for each `MSA|AA|CONTROL` that was handed to a socket:
  a write that held `|CONTROL|` had returned, whole, before
  a sync of the same descriptor began, which had returned 0 before
  the acknowledgement's send began.

Exit status: 0 the promise held, 1 it did not (one line per finding), 2 usage.
"""
import re
import sys

ENTRY = re.compile(r"(\w+)\((\d+)")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>")
RESULT = re.compile(r"\) += (-?\d+)[^\"]*$")
LENGTH = re.compile(r"iov_len=(\d+)")
PLAIN_LENGTH = re.compile(r"\", (\d+)(?:, \d+)?(?:\) |, <unfinished|<unfinished| <unfinished|$)")
ACCEPTED = re.compile(r"MSA\|AA\|([A-Za-z0-9-]+)")
HEADER = re.compile(r"MSH\|(?:[^|]*\|){8}([A-Za-z0-9-]+)\|")
WRITES = ("pwrite64", "pwritev", "pwritev2", "write", "writev")
SENDS = ("sendto", "sendmsg", "write", "writev")
SYNCS = ("fdatasync", "fsync")


class Call:
    __slots__ = ("name", "descriptor", "text", "began", "ended", "result")

    def __init__(self, name, descriptor, text, began):
        self.name, self.descriptor, self.text, self.began = name, descriptor, text, began
        self.ended = self.result = None

    def whole(self):
        """All of its bytes were written."""
        lengths = [int(one) for one in LENGTH.findall(self.text)]
        if not lengths:
            plain = PLAIN_LENGTH.findall(self.text)
            lengths = [int(plain[-1])] if plain else []
        return self.result is not None and lengths and self.result == sum(lengths)


def calls(lines):
    """Calls in the order in which they began; began and ended are numbers of lines."""
    found, open_calls = [], {}
    for number, line in enumerate(lines):
        thread, _, rest = line.partition(" ")
        rest = rest.lstrip()
        resumed = RESUMED.match(rest)
        entry = None if resumed else ENTRY.match(rest)
        if resumed:
            call = open_calls.pop(thread, None)
            if call is None or call.name != resumed[1]:
                continue
            call.text += rest[resumed.end():]
        elif entry:
            call = Call(entry[1], int(entry[2]), rest, number)
            found.append(call)
            if rest.rstrip().endswith("<unfinished ...>"):
                open_calls[thread] = call
                continue
        else:
            continue
        result = RESULT.search(rest)
        if result:
            call.ended, call.result = number, int(result[1])
    return found


def check(lines):
    """(findings, how many acknowledgements were judged)."""
    written = {}  # control -> [(when it was written, descriptor)]
    syncs = []  # that returned 0
    sends = []
    for call in calls(lines):
        if call.name in SYNCS:
            if call.result == 0:
                syncs.append(call)
            continue
        if call.name in SENDS:
            sends += [(control, call) for control in ACCEPTED.findall(call.text)]
        if call.name in WRITES and call.whole():
            for control in HEADER.findall(call.text):
                written.setdefault(control, []).append(call)
    findings = []
    for control, send in sends:
        writes = [one for one in written.get(control, ()) if one is not send and one.ended < send.began]
        if not writes:
            findings.append(f"unwritten: {control} was acknowledged in line {send.began + 1} and written nowhere before")
        elif not any(write.descriptor == sync.descriptor and write.ended < sync.began and sync.ended < send.began
                     for write in writes for sync in syncs):
            findings.append(f"unsynced: {control} was acknowledged in line {send.began + 1}, written in line {writes[0].ended + 1}, "
                            "and no sync of that file lies between")
    return findings, len(sends)


def main(arguments):
    if len(arguments) != 1:
        print(__doc__ + "\nusage: order.py TRACE", file=sys.stderr)
        return 2
    with open(arguments[0], encoding="latin-1") as trace:
        findings, count = check(trace.readlines())
    for finding in findings:
        print(finding)
    print(f"{count} acknowledgements: {len(findings)} findings")
    return 1 if findings or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

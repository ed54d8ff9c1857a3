# SPDX-License-Identifier: Apache-2.0
"""Did a destination get everything, once, and in order? Compares what a receiver saw with the order in which messages were taken; knows nothing of
the broker.

Two files of tab-separated lines:

  TAKEN     the messages that were to go there, in their order
              SEQ  SENDER  CONTROL  SHA256
  RECEIPTS  what the receiver saw and said, in its own order
              arrive  CONNECTION  SENDER  CONTROL  SHA256
              answer  CONNECTION  CONTROL  CODE     it is about to say so on that connection; CONTROL may be that of any message

The promise that is checked, for a window of so many messages:
  lost       every message arrived, and on the connection of its last arrival the receiver said AA, AE, CA or CE of it: nothing else settles it
  altered    what arrived under a control id is byte for byte what was taken under it
  unknown    nothing else arrived
  order      messages arrived for the first time in their order, and so did those of each connection
  doubled    more than one arrival only on different connections, and only of a message that was not settled, or was settled so lately that this
             need not have been written down when the sender was killed. A place in the window is given up behind the disk: with a window of 1
             nothing else arrives anywhere before that; with a larger one fewer than two windows, and a window for each connection since
  window     never more messages of a connection without an answer than the window
  late       (with --late, where what is on its way may arrive behind the end of its connection) on a connection that is not the newest, as many
             as the window may be doubles of anything; the answer that settles a message may have been said on any connection
  equal      never two messages of one control id without an answer on a connection

Exit status: 0 the promise held, 1 it did not (one line per finding), 2 usage.
"""
import sys
from collections import defaultdict

FINAL = ("AA", "AE", "CA", "CE")


class Arrival:
    __slots__ = ("key", "connection", "answered", "settled_at")

    def __init__(self, key, connection):
        self.key, self.connection = key, connection
        self.answered = False
        self.settled_at = None  # how many had arrived anywhere, and on how many connections, when it was settled


class Connection:
    def __init__(self):
        self.arrivals, self.latest, self.late = [], -1, 0

    def open(self):
        return [one for one in self.arrivals if not one.answered]


class Checker:
    def __init__(self, taken, window, late=False):
        self.window, self.late, self.findings = window, late, []
        self.newest = -1
        self.seqs, self.shas = {}, {}
        for line in taken:
            seq, sender, control, sha = line.rstrip("\n").split("\t")
            self.seqs[sender, control], self.shas[sender, control] = int(seq), sha
        self.connections = defaultdict(Connection)
        self.arrivals = defaultdict(list)
        self.latest = -1
        self.count = 0

    def tell(self, what, key, words):
        self.findings.append(f"{what}: {' '.join(key)} {words}")

    def arrive(self, number, key, sha):
        connection, seq = self.connections[number], self.seqs.get(key)
        self.newest = max(self.newest, int(number))
        if seq is None:
            self.tell("unknown", key, "arrived, and was not to go there")
            return
        if self.shas[key] != sha:
            self.tell("altered", key, "arrived with other bytes")
        if not self.arrivals[key] and seq < self.latest:
            self.tell("order", key, f"({seq}) arrived for the first time behind {self.latest}")
        self.latest = max(seq, self.latest)
        if seq < connection.latest:
            self.tell("order", key, f"({seq}) arrived behind {connection.latest} on connection {number}")
        connection.latest = max(seq, connection.latest)
        waiting = connection.open()
        if len(waiting) >= self.window:
            self.tell("window", key, f"arrived while {len(waiting)} were not answered")
        if any(one.key[1] == key[1] for one in waiting):
            self.tell("equal", key, "arrived while another of its id was not answered")
        if self.arrivals[key]:
            self.judge_double(key, number)
        self.count += 1
        arrival = Arrival(key, number)
        connection.arrivals.append(arrival)
        self.arrivals[key].append(arrival)

    def judge_double(self, key, number):
        connection = self.connections[number]
        if self.late and number != self.newest and not any(one.connection == number for one in self.arrivals[key]):
            connection.late += 1
            if connection.late <= self.window:
                return
        before = self.arrivals[key][-1]
        if any(one.connection == number for one in self.arrivals[key]):
            self.tell("doubled", key, f"arrived twice on connection {number}")
        elif before.settled_at is not None:
            behind, since = self.count - before.settled_at[0], len(self.connections) - before.settled_at[1]
            if behind > (0 if self.window == 1 else 2 * self.window - 2 + self.window * since):
                self.tell("doubled", key, f"arrived again; it had been settled before {behind} others came")

    def answer(self, number, control, code):
        connection = self.connections[number]
        for arrival in reversed(connection.arrivals):
            if arrival.key[1] == control:
                arrival.answered = True
                if code in FINAL and arrival.settled_at is None:
                    arrival.settled_at = (self.count, len(self.connections))
                return

    def end(self):
        for key, seq in self.seqs.items():
            if not self.arrivals[key]:
                self.tell("lost", key, f"({seq}) did not arrive")
            elif all(one.settled_at is None for one in self.arrivals[key][0 if self.late else -1:]):
                self.tell("lost", key, f"({seq}) was never settled by the receiver, and is not sent any more")
        return self.findings


def check(taken, receipts, window, late=False):
    checker = Checker(taken, window, late)
    for line in receipts:
        what, number, *rest = line.rstrip("\n").split("\t")
        if what == "arrive":
            checker.arrive(number, (rest[0], rest[1]), rest[2])
        elif what == "answer":
            checker.answer(number, *rest)
        else:
            raise ValueError(f"not a line of RECEIPTS: {line!r}")
    return checker.end()


def main(arguments):
    late = arguments[3:] == ["--late"]
    if len(arguments) != 3 + late or not arguments[2].isdigit():
        print(__doc__ + "\nusage: receipts.py TAKEN RECEIPTS WINDOW [--late]", file=sys.stderr)
        return 2
    with open(arguments[0], encoding="ascii") as taken, open(arguments[1], encoding="ascii") as receipts:
        taken, lines = taken.readlines(), receipts.readlines()
    findings = check(taken, lines, int(arguments[2]), late)
    for finding in findings:
        print(finding)
    arrived = sum(line.startswith("arrive") for line in lines)
    print(f"{len(taken)} messages, {arrived} arrivals, {arrived - len(taken)} more than once, "
          f"{len({line.split()[1] for line in lines})} connections: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

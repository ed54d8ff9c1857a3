# SPDX-License-Identifier: Apache-2.0
"""Was anything lost? Compares what senders saw with what arrived; knows nothing of the broker.

Two files of tab-separated lines:

  SENT     what each sender did and saw, in its own order
             send  SENDER  CONTROL  SHA256     the bytes were handed to a connection
             ack   SENDER  CONTROL  CODE       an acknowledgement came (AA, AE, AR)
             cut   SENDER                      the connection ended; what was not acknowledged is in doubt
  ARRIVED  the inbox, in its order
             SEQ  SENDER  CONTROL  SHA256

The promise that is checked:
  lost      every message acknowledged AA arrived
  altered   what arrived under a control id is byte for byte what was sent under it
  unknown   nothing arrived that nobody sent
  doubled   more than one arrival only of a message that was in doubt at a cut and sent again, and not more often than sent
  order     each sender's messages arrived in the order in which it first sent them, one inbox order for all

Exit status: 0 the promise held, 1 it did not (one line per finding), 2 usage.
"""
import sys
from collections import defaultdict


class Message:
    __slots__ = ("rank", "sha", "sends", "acked", "in_flight", "doubts")

    def __init__(self, rank, sha):
        self.rank, self.sha = rank, sha
        self.sends = self.doubts = 0
        self.acked = self.in_flight = False


def read_sent(lines):
    """SENDER -> CONTROL -> Message, and findings about the senders' own record."""
    senders, findings = defaultdict(dict), []
    for line in lines:
        what, sender, *rest = line.rstrip("\n").split("\t")
        messages = senders[sender]
        if what == "send":
            control, sha = rest
            message = messages.setdefault(control, Message(len(messages), sha))
            if message.sha != sha:
                findings.append(f"record: {sender} {control} was sent with two contents")
            message.sends += 1
            message.in_flight = True
        elif what == "ack":
            control, code = rest
            message = messages.get(control)
            if message is None or not message.in_flight:
                findings.append(f"unknown: {sender} got an acknowledgement for {control}, which was not in flight")
                continue
            message.in_flight = False
            if code == "AA":
                message.acked = True
        elif what == "cut":
            for message in messages.values():
                if message.in_flight:
                    message.in_flight = False
                    message.doubts += 1
        else:
            raise ValueError(f"not a line of SENT: {line!r}")
    return senders, findings


def check(sent_lines, arrived_lines):
    """All findings; none means that the promise held."""
    senders, findings = read_sent(sent_lines)
    arrivals = defaultdict(lambda: defaultdict(int))
    latest, last_seq = {}, -1
    for line in arrived_lines:
        seq, sender, control, sha = line.rstrip("\n").split("\t")
        if int(seq) <= last_seq:
            findings.append(f"order: the inbox lists {seq} behind {last_seq}")
        last_seq = int(seq)
        message = senders.get(sender, {}).get(control)
        if message is None:
            findings.append(f"unknown: {seq} is {sender} {control}, which nobody sent")
            continue
        if message.sha != sha:
            findings.append(f"altered: {seq} is {sender} {control} with other bytes")
        arrivals[sender][control] += 1
        if arrivals[sender][control] > 1:
            continue
        if message.rank < latest.get(sender, -1):
            findings.append(f"order: {seq} is {sender} {control}, which was sent before what arrived before it")
        latest[sender] = max(message.rank, latest.get(sender, -1))
    for sender, messages in senders.items():
        for control, message in messages.items():
            count = arrivals[sender][control]
            if message.acked and count == 0:
                findings.append(f"lost: {sender} {control} was acknowledged and did not arrive")
            if count > 1 and (message.doubts == 0 or count > message.sends):
                findings.append(f"doubled: {sender} {control} arrived {count} times, sent {message.sends}, in doubt {message.doubts}")
    return findings


def summary(sent_lines):
    senders, _ = read_sent(sent_lines)
    messages = [message for one in senders.values() for message in one.values()]
    return (f"{len(senders)} senders, {len(messages)} messages, {sum(m.acked for m in messages)} acknowledged, "
            f"{sum(m.doubts > 0 for m in messages)} in doubt at some cut")


def main(arguments):
    if len(arguments) != 2 or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="ascii") as sent, open(arguments[1], encoding="ascii") as arrived:
        sent_lines = sent.readlines()
        findings = check(sent_lines, arrived)
    for finding in findings:
        print(finding)
    print(f"{summary(sent_lines)}: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

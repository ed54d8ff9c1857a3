# SPDX-License-Identifier: Apache-2.0
"""What an operator does and sees: the control socket, and what the program `liaison` prints."""
import contextlib
import json
import os
import socket

from .hl7 import message
from .mllp import frame

ME = f"uid:{os.getuid()}("


def push(broker, authority, count=1, **options):
    """Send messages; their ids (L and the id is what an acknowledgement is called) and contents, in order."""
    contents, ids = [message(**options) for _ in range(count)], []
    with contextlib.closing(broker.mllp(authority.chu)) as sender:
        for start in range(0, count, 20):
            batch = contents[start:start + 20]
            sender.send(b"".join(frame(content) for content in batch))
            for content in batch:
                ack = sender.ack(30)
                assert (ack.code, ack.control) == ("AA", content.split(b"|")[9].decode())
                ids.append(int(ack.msh(10)[1:]))
    return ids, contents


def ask(broker, **line):
    """One request to the control socket; the objects that come back."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(30)
        one.connect(str(broker.folder / "control.sock"))
        one.sendall(json.dumps(line).encode() + b"\n")
        one.shutdown(socket.SHUT_WR)
        return [json.loads(row) for row in one.makefile("rb")]


def rows(broker, **line):
    answers = ask(broker, **line)
    assert answers[-1].get("ok"), answers[-1]
    return [one["row"] for one in answers[:-1]]


def queue(broker, name):
    return [one["id"] for one in rows(broker, command="queue", destination=name, limit=1000)]


def state(broker, name):
    return next(one for one in rows(broker, command="queue") if one["name"] == name)


def words(told):
    """WHAT of each hop that `show` prints."""
    return [line.split()[1] for line in told.stdout.splitlines() if line[:2] == "20"]

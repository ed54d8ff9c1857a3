# SPDX-License-Identifier: Apache-2.0
"""What lies in an inbox, read through the pull API as a DUI would: the list, then every message's bytes."""
import concurrent.futures
import hashlib
import threading

LIMIT = 1000


def listed(client, inbox):
    """All items that wait, in order."""
    items, after = [], 0
    while True:
        answer = client.items(inbox, after=after, limit=LIMIT)
        assert answer.status == 200, answer
        page = answer.json
        assert page["unreadable"] == [], page["unreadable"]
        items += page["items"]
        if not page["more"]:
            return items
        after = items[-1]["seq"]


def named(content):
    """(sender, control id) of a message: MSH-3 and MSH-10."""
    fields = content[:content.index(b"\r")].split(b"|")
    return fields[2].decode(), fields[9].decode()


def line(seq, content):
    """A line of ARRIVED."""
    sender, control = named(content)
    return f"{seq}\t{sender}\t{control}\t{hashlib.sha256(content).hexdigest()}\n"


def fetched(connect, items, threads=4):
    """The lines of ARRIVED for ``items``, whose bytes are read by several connections; each is held to what the list said of it."""
    local = threading.local()

    def fetch(item):
        if not hasattr(local, "client"):
            local.client = connect()
        answer = local.client.message(item["seq"])
        assert answer.status == 200, answer
        assert len(answer.body) == item["size"], (item, len(answer.body))
        assert hashlib.sha256(answer.body).hexdigest() == item["sha256"], item
        return line(item["seq"], answer.body)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fetch, items))

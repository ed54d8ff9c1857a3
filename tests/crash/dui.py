# SPDX-License-Identifier: Apache-2.0
"""A DUI that takes part of an inbox, again and again over the broker's deaths: it reads bytes, acknowledges them, and keeps what it took.

An acknowledgement that was answered must hold for ever; one whose answer never came is in doubt, and may hold or not.
"""
import http.client
import random
import ssl
import threading
import time

from liaison_harness.pull import Pull
from arrivals import line

PAGE = 40


class Dui(threading.Thread):
    def __init__(self, seed, port, identity, authority_pem, inbox):
        super().__init__(name="dui", daemon=True)
        self.rng = random.Random(seed)
        self.port, self.identity, self.authority_pem, self.inbox = port, identity, authority_pem, inbox
        self.kept = {}  # seq -> line of ARRIVED; acknowledged, and the broker said so
        self.doubt = {}  # seq -> line; acknowledged, and no answer came
        self.after = 0  # what lies before it was passed over for good
        self.found = []  # broken promises
        self.ending = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ending.is_set():
                try:
                    client = Pull(self.port, self.identity, self.authority_pem, seconds=60)
                    while not self.ending.is_set():
                        self.step(client)
                except (OSError, ssl.SSLError, http.client.HTTPException):
                    time.sleep(0.05)
        except BaseException as failure:
            self.failure = failure

    def step(self, client):
        answer = client.items(self.inbox, after=self.after, limit=PAGE, wait=1)
        if answer.status != 200:
            raise OSError("not now")
        seqs = [item["seq"] for item in answer.json["items"]]
        back = [seq for seq in seqs if seq in self.kept]
        if back:
            self.found.append(f"came back: {back} were acknowledged and are listed again")
        taken = {}
        for seq in self.rng.sample(seqs, len(seqs) // 2):
            content = client.message(seq)
            if content.status != 200:
                raise OSError("not now")
            taken[seq] = line(seq, content.body)
        if taken:
            self.doubt.update(taken)
            answer = client.ack(self.inbox, accepted=sorted(taken))
            if answer.status != 200:
                raise OSError("not now")
            results = {one["seq"]: one for one in answer.json["results"]}
            for seq in taken:
                if "accepted" in (results[seq]["result"], results[seq].get("standing")):
                    self.kept[seq] = self.doubt.pop(seq)
                else:
                    self.found.append(f"not settled: {results[seq]} for an item that was listed")
        # Some stay behind for good, others are seen again.
        if seqs and self.rng.random() < 0.7:
            self.after = max(seqs)
        time.sleep(0.01)

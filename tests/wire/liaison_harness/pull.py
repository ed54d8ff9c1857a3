# SPDX-License-Identifier: Apache-2.0
"""A reader of inboxes over HTTPS: Debian's own http.client, nothing of the broker's. Each answer must be as conf/doc/openapi.yaml says."""
import http.client
import json

from . import openapi
from .mllp import client_context

PATIENCE = 70  # a long poll lasts up to 60 s


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        assert "json" in self.headers.get("content-type", ""), self.headers
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:400]!r}>"


class Pull:
    def __init__(self, port, identity, authority_pem, seconds=PATIENCE):
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=seconds,
                                                      context=client_context(identity, authority_pem))

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body=body, headers=headers or {})
        answer = Answer(self.connection.getresponse())
        openapi.check(method, path, answer)
        return answer

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, value, **headers):
        return self.request("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def inboxes(self):
        return self.get("/v1/inboxes")

    def items(self, inbox, **query):
        text = "&".join(f"{key}={value}" for key, value in query.items())
        return self.get(f"/v1/inboxes/{inbox}/items" + (f"?{text}" if text else ""))

    def message(self, seq):
        return self.get(f"/v1/messages/{seq}")

    def document(self, seq, number):
        return self.get(f"/v1/messages/{seq}/documents/{number}")

    def ack(self, inbox, accepted=(), rejected=()):
        return self.post(f"/v1/inboxes/{inbox}/ack", {"accepted": list(accepted), "rejected": list(rejected)})

    def close(self):
        self.connection.close()

# SPDX-License-Identifier: Apache-2.0
"""The description of the pull API says what the code does: the same routes, and of each the same statuses."""
import subprocess

import jsonschema
import pytest

from liaison_harness import LIAISOND, openapi


def routes_of_the_code():
    """(method, path) -> statuses, with what any request can get under ANY and what none takes under NONE."""
    done = subprocess.run([LIAISOND, "--routes"], capture_output=True, text=True, check=True, timeout=60)
    rows = (row.split() for row in done.stdout.splitlines())
    return {(row[0], row[1]): set(row[2:]) for row in rows}


def test_every_route_and_status_of_the_code_is_described_and_no_other():
    code = routes_of_the_code()
    any_request, no_route = code.pop(("ANY", "*")), code.pop(("NONE", "*"))
    described = {key: set(operation["responses"]) for key, operation in openapi.operations().items()}
    assert described == {key: statuses | any_request for key, statuses in code.items()}
    assert set(openapi.DESCRIPTION["x-no-route"]["responses"]) == no_route | any_request


def test_the_schemas_are_schemas():
    for schema in openapi.DESCRIPTION["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_object_of_an_answer_is_closed():
    """A member that nobody described cannot slip in."""
    def objects(schema):
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for one in schema.values():
                yield from objects(one)
        elif isinstance(schema, list):
            for one in schema:
                yield from objects(one)
    found = list(objects(openapi.DESCRIPTION["components"]))
    assert len(found) > 5
    assert all(one.get("additionalProperties") is False for one in found)


@pytest.mark.parametrize("change", [
    {"more": "yes"}, {"items": [{"seq": 1}]}, {"surplus": 1}, {"unreadable": [0]}])
def test_the_schemas_refuse(change):
    schema = openapi.DESCRIPTION["components"]["schemas"]["Page"]
    good = {"inbox": "a", "items": [], "more": False, "unreadable": []}
    jsonschema.Draft202012Validator(schema).validate(good)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**good, **change})


class Answer:
    """One that is as described, but for what is given."""

    def __init__(self, status=200, body=b'{"inboxes":[]}', **headers):
        self.status, self.body = status, body
        self.headers = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff",
                        "date": "now", **{name.replace("_", "-"): value for name, value in headers.items()}}


PROBLEM = b'{"type":"urn:liaison:problem:overload","title":"Busy","status":503,"detail":"Busy.","code":"overload"}'


def test_an_answer_as_described():
    openapi.check("GET", "/v1/inboxes", Answer())
    openapi.check("GET", "/v1/inboxes", Answer(503, PROBLEM, content_type="application/problem+json", retry_after="5"))


@pytest.mark.parametrize("answer", [
    Answer(206), Answer(body=b"{}"), Answer(body=b'{"inboxes":[],"more":1}'), Answer(content_type="text/html"),
    Answer(cache_control="public"), Answer(503, PROBLEM, content_type="application/problem+json"),
    Answer(503, PROBLEM.replace(b"503", b"500"), content_type="application/problem+json", retry_after="5"),
    Answer(503, PROBLEM, content_type="application/problem+json", retry_after="soon"),
], ids=["status", "member missing", "member too many", "media type", "cache", "no retry", "other status within", "retry"])
def test_an_answer_that_is_not_as_described(answer):
    with pytest.raises((AssertionError, ValueError, jsonschema.ValidationError)):
        openapi.check("GET", "/v1/inboxes", answer)

# SPDX-License-Identifier: Apache-2.0
"""The pull API's description: what it says of a request's answer, and whether an answer is so."""
import json
import re

import jsonschema
import yaml

from . import SOURCE

FILE = SOURCE / "conf" / "doc" / "openapi.yaml"


def resolve(part, document):
    """``part`` with every reference replaced by what it means."""
    if isinstance(part, list):
        return [resolve(one, document) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        meant = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            meant = meant[step]
        return {**resolve(meant, document), **{key: one for key, one in part.items() if key != "$ref"}}
    return {key: resolve(one, document) for key, one in part.items()}


_document = yaml.safe_load(FILE.read_text())
DESCRIPTION = resolve(_document, _document)
METHODS = ("get", "head", "post", "put", "delete", "patch", "options")


def operations():
    """(method, path) -> the operation."""
    return {(method.upper(), path): item[method]
            for path, item in DESCRIPTION["paths"].items() for method in METHODS if method in item}


def path_of(target):
    """The described path that ``target`` is one of, or None."""
    wanted = target.partition("?")[0]
    for path in DESCRIPTION["paths"]:
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), wanted):
            return path
    return None


def response_of(method, target, status):
    """What the description says of this status, or None."""
    operation = operations().get((method, path_of(target))) or DESCRIPTION["x-no-route"]
    return operation["responses"].get(str(status))


def number_or_text(value, schema):
    return int(value) if schema.get("type") == "integer" else value


def check(method, target, answer):
    """Fail when ``answer`` is not as described."""
    about = f"{method} {target}: {answer}"
    response = response_of(method, target, answer.status)
    assert response, f"status not described: {about}"
    for name, header in response.get("headers", {}).items():
        value = answer.headers.get(name.lower())
        assert value is not None, f"no {name}: {about}"
        jsonschema.validate(number_or_text(value, header["schema"]), header["schema"])
    if method == "HEAD":
        assert answer.body == b"", about
        return
    media = answer.headers.get("content-type", "").partition(";")[0]
    content = response.get("content", {})
    assert media in content or "*/*" in content, f"media type not described: {about}"
    if media in content and media.endswith("json"):
        jsonschema.Draft202012Validator(content[media]["schema"]).validate(json.loads(answer.body))
    for name, value in (("cache-control", "no-store"), ("x-content-type-options", "nosniff")):
        assert answer.headers.get(name) == value, f"{name}: {about}"
    assert "date" in answer.headers, about

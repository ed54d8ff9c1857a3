# SPDX-License-Identifier: Apache-2.0
"""What the code logs keeps to the shipped grammar: keys of its form, events of the catalogue, none of which is never logged."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = [p for p in sorted((ROOT / "broker").rglob("*.c")) if p.name not in ("log_line.c", "log.c")]
CALL = re.compile(r'\blog_(?:u64|i64|text|span)\(\s*[^,]+,\s*("?[^",]*"?),', re.S)


def grammar(name):
    lines = (ROOT / "conf/log-grammar.txt").read_text().splitlines()
    return re.compile(next(line.split(" ", 1)[1] for line in lines if line.startswith(name + " ")))


def test_keys_have_the_form_of_the_grammar():
    field, seen = grammar("field"), 0
    for source in SOURCES:
        for key in CALL.findall(source.read_text()):
            if not key.startswith('"'):
                continue  # handed on by a function whose callers are here too
            assert field.fullmatch(f"{key[1:-1]}=x"), f"{source.name}: {key}"
            seen += 1
    assert seen > 50


def test_every_event_is_logged_somewhere():
    catalogue = re.findall(r"^EVENT\((\w+),", (ROOT / "broker/base/events.def").read_text(), re.M)
    code = "".join(p.read_text() for p in (ROOT / "broker").rglob("*.c"))
    never = [name for name in catalogue if not re.search(rf"\bEVENT_{name}\b", code)]
    assert never == []


def test_a_line_splits_into_its_fields():
    line = r'2026-11-21T18:57:11.084+01:00 warning refused id=4711 peer=chu-lyon why="a \"b\" c=d\x01" n=""'
    assert grammar("line").fullmatch(line)
    assert [m[:2] for m in grammar("field").findall(line)] == [
        ("id", "4711"), ("peer", "chu-lyon"), ("why", r'"a \"b\" c=d\x01"'), ("n", '""')]
    for broken in (line + "\n", line + ' x="', line.replace("warning", "warn"), line + " x=a\tb", line + ' x="\\q"'):
        assert not grammar("line").fullmatch(broken)

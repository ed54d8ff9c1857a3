# SPDX-License-Identifier: Apache-2.0
"""The broker's log, read by the grammar that ships with it."""
import re

from . import SOURCE

GRAMMAR = {}
for _row in (SOURCE / "conf" / "log-grammar.txt").read_text().splitlines():
    if _row and not _row.startswith("#"):
        _name, _, _pattern = _row.partition(" ")
        GRAMMAR[_name] = re.compile(_pattern)

_ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|(.))')
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def unquote(value):
    if not value.startswith('"'):
        return value
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _PLAIN.get(m[2], m[2]), value[1:-1])


class Line:
    def __init__(self, row):
        assert GRAMMAR["line"].match(row), f"not a line of the log's grammar: {row!r}"
        self.row = row
        self.time, self.level, self.event = row.split()[:3]
        self.fields = {m[1]: unquote(m[2]) for m in GRAMMAR["field"].finditer(row)}

    def __getitem__(self, key):
        return self.fields[key]

    def get(self, key, default=None):
        return self.fields.get(key, default)

    def is_(self, event, **fields):
        return self.event == event and all(self.fields.get(key) == str(value) for key, value in fields.items())

    def __repr__(self):
        return self.row


def parse(content):
    """Whole lines only: the last one may still be in the making."""
    return [Line(row) for row in content[:content.rfind("\n") + 1].splitlines()]

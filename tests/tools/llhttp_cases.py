# SPDX-License-Identifier: Apache-2.0
"""Cases out of llhttp's Markdown test files: (file name, case title, bytes).

Its notation: a block's line ends are CRLF, a backslash at a line's end joins lines, \\r \\n \\t \\f \\xNN are those bytes, the last
line end of a block does not count. Requests without a Host field get one and a fragment in the target goes, because the cases
are not about these.
"""
import re

HOST = b"Host: localhost\r\n"
FRAGMENT = re.compile(rb"(?m)^([A-Z]+ [^ #]+)#[^ ]* HTTP")
REQUEST_LINE = re.compile(rb"(?m)^[A-Z]+ \S+ +HTTP/1\.1\r\n")


def unescape(block):
    block = re.sub(r"\n\Z", "", block)
    block = re.sub(r"\\\n", "", block).replace("\n", "\r\n")
    for escape, byte in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
        block = block.replace(escape, byte)
    block = re.sub(r"\\x([0-9a-fA-F]{1,2})", lambda m: chr(int(m.group(1), 16)), block)
    return block.encode("latin-1")


def with_host(data):
    out, at = b"", 0
    data = FRAGMENT.sub(rb"\1 HTTP", data)
    for m in REQUEST_LINE.finditer(data):
        head = data[m.end():].split(b"\r\n\r\n")[0]
        out += data[at:m.end()]
        if not re.search(rb"(?im)^host[ \t]*:", head):
            out += HOST
        at = m.end()
    return out + data[at:]


def cases(path, kinds=("request",)):
    """Those of ``kinds``; a response stays as it is."""
    title, seen = None, {}
    lines = path.read_text(encoding="utf-8").split("\n")
    kind, block = None, None
    for line in lines:
        if block is not None:
            if line.startswith("```"):
                if kind and kind.startswith(kinds):
                    n = seen[title] = seen.get(title, 0) + 1
                    data = unescape("\n".join(block) + "\n")
                    yield path.name, title if n == 1 else f"{title} ({n})", with_host(data) if kind.startswith("request") else data
                block, kind = None, None
            else:
                block.append(line)
        elif line.startswith("#"):
            title = line.lstrip("#").strip()
        elif "meta=" in line:
            kind = re.search(r'"type": "([^"]+)"', line).group(1)
        elif line.startswith("```http"):
            block = []

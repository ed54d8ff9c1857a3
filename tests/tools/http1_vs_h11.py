#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our request reader beside Debian's python3-h11, on our vectors and, where they are, on llhttp's cases.

Both must take or refuse alike and see the same requests and bodies. Where they differ, the difference stands with its reason in
tests/vectors/http1/h11_differences.tsv; one listed that is not there any more is a failure too. llhttp's cases are held to
tests/vectors/http1/llhttp_verdicts.tsv as well.

usage: http1_vs_h11.py DUMP SOURCE_ROOT     exit status 77: h11 is not installed
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from llhttp_cases import cases  # noqa: E402

try:
    import h11
except ImportError:
    print("skipped: python3-h11 is not installed")
    sys.exit(77)


def ours(dump, data, piece):
    out = subprocess.run([dump, str(piece)], input=data, stdout=subprocess.PIPE, check=True).stdout.decode("latin-1")
    lines = [line for line in out.split("\n") if line]
    requests = [line for line in lines[:-1] if line.endswith(".")]
    return lines[-1], requests


def theirs(data):
    connection = h11.Connection(our_role=h11.SERVER, max_incomplete_event_size=16384)
    requests, current = [], None
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                current = f"request {event.method.decode()} {event.target.decode('latin-1')} "
            elif isinstance(event, h11.Data):
                current += bytes(event.data).hex()
            elif isinstance(event, h11.EndOfMessage):
                requests.append(current + ".")
                current = None
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return "ok", requests
                connection.start_next_cycle()
            elif event is h11.NEED_DATA:
                idle = current is None and not connection.trailing_data[0]
                return "ok" if idle else "more", requests
            elif event is h11.PAUSED:
                return "ok", requests
            else:
                return "ok", requests
    except h11.RemoteProtocolError as error:
        return f"refused {error.error_status_hint} {error}", requests


def table(path):
    rows = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            key, value, *_ = line.split("\t")
            rows[key] = value
    rows.pop("file", None)
    rows.pop("case", None)
    return rows


def short(verdict):
    return verdict.split()[1] if verdict.startswith("refused") else verdict


def kind(verdict):
    return verdict.split()[0]


def inputs(root):
    for path in sorted((root / "tests/vectors/http1").glob("*.http")):
        yield path.name, path.read_bytes()
    corpus = root / "../shared/samples/corpora/http"
    if not corpus.is_dir():
        print("llhttp's cases skipped: ../shared/samples is absent")
        return
    for path in sorted(corpus.glob("*request*.md")):
        for name, title, data in cases(path):
            yield f"{name}: {title}", data


def main():
    dump, root = sys.argv[1], pathlib.Path(sys.argv[2])
    vectors = root / "tests/vectors/http1"
    listed = table(vectors / "h11_differences.tsv")
    expected = table(vectors / "llhttp_verdicts.tsv")
    wrong, differing, count = [], set(), 0
    for name, data in inputs(root):
        count += 1
        ours_verdict, ours_requests = ours(dump, data, 0)
        if ours(dump, data, 3) != (ours_verdict, ours_requests):
            wrong.append(f"{name}: cut in threes gives something else than whole")
        if ".md: " in name and short(ours_verdict) != expected.get(name):
            wrong.append(f"{name}: {ours_verdict}, wanted {expected.get(name)}")
        h11_verdict, h11_requests = theirs(data)
        if (kind(ours_verdict), ours_requests) == (kind(h11_verdict), h11_requests):
            continue
        differing.add(name)
        if name not in listed:
            wrong.append(f"{name}: ours {ours_verdict} {len(ours_requests)}, h11 {h11_verdict} {len(h11_requests)}")
        elif kind(listed[name]) != kind(h11_verdict):
            wrong.append(f"{name}: h11 says {h11_verdict}, listed as {listed[name]}")
    seen_llhttp = any(".md: " in name for name, _ in inputs(root))
    for name in sorted(set(listed) - differing):
        if ".md: " not in name or seen_llhttp:
            wrong.append(f"{name}: listed as a difference, but there is none")
    print(f"{count} inputs, {len(differing)} differ as listed" if not wrong else "\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

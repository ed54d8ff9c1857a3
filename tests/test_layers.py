# SPDX-License-Identifier: Apache-2.0
"""The checker of the layers: this tree passes, and each of many trees broken on purpose is told with its place."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKER = ROOT / "tests" / "layers"

# A small tree in order, one file per layer.
SOUND = {
    "README.md": "x\n",
    "meson.build": "",
    "codecs/span.h": "#include <stdint.h>\n",
    "codecs/hl7.h": '#include "codecs/span.h"\n',
    "codecs/xml.c": "#include <libxml/parser.h>\n",
    "broker/base/config.c": '#include <libconfig.h>\n#include "codecs/span.h"\n',
    "broker/base/config.h": "",
    "broker/store/journal.h": '#include <sqlite3.h>\n#include "broker/base/config.h"\n',
    "broker/core/core.h": '#include "broker/store/journal.h"\n#include "codecs/span.h"\n',
    "broker/content/content.h": '#include "broker/core/core.h"\n#include "codecs/hl7.h"\n',
    "broker/views/trace.h": '#include <sqlite3.h>\n#include "broker/core/core.h"\n',
    "broker/net/link.h": '#include <event2/event.h>\n#include <openssl/ssl.h>\n#include "broker/views/trace.h"\n',
    "broker/doors/mllp.c": '#include "broker/net/link.h"\n#include "broker/doors/door.h"\n',
    "broker/doors/door.h": "",
    "broker/doors/control.c": "#include <event2/bufferevent.h>\n",
    "broker/doors/control_show.c": "#include <event2/buffer.h>\n",
    "broker/senders/mllp.h": '#include "broker/net/link.h"\n',
    "broker/cli/send.c": '#include <openssl/ssl.h>\n#include <sys/socket.h>\n#include "broker/net/link.h"\n',
    "broker/liaisond.c": '#include "broker/doors/door.h"\n#include "broker/senders/mllp.h"\n#include "broker/base/config.h"\n',
}

# What is broken: path, its content (None: take the path away), and what must be said of it.
BROKEN = [
    ("codecs/a.c", '#include "broker/base/config.h"\n', "codecs/a.c:1: codecs may not include base"),
    ("codecs/a.c", '#include <stdint.h>\n\n  #  include "broker/core/core.h"\n', "codecs/a.c:3: codecs may not include core"),
    ("codecs/a.c", "#include <sys/socket.h>\n", "codecs/a.c:1: codecs do no I/O"),
    ("codecs/a.c", "#include <pthread.h>\n", "codecs/a.c:1: codecs do no I/O"),
    ("codecs/a.c", "#include <time.h>\n", "codecs/a.c:1: codecs do no I/O"),
    ("codecs/a.c", "#include <openssl/ssl.h>\n", "codecs/a.c:1: <openssl/ssl.h> belongs to cli, net, not to codecs"),
    ("broker/base/a.h", '#include "broker/store/journal.h"\n', "broker/base/a.h:1: base may not include store"),
    ("broker/store/a.c", '#include "broker/core/core.h"\n', "broker/store/a.c:1: store may not include core"),
    ("broker/core/a.c", '#include "broker/content/content.h"\n', "broker/core/a.c:1: core may not include content"),
    ("broker/core/a.c", '#include "broker/views/trace.h"\n', "broker/core/a.c:1: core may not include views"),
    ("broker/core/a.c", '#include "codecs/hl7.h"\n', "broker/core/a.c:1: core knows no format"),
    ("broker/core/a.c", "#include <netinet/in.h>\n", "broker/core/a.c:1: core knows no socket"),
    ("broker/core/a.c", "#include <sys/epoll.h>\n", "broker/core/a.c:1: core knows no socket"),
    ("broker/content/a.c", '#include "broker/net/link.h"\n', "broker/content/a.c:1: content may not include net"),
    ("broker/views/a.c", '#include "broker/net/link.h"\n', "broker/views/a.c:1: views may not include net"),
    ("broker/net/a.c", '#include "broker/doors/door.h"\n', "broker/net/a.c:1: net may not include doors"),
    ("broker/doors/a.c", '#include "broker/senders/mllp.h"\n', "broker/doors/a.c:1: doors may not include senders"),
    ("broker/senders/a.c", '#include "broker/doors/door.h"\n', "broker/senders/a.c:1: senders may not include doors"),
    ("broker/cli/a.c", '#include "broker/doors/door.h"\n', "broker/cli/a.c:1: cli may not include doors"),
    ("broker/doors/a.c", "#include <openssl/ssl.h>\n", "broker/doors/a.c:1: <openssl/ssl.h> belongs to cli, net"),
    ("broker/doors/mllp.h", "#include <event2/event.h>\n", "broker/doors/mllp.h:1: <event2/event.h> belongs to"),
    ("broker/net/a.c", "#include <sqlite3.h>\n", "broker/net/a.c:1: <sqlite3.h> belongs to store, views"),
    ("broker/net/a.c", "#include <libconfig.h>\n", "broker/net/a.c:1: <libconfig.h> belongs to base"),
    ("broker/net/a.c", "#include <glib.h>\n", "broker/net/a.c:1: <glib.h> is of no library"),
    ("broker/doors/a.c", '#include "door.h"\n', 'broker/doors/a.c:1: "door.h" is not a file of the tree'),
    ("broker/doors/a.c", '#include "broker/doors/../net/link.h"\n', "is not a file of the tree"),
    ("broker/doors/a.c", "#include WHAT\n", "broker/doors/a.c:1: an include by macro"),
    ("broker/doors/a.c", '#include "broker/liaisond.h"\n', "doors may not include main"),
    ("broker/plugins/a.c", "int a;\n", "broker/plugins/a.c:1: broker/plugins is no layer"),
    ("scripts/a.sh", "true\n", "scripts:1: the top level does not hold this"),
    ("Makefile", "all:\n", "Makefile:1: the top level does not hold this"),
    ("broker/net/long.c", "int a;\n" * 601, "broker/net/long.c:601: 601 lines"),
    ("tests/long.py", "a = 1\n" * 601, "tests/long.py:601: 601 lines"),
]


def run(root):
    return subprocess.run([CHECKER, "--root", root], capture_output=True, text=True, timeout=60)


def plant(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def tree(tmp_path):
    plant(tmp_path, SOUND)
    return tmp_path


def test_this_tree():
    done = run(ROOT)
    assert done.returncode == 0, done.stdout


def test_sound_tree(tree):
    done = run(tree)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path, text, said", BROKEN, ids=[f"{path}-{n}" for n, (path, _, _) in enumerate(BROKEN)])
def test_broken_tree(tree, path, text, said):
    plant(tree, {"broker/liaisond.h": "", path: text})
    done = run(tree)
    assert done.returncode == 1
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == 1, "one break, one line"


@pytest.mark.parametrize("path, text", [
    ("codecs/code_table.c", "/* */\n" * 5000),
    ("broker/net/link_accept.c", "int a;\n" * 600),
    ("build-clang/x", ""),
    (".ci/run", ""),
    ("LICENSE", ""),
    ("broker/core/b.c", '#include "codecs/span.h"\n// #include "broker/doors/door.h"\n'),
])
def test_allowed(tree, path, text):
    plant(tree, {path: text})
    assert run(tree).returncode == 0


def test_nothing_to_read(tmp_path):
    assert run(tmp_path).returncode == 2


def test_not_a_folder(tmp_path):
    assert run(tmp_path / "absent").returncode == 2

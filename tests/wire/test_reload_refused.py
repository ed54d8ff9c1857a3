# SPDX-License-Identifier: Apache-2.0
"""What a reload cannot use is refused, with its reasons, and nothing changes: no link ends, and the old configuration goes on."""
import datetime
import shutil
import socket

import pytest

from liaison_harness.authority import BOTH, Identity
from liaison_harness.hl7 import message


def change(**settings):
    def make(broker, folder):
        for name, value in settings.items():
            getattr(broker.configuration, name).update(value)
        broker.write()
    return make


def syntax(broker, folder):
    broker.file.write_text(broker.file.read_text() + "\nwhatever = = ;\n")


def unknown(broker, folder):
    broker.configuration.routes.append({"name": "nowhere", "to": ["nowhere"]})
    broker.write()


def gone(broker, folder):
    broker.file.unlink()


def with_files(edit):
    """The broker's own key and certificate, at places of their own, spoilt by ``edit``."""
    def make(broker, folder):
        own = Identity(folder, "own", broker.server.certificate, broker.server.key)
        broker.configuration.tls |= {"certificate": str(own.pem), "key": str(own.key_file)}
        edit(broker, own)
        broker.write()
    return make


def other_key(broker, own):
    shutil.copyfile(broker.authority.chu.key_file, own.key_file)


def open_key(broker, own):
    own.key_file.chmod(0o644)


def client_only(broker, own):
    """Good for no server."""
    for part in ("pem", "key_file"):
        shutil.copyfile(getattr(broker.authority.chu, part), getattr(own, part))


def ended(broker, own):
    old = broker.authority.issue("reload-old", usage=BOTH, since=-datetime.timedelta(hours=3), until=-datetime.timedelta(hours=1))
    for part in ("pem", "key_file"):
        shutil.copyfile(getattr(old, part), getattr(own, part))


def spoilt_crl(broker, folder):
    crl = folder / "crl.pem"
    text = broker.authority.crl().decode()
    crl.write_text(text.replace(text[80:100], "A" * 20))
    broker.configuration.tls |= {"crls": str(crl)}
    broker.write()


def no_crl(broker, folder):
    broker.configuration.tls |= {"crls": str(folder / "nowhere.pem")}
    broker.write()


def occupied(broker, folder):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    broker.taken = taken  # as long as the broker
    broker.configuration.listeners += [
        {"name": "free", "protocol": "mllp", "address": "127.0.0.1", "port": 0},
        {"name": "taken", "protocol": "mllp", "address": "127.0.0.1", "port": taken.getsockname()[1]}]
    broker.write()


def unchecked(broker, folder):
    broker.configuration.tls |= {"revocation": "checked"}
    broker.write()


BAD = {
    "syntax": (syntax, "syntax error"),
    "reference": (unknown, 'there is no inbox or destination "nowhere"'),
    "file": (gone, "No such file or directory"),
    "key that does not fit": (with_files(other_key), "key"),
    "key that others read": (with_files(open_key), "others than its owner may read it"),
    "certificate of a client": (with_files(client_only), "own.pem"),
    "certificate that has ended": (with_files(ended), "own.pem"),
    "spoilt revocation list": (spoilt_crl, "crl.pem"),
    "absent revocation list": (no_crl, "nowhere.pem"),
    "nobody checks": (unchecked, 'revocation = "unchecked"'),
    "occupied port": (occupied, "listener taken: port"),
    "state": (change(top={"state": "/nowhere"}), "state"),
    "segments": (change(journal={"segment_size": "8M"}), "journal.segment_size is read at start only: restart"),
    "retention": (change(journal={"retention": "30d"}), "journal.retention is read at start only: restart"),
    "workers": (change(limits={"workers": 3}), "limits.workers is read at start only: restart"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_changes_nothing(case, broker, authority, tmp_path):
    spoil, reason = BAD[case]
    chu = broker.mllp(authority.chu)
    assert chu.ask(message()).code == "AA"
    good = broker.file.read_text()
    settings = broker.configuration
    settings.peers[0]["max_size"] = "2K"  # what the refused one would bring
    spoil(broker, tmp_path)
    assert reason in broker.refused()
    assert chu.ask(message(filler=5000)).code == "AA", "the old one goes on"
    assert broker.mllp(authority.chu).ask(message(filler=5000)).code == "AA"
    assert not broker.log("disconnected", end="revoked")
    assert not broker.log("reloaded") and not broker.log("listening", listener="free")
    # and once it is mended it is taken
    broker.file.write_text(good)
    assert broker.liaison("reload").returncode == 0
    assert chu.ask(message()).code == "AA"

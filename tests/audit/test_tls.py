# SPDX-License-Identifier: Apache-2.0
"""The judge of testssl.sh's findings: it convicts a server that speaks what it should not, and a run that did not look."""
import pathlib
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))

import tls  # noqa: E402
from liaison_harness.authority import SERVER, Authority  # noqa: E402


def finding(name, severity, said="x"):
    return {"id": name, "severity": severity, "finding": said}


def test_judgement():
    fine = [finding("TLS1_2", "OK"), finding("x", "INFO"), finding("y", "DEBUG")]
    assert tls.judge(fine) == ([], [], [])
    bad, inevitable, unseen = tls.judge(fine + [finding("DNS_CAArecord", "LOW", "--")], {"TLS1_2"})
    assert (bad, [one[0] for one in inevitable], unseen) == ([], ["DNS_CAArecord"], [])


@pytest.mark.parametrize("severity", ["LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"])
def test_whatever_is_above_info_is_told(severity):
    assert tls.judge([finding("RC4", severity)])[0] == [("RC4", severity, "x", None)]


def test_what_may_stand_is_known_to_the_letter():
    """The same check with another result is another finding."""
    assert tls.judge([finding("DNS_CAArecord", "LOW", "not there")])[0]
    assert tls.judge([finding("DNS_CAArecord2", "LOW", "--")])[0]


def test_what_was_not_looked_at_is_told():
    assert tls.judge([finding("TLS1", "OK")], {"TLS1", "TLS1_1"})[2] == ["TLS1_1"]


def test_a_server_of_old_is_convicted(tmp_path):
    """OpenSSL's own, made to speak TLS 1.0 and 1.1 and to encrypt nothing."""
    authority = Authority(tmp_path)
    own = authority.issue("old", usage=SERVER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", own.pem, "-key", own.key_file, "-quiet",
                               "-min_protocol", "TLSv1", "-cipher", "ALL:eNULL:@SECLEVEL=0"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.05)
        bad, _, unseen = tls.judge(tls.findings_of(*tls.start(port, authority.pem, tmp_path, ["-p", "-s"])), tls.LOOKED_AT["protocols"])
    finally:
        server.kill()
        server.wait()
    assert unseen == []
    assert {"TLS1", "TLS1_1", "cipherlist_NULL"} <= {one[0] for one in bad}


def test_nobody_there_is_no_clean_bill(tmp_path):
    authority = Authority(tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            found = tls.findings_of(*tls.start(nobody.getsockname()[1], authority.pem, tmp_path, ["-p"]))
        except RuntimeError:
            return
    bad, _, unseen = tls.judge(found, tls.LOOKED_AT["protocols"])
    assert bad or unseen

# SPDX-License-Identifier: Apache-2.0
"""What a peer with a good certificate may ask of TLS and does not get: renegotiation, early data, a session of another listener."""
import re
import socket
import subprocess
import time

import pytest
from OpenSSL import SSL

from liaison_harness.hl7 import message
from liaison_harness.mllp import frame


def connection(broker, authority):
    """pyOpenSSL's, for what Python's own does not offer; TLS 1.2: 1.3 knows no renegotiation."""
    context = SSL.Context(SSL.TLSv1_2_METHOD)
    context.use_certificate_file(str(authority.chu.pem))
    context.use_privatekey_file(str(authority.chu.key_file))
    context.load_verify_locations(str(authority.pem))
    raw = socket.create_connection(("127.0.0.1", broker.ports["mllp"]), 10)
    raw.settimeout(None)
    made = SSL.Connection(context, raw)
    made.set_connect_state()
    made.do_handshake()
    return made


def test_renegotiation_is_refused(broker, authority):
    client = connection(broker, authority)
    client.sendall(frame(message("BEFORE")))
    assert b"MSA|AA|BEFORE" in client.recv(4096)
    assert client.renegotiate()
    try:
        client.do_handshake()
        client.sendall(frame(message("BEHIND")))
        client.recv(4096)
    except SSL.Error as error:
        assert "no renegotiation" in str(error)
    assert client.total_renegotiations() == 1, "asked for"
    assert client.renegotiate_pending(), "and not had"
    client.close()
    assert broker.mllp(authority.chu).ask(message("ANOTHER")).code == "AA"


def s_client(broker, authority, *words, sent=b""):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.ports['mllp']}", "-CAfile", authority.pem, "-cert", authority.chu.pem,
               "-key", authority.chu.key_file, "-tls1_3", *words]
    process = subprocess.Popen([str(one) for one in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdin.write(sent)
    process.stdin.flush()
    time.sleep(1)  # the ticket comes behind the handshake
    return process.communicate(timeout=20)[0].decode("latin-1")


def test_early_data_is_not_offered(broker, authority, tmp_path):
    """A ticket says how much may be sent ahead of the handshake: nothing. Replays of 0-RTT data would be messages sent twice."""
    session, ahead = tmp_path / "session", tmp_path / "ahead"
    told = s_client(broker, authority, "-sess_out", session)
    assert re.findall(r"Max Early Data: (\d+)", told) and set(re.findall(r"Max Early Data: (\d+)", told)) == {"0"}
    assert session.exists()
    ahead.write_bytes(frame(message("AHEAD")))
    told = s_client(broker, authority, "-sess_in", session, "-early_data", ahead)
    assert "Reused, TLSv1.3" in told, "the session itself is good"
    assert "Early data was accepted" not in told
    assert not broker.log("received")


@pytest.mark.parametrize("words", [["-tls1"], ["-tls1_1"], ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
                                   ["-tls1_3", "-groups", "P-521"]], ids=" ".join)
def test_what_is_not_spoken(broker, authority, words):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.ports['mllp']}", "-CAfile", authority.pem, "-cert", authority.chu.pem,
               "-key", authority.chu.key_file, *words, *(["-cipher", "ALL:@SECLEVEL=0"] if words[0] in ("-tls1", "-tls1_1") else [])]
    done = subprocess.run([str(one) for one in command], input=b"", capture_output=True, timeout=20)
    assert done.returncode != 0, done.stdout.decode("latin-1")
    assert not broker.log("connected")
    assert broker.wait_log("handshake-refused")

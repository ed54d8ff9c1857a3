# SPDX-License-Identifier: Apache-2.0
"""The makers of test certificates: what they make is what a peer needs, and every bad certificate that the wire scenarios use."""
import contextlib
import datetime
import functools
import http.server
import pathlib
import shutil
import stat
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

CERTS = pathlib.Path(__file__).resolve().parent.parent / "certs"


def run(script, *args, code=0):
    done = subprocess.run([CERTS / script, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def openssl_verify(directory, name, purpose):
    return subprocess.run(
        ["openssl", "verify", "-CAfile", directory / "ca.pem", "-purpose", purpose, directory / f"{name}.pem"], capture_output=True,
        text=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    directory = tmp_path_factory.mktemp("authority")
    run("make-authority", directory)
    return directory


def client(directory, name, *options, subject="CN=lis,OU=LIS,O=CHU,C=FR", kind="client", **more):
    run("make-certificate", directory, name, "--type", kind, "--subject", subject, *options, **more)
    return directory / f"{name}.pem"


def test_a_client_certificate_is_what_a_peer_needs(authority):
    path = client(authority, "good")
    assert openssl_verify(authority, "good", "sslclient").returncode == 0
    assert "unsuitable certificate purpose" in openssl_verify(authority, "good", "sslserver").stderr
    assert stat.S_IMODE((authority / "good.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600
    usage = load(path).extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert not [f for f in authority.iterdir() if f.name.startswith(".work")]


def test_the_subject_is_printed_as_it_was_given(authority):
    for i, subject in enumerate(["CN=lis,O=CHU,C=FR", r"CN=a\, b,O=x/y\+z,C=FR", "CN=Hôpital,O=CHU,C=FR", r"CN=back\\slash,O=b"]):
        client(authority, f"subject{i}", subject=subject)
        printed = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb", "-in", authority / f"subject{i}.pem"],
            capture_output=True, text=True, check=True).stdout
        assert printed == f"subject={subject}\n"
    refused = client_error(authority, "CN=a+b,O=c")
    assert "would become" in refused or "does not take" in refused
    assert "is no name" in client_error(authority, "just a name")


def client_error(directory, subject):
    done = run("make-certificate", directory, "refused", "--type", "client", "--subject", subject, code=2)
    assert not (directory / "refused.pem").exists()
    return done.stderr


def test_a_server_has_its_names(authority):
    certificate = load(client(authority, "broker", "--san", "dns:localhost,ip:127.0.0.1,uri:urn:x", kind="server"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert openssl_verify(authority, "broker", "sslserver").returncode == 0


def test_bad_certificates_are_bad_as_asked(authority, tmp_path):
    client(authority, "expired", "--not-before", "2020-01-01", "--days", 10)
    assert "certificate has expired" in openssl_verify(authority, "expired", "sslclient").stderr
    client(authority, "early", "--not-before", "now + 3 days")
    assert "certificate is not yet valid" in openssl_verify(authority, "early", "sslclient").stderr
    run("make-authority", tmp_path)
    client(authority, "foreign", "--ca", tmp_path)
    assert openssl_verify(authority, "foreign", "sslclient").returncode != 0
    assert load(client(authority, "small", "--key", "rsa1024")).public_key().key_size == 1024
    assert load(client(authority, "rsa", "--key", "rsa2048")).public_key().key_size == 2048


def test_what_is_good_is_kept(authority):
    before = load(client(authority, "kept")).serial_number
    assert load(client(authority, "kept")).serial_number == before
    renewed = load(client(authority, "kept", "--again"))
    assert renewed.serial_number != before
    assert load(client(authority, "kept", "--days", 5)).serial_number != renewed.serial_number
    ca = (authority / "ca.pem").read_bytes()
    run("make-authority", authority)
    assert (authority / "ca.pem").read_bytes() == ca


def test_a_new_authority_makes_old_certificates_anew(authority, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(authority, directory)
    before = load(client(directory, "one")).serial_number
    run("make-authority", directory, "--again")
    assert load(client(directory, "one")).serial_number != before
    assert openssl_verify(directory, "one", "sslclient").returncode == 0


def test_what_will_soon_end_is_made_anew(authority):
    first = load(client(authority, "short", "--days", 1, "--not-before", "now - 23 hours")).serial_number
    second = load(client(authority, "short", "--days", 1, "--not-before", "now - 23 hours"))
    assert second.serial_number != first
    assert second.not_valid_after > datetime.datetime.utcnow()


@pytest.mark.parametrize("args", [[], ["x"], ["DIR", "n", "--type", "peer", "--subject", "CN=a,O=b"], ["DIR", "n", "--typ"],
                                  ["DIR", "../n", "--type", "client", "--subject", "CN=a,O=b"],
                                  ["DIR", "n", "--type", "client", "--subject", "CN=a,O=b", "--days", "-1"],
                                  ["DIR", "n", "--type", "client", "--subject", "CN=a,O=b", "--key", "dsa"],
                                  ["DIR", "n", "--type", "client", "--subject", "CN=a,O=b", "--not-before", "whenever"],
                                  ["DIR", "n", "--type", "client", "--subject", "CN=a,O=b", "--san", "localhost"],
                                  ["DIR", "n", "--type", "client", "--subject", "CN=a,O=b", "--ca", "/nonexistent"]])
def test_wrong_usage_is_told_and_makes_nothing(authority, args):
    done = run("make-certificate", *[authority if a == "DIR" else a for a in args], code=2)
    assert done.stderr
    assert not (authority / "n.pem").exists()
    assert not [f for f in authority.iterdir() if f.name.startswith(".work")]


def test_a_certificate_for_both_directions(authority):
    client(authority, "both", kind="both")
    for purpose in ("sslclient", "sslserver"):
        assert openssl_verify(authority, "both", purpose).returncode == 0


# Revocation lists

def load_crl(path):
    return x509.load_pem_x509_crl(path.read_bytes())


@pytest.fixture
def own(authority, tmp_path):
    """An authority of the test's own, with a list of its own."""
    directory = tmp_path / "own"
    run("make-authority", directory)
    return directory


def test_a_list_and_what_it_revokes(own):
    one, two = client(own, "one"), client(own, "two")
    run("make-crl", own)
    crl = load_crl(own / "crl.pem")
    assert len(crl) == 0 and crl.is_signature_valid(load(own / "ca.pem").public_key())
    assert crl.last_update < datetime.datetime.utcnow() < crl.next_update
    run("revoke", own, "one")
    run("revoke", own, "one")
    crl = load_crl(own / "crl.pem")
    assert [row.serial_number for row in crl] == [load(one).serial_number]
    run("revoke", own, two)
    assert {row.serial_number for row in load_crl(own / "crl.pem")} == {load(one).serial_number, load(two).serial_number}
    verify = subprocess.run(["openssl", "verify", "-crl_check", "-CAfile", own / "ca.pem", "-CRLfile", own / "crl.pem", one],
                            capture_output=True, text=True)
    assert "certificate revoked" in verify.stderr
    assert not [f for f in own.iterdir() if f.name.startswith(".work")]


def test_a_stale_list_is_stale_as_asked(own):
    run("make-crl", own, "--from", "now - 10 days", "--days", 7)
    crl = load_crl(own / "crl.pem")
    assert crl.next_update - crl.last_update == datetime.timedelta(days=7)
    assert abs(crl.next_update - (datetime.datetime.utcnow() - datetime.timedelta(days=3))) < datetime.timedelta(minutes=5)


def test_a_new_authority_has_no_old_list(own):
    client(own, "one")
    run("revoke", own, "one")
    run("make-authority", own, "--again")
    assert not (own / "crl.pem").exists()
    run("make-crl", own)
    assert len(load_crl(own / "crl.pem")) == 0


@pytest.mark.parametrize("script, args", [("make-crl", []), ("make-crl", ["/nonexistent"]), ("make-crl", ["DIR", "--days", "x"]),
                                          ("revoke", ["DIR"]), ("revoke", ["DIR", "nobody"]), ("revoke", ["DIR", "FOREIGN"]),
                                          ("fetch-crls", ["/nonexistent", "DIR/ca.pem", "DIR/all.pem"]), ("fetch-crls", ["DIR"])])
def test_wrong_usage_makes_no_list(own, authority, script, args):
    foreign = client(authority, "foreign-to-own")
    done = run(script, *[str(foreign) if a == "FOREIGN" else str(a).replace("DIR", str(own)) for a in args], code=2)
    assert done.stderr
    assert not (own / "crl.pem").exists() and not (own / "all.pem").exists()


class Publisher(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def published(directory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Publisher, directory=directory))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_lists_are_fetched_verified_and_put_in_place(own, authority, tmp_path):
    web, out, done_file = tmp_path / "web", tmp_path / "all.pem", tmp_path / "reloaded"
    web.mkdir()
    both, second = tmp_path / "authorities.pem", tmp_path / "second"
    run("make-authority", second, "--subject", "CN=Second authority,C=FR")
    both.write_bytes((own / "ca.pem").read_bytes() + (second / "ca.pem").read_bytes())
    client(own, "one")

    def publish(directory, name, der):
        run("make-crl", directory)
        if der:
            subprocess.run(["openssl", "crl", "-in", directory / "crl.pem", "-outform", "DER", "-out", web / name], check=True)
        else:
            shutil.copy(directory / "crl.pem", web / name)

    publish(own, "own.crl", True)
    publish(second, "second.pem", False)
    command = ["sh", "-c", f"echo again >>{done_file}"]

    with published(web) as url:
        urls = tmp_path / "urls"
        urls.write_text(f"# lists\n\n{url}/own.crl\n{url}/second.pem\n")
        run("fetch-crls", urls, both, out, *command)
        lists = out.read_text().count("BEGIN X509 CRL")
        assert lists == 2 and done_file.read_text() == "again\n"
        # Nothing new: nothing is done.
        run("fetch-crls", urls, both, out, *command)
        assert done_file.read_text() == "again\n"
        # A new list of one, garbage from the other: the former one of that stays.
        run("revoke", own, "one")
        publish(own, "own.crl", True)
        (web / "second.pem").write_text("<html>404</html>")
        told = run("fetch-crls", urls, both, out, *command, code=1)
        assert "no revocation list" in told.stderr and "not renewed" in told.stderr
        assert done_file.read_text() == "again\nagain\n"
        parts = out.read_text().split("-----BEGIN")[1:]
        assert len(parts) == 2
        assert len(x509.load_pem_x509_crl(("-----BEGIN" + parts[0]).encode())) == 1
        # A list that somebody else has signed.
        run("make-crl", authority)
        before = out.read_bytes()
        shutil.copy(authority / "crl.pem", web / "second.pem")
        told = run("fetch-crls", urls, both, out, *command, code=1)
        assert "not signed by an authority" in told.stderr and out.read_bytes() == before
        # An older one: a replayed answer does not bring a revoked certificate back.
        publish(second, "second.pem", False)
        (own / ".revoked").unlink()
        run("make-crl", own, "--from", "now - 1 day")
        shutil.copy(own / "crl.pem", web / "own.crl")
        told = run("fetch-crls", urls, both, out, *command, code=1)
        assert "older than the list fetched before" in told.stderr
        assert len(x509.load_pem_x509_crl(("-----BEGIN" + out.read_text().split("-----BEGIN")[1]).encode())) == 1
        # A command that fails is owed.
        run("make-crl", second)
        publish(second, "second.pem", False)
        (web / "own.crl").unlink()
        count = done_file.read_text().count("again")
        assert "failed" in run("fetch-crls", urls, both, out, "false", code=2).stderr
        run("fetch-crls", urls, both, out, *command, code=1)
        assert done_file.read_text().count("again") == count + 1
    assert not list((tmp_path / "all.pem.d").glob(".work*"))

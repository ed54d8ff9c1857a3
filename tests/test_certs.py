# SPDX-License-Identifier: Apache-2.0
"""The makers of test certificates: what they make is what a peer needs, and every bad certificate that the wire scenarios use."""
import datetime
import pathlib
import shutil
import stat
import subprocess

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

# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests: good certificates by the hundred, and each kind of bad one."""
import datetime
import os
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
BOTH = (SERVER, CLIENT)  # a broker that is dialled and dials
HOUR = datetime.timedelta(hours=1)


def name_of(common_name, organisation="Liaison test"):
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])


class Identity:
    """A certificate and its key, as files that programs read: NAME.pem, NAME.key (mode 0600)."""

    def __init__(self, folder, name, certificate, key):
        self.certificate, self.key = certificate, key
        self.pem, self.key_file = folder / f"{name}.pem", folder / f"{name}.key"
        self.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with open(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)

    @property
    def subject(self):
        """As liaison.conf wants it: RFC 2253."""
        return self.certificate.subject.rfc4514_string()

    @property
    def issuer(self):
        return self.certificate.issuer.rfc4514_string()

    @property
    def serial(self):
        digits = f"{self.certificate.serial_number:X}"
        return "0" * (len(digits) % 2) + digits  # whole bytes, as OpenSSL prints them


class Authority:
    """Makes certificates. ``above``: who vouches for it; itself, unless said."""

    def __init__(self, folder, name="Liaison test authority", above=None, since=-HOUR, until=24 * HOUR, key=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = name_of(name)
        self.above = above
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder()
                       .subject_name(self.name).issuer_name(above.name if above else self.name).public_key(self.key.public_key())
                       .serial_number(x509.random_serial_number())
                       .not_valid_before(now + since).not_valid_after(now + until)
                       .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                       .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
                       .sign(above.key if above else self.key, hashes.SHA256()))
        self.identity = Identity(self.folder, "ca", certificate, self.key)
        self.pem = self.identity.pem

    def issue(self, name, *, organisation="Liaison test", usage=CLIENT, since=-HOUR, until=12 * HOUR, dns=(), addresses=(), key=None,
              file_name=None, digest=hashes.SHA256(), more=()):
        """A certificate for CN=name; ``since`` and ``until`` from now. ``usage``: one, several in a tuple, or none. ``key``: one that is there
        already (hundreds are wanted); ``more``: extensions, not critical."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder()
                   .subject_name(name_of(name, organisation)).issuer_name(self.name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + since).not_valid_after(now + until)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True))
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage) if isinstance(usage, tuple) else [usage]), critical=False)
        others = [x509.DNSName(one) for one in dns] + [x509.IPAddress(one) for one in addresses]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return Identity(self.folder, file_name or name, builder.sign(self.key, digest), key)

    def crl(self, *revoked, since=-HOUR, until=24 * HOUR):
        """A revocation list in PEM; ``revoked``: identities of ours."""
        now = datetime.datetime.utcnow()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now + since).next_update(now + until)
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(now - HOUR).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

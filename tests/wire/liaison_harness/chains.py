# SPDX-License-Identifier: Apache-2.0
"""Chains as partners show them, every bad kind included, and a client that shows them without looking."""
import datetime
import hashlib
import os
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .authority import CLIENT, HOUR, Authority, Identity, name_of

PATIENCE = 10


def with_chain(identity, *authorities):
    """``identity`` shows these certificates, too."""
    with open(identity.pem, "ab") as stream:
        for one in authorities:
            stream.write(one.identity.certificate.public_bytes(serialization.Encoding.PEM))
    return identity


def self_signed(folder, name):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name_of(name)).issuer_name(name_of(name)).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - HOUR).not_valid_after(now + HOUR)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False)
                   .sign(key, hashes.SHA256()))
    return Identity(folder, name, certificate, key)


def wrong_key(identity):
    """A key file with the public half of the certificate's key and the private half of another: the client sees no difference."""
    def private(key):
        return key.private_numbers().private_value.to_bytes(32, "big")
    content = identity.key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL,
                                         serialization.NoEncryption())
    assert content.count(private(identity.key)) == 1
    content = content.replace(private(identity.key), private(ec.generate_private_key(ec.SECP256R1())))
    import base64
    text = base64.encodebytes(content).decode()
    with open(os.open(identity.key_file, os.O_WRONLY | os.O_TRUNC), "w") as stream:
        stream.write(f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n")
    return identity


def wrong_signature(identity):
    """One bit of the issuer's signature is another."""
    content = bytearray(identity.certificate.public_bytes(serialization.Encoding.DER))
    content[-3] ^= 1
    changed = x509.load_der_x509_certificate(bytes(content))
    return Identity(identity.pem.parent, identity.pem.stem, changed, identity.key)


def deep(folder, root, levels):
    """A leaf under so many authorities, all of which it shows."""
    above = [root]
    for level in range(levels):
        above.append(Authority(folder / f"deep{level}", f"Deep authority {level}", above=above[-1]))
    return with_chain(above[-1].issue("deep"), *reversed(above[1:]))


def huge(authority, size):
    """A certificate with an extension of so many bytes that nobody knows."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), os.urandom(size))
    return authority.issue("huge", more=[unknown])


def issued_by_a_leaf(leaf, name):
    """Signed with the key of a certificate that is no authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name_of(name)).issuer_name(leaf.certificate.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - HOUR).not_valid_after(now + HOUR)
                   .add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False).sign(leaf.key, hashes.SHA256()))
    made = Identity(leaf.pem.parent, name, certificate, key)
    with open(made.pem, "ab") as stream:
        stream.write(leaf.certificate.public_bytes(serialization.Encoding.PEM))
    return made


def context_of(identity, version):
    """Takes any server and shows any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if identity:
        context.load_cert_chain(identity.pem, identity.key_file)
    return context


def admitted(port, identity, version, corrupt=None):
    """Whether a server lets us in, and answers ``ask`` with anything. ``corrupt``: changes what leaves for the wire."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context_of(identity, version).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
        def go(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    content = outgoing.read()
                    if content:
                        raw.sendall(corrupt(content) if corrupt else content)
                    got = raw.recv(65536)
                    if not got:
                        raise ConnectionError("closed")
                    incoming.write(got)
                finally:
                    if outgoing.pending:
                        content = outgoing.read()
                        raw.sendall(corrupt(content) if corrupt else content)
        try:
            go(tls.do_handshake)
            tls.write(b"\x0bMSH|^~\\&|A|B|C|D|20261121||ADT^A01^ADT_A01|" + hashlib.sha1(os.urandom(8)).hexdigest()[:12].encode() +
                      b"|T|2.5\rPID|1||1\r\x1c\r")
            return bool(go(lambda: tls.read(1)))
        except (ssl.SSLError, ConnectionError):
            return False

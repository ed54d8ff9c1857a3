#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What testssl.sh finds in the broker's listeners, MLLP and HTTPS: nothing above INFO but what a private authority and mutual TLS make
inevitable. Prints each finding above INFO with why it may stand, or that it may not. Exit: 0 none that may not, 1 some, 2 it could not be told."""
import argparse
import datetime
import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HARMLESS = {"OK", "INFO", "DEBUG"}
RUN_SECONDS = 400

# id of a finding -> what it says -> why it stands: what the world outside would have to offer, and a private network has not.
UNTRIED = "client x509-based authentication prevents this from being tested"
INEVITABLE = {
    # whoever holds a certificate tries it: tests/wire/test_tls_cases.py
    "secure_client_renego": {UNTRIED: "only those with a certificate could, and they are refused"},
    "BREACH": {UNTRIED: "no answer is compressed"},
    "DNS_CAArecord": {"--": "a CAA record is of a public name; this is an address"},
}

# What a run that looked at everything has told of; without one of them it did not get that far.
LOOKED_AT = {
    "all": {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW",
            "cipher_order", "cert_signatureAlgorithm", "cert_keySize", "cert_chain_of_trust", "cert_notAfter", "heartbleed", "CCS", "ROBOT",
            "secure_renego", "secure_client_renego", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4"},
    "protocols": {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT"},
}


def judge(findings, looked_at=frozenset()):
    """(what may not stand, what may, what was not looked at) of testssl's findings, each as (id, severity, finding, why)."""
    bad, inevitable = [], []
    for one in findings:
        if one["severity"] in HARMLESS:
            continue
        why = INEVITABLE.get(one["id"], {}).get(one["finding"])
        (inevitable if why else bad).append((one["id"], one["severity"], one["finding"], why))
    return bad, inevitable, sorted(looked_at - {one["id"] for one in findings})


def start(port, authority_pem, folder, options=()):
    """A run of testssl.sh, and where its findings will be."""
    out = pathlib.Path(folder) / f"findings-{port}.json"
    words = ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", "--add-ca", authority_pem,
             "--jsonfile", out, *options, f"127.0.0.1:{port}"]
    return out, subprocess.Popen([str(one) for one in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, env={**os.environ, "HOME": str(folder)})


def findings_of(out, process):
    """What a run found. Its exit status only counts the findings; a run that failed has written none."""
    try:
        told = process.communicate(timeout=RUN_SECONDS)[0]
    finally:
        process.kill()
    try:
        return json.loads(out.read_text())
    except (OSError, ValueError) as error:
        raise RuntimeError(f"testssl.sh ended with {process.returncode} and no findings ({error}):\n{told}") from error


def broker_of(folder):
    from cryptography import x509
    from liaison_harness.authority import BOTH, Authority
    from liaison_harness.broker import Broker
    from liaison_harness.configuration import Configuration
    year = datetime.timedelta(days=365)
    published = x509.CRLDistributionPoints([x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://lists.example.org/authority.crl")], None, None, None)])
    authority = Authority(folder, until=10 * year)
    authority.server = authority.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")],
                                       until=year, more=[published])
    authority.chu, authority.ehpad = authority.issue("chu"), authority.issue("ehpad")
    configuration = Configuration()
    configuration.peer("chu", authority.chu)
    configuration.peer("ehpad", authority.ehpad, may=["read"])
    configuration.inbox("ehpad", readers=["ehpad"])
    configuration.route("all", to=["ehpad"])
    return authority, Broker(authority, configuration)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path, help="build folder whose liaisond is looked at")
    os.environ["LIAISON_BUILD"] = str(parser.parse_args().build.resolve())
    sys.path.insert(0, str(ROOT / "tests" / "wire"))
    from liaison_harness.hl7 import message
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        authority, broker = broker_of(folder)
        try:
            broker.start()
            runs = {name: start(broker.ports[name], authority.pem, folder) for name in ("mllp", "pull")}
            for name, run in runs.items():
                findings = findings_of(*run)
                bad, inevitable, unseen = judge(findings, LOOKED_AT["all"])
                print(f"{name}: {len(findings)} findings, {len(inevitable)} above INFO that may stand, {len(bad)} that may not")
                for one in inevitable:
                    print("   inevitable  {}  {}  {}: {}".format(*one))
                for one in bad:
                    print("   NOT WANTED  {}  {}  {}".format(*one))
                for one in unseen:
                    print(f"   NOT TOLD    {one}")
                wrong += len(bad) + len(unseen)
            if broker.mllp(authority.chu).ask(message()).code != "AA":
                print("   the broker takes no message any more")
                wrong += 1
            broker.close_clients()
            if broker.stop() != 0:
                print("   the broker did not stop well:\n" + broker.stderr.read_text())
                wrong += 1
        finally:
            broker.clean()
    return wrong > 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        print(f"tests/audit/tls.py: {error}", file=sys.stderr)
        sys.exit(2)

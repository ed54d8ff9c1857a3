# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote send our fixtures over mutual TLS; what counts is what the client read in the acknowledgement."""
import asyncio
import hashlib
import ssl

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from liaison_harness.broker import wait_until
from partners import Node
from stunnel import Stunnel

DAY = ["laboratory", "imaging", "admission", "large", "refused", "admission"]
KEPT = ["laboratory", "imaging", "admission", "large"]


@pytest.fixture
def hospital(configuration):
    """The peer `chu` may speak for one facility only; a document of two megabytes is a large one."""
    configuration.peers[0]["senders"] = ["*|CHU-DEMO"]
    configuration.limits["large_size"] = "1M"
    return configuration


def expected(fixtures, names=tuple(DAY)):
    """What a client must read: one acknowledgement a message, in order, and what is wrong with the one that is refused."""
    good = {"code": "AA", "error": None, "place": None, "severity": None}
    bad = {"code": "AE", "error": "207", "place": "MSH^1^4", "severity": "E"}
    return [{"type": "ACK", "control": fixtures.control(fixtures[name]), **(bad if name == "refused" else good)} for name in names]


def stored(broker, authority):
    """What the broker kept, as the reader gets it for whom it is: the duplicate and the refused one are not among it."""
    reader = broker.pull(authority.ehpad)
    broker.wait_log("duplicate", control="DEMO-ADT-0001")
    broker.wait_log("refused", control="DEMO-ADT-0002")
    assert len(broker.log("received")) == len(KEPT)
    assert len(broker.log("duplicate")) == len(broker.log("refused")) == 1
    return [reader.message(item["seq"]).body for item in reader.items("ehpad", limit=50).json["items"]]


class Python:
    """python3-hl7: its asyncio client, whose default encoding is ASCII."""

    @staticmethod
    def context(identity, authority):
        context = ssl.create_default_context(cafile=str(authority.pem))
        context.load_cert_chain(identity.pem, identity.key_file)
        return context

    @classmethod
    async def exchange(cls, port, identity, authority, contents, together=False):
        """Send ``contents`` one by one, or all at once; the messages that came back."""
        reader, writer = await open_hl7_connection("127.0.0.1", port, ssl=cls.context(identity, authority), encoding="utf-8")
        answers = []
        for content in contents:
            writer.writemessage(hl7.parse(content.decode()))
            if not together:
                await writer.drain()
                answers.append(await asyncio.wait_for(reader.readmessage(), 30))
        if together:
            await writer.drain()
            answers = [await asyncio.wait_for(reader.readmessage(), 30) for _ in contents]
        writer.close()
        return answers

    @staticmethod
    def read(answer):
        failed = str(answer["MSA"][0][1]) != "AA"
        return {
            "code": str(answer["MSA"][0][1]), "control": str(answer["MSA"][0][2]), "type": str(answer["MSH.F9.R1.C1"]),
            "error": str(answer["ERR.F3.R1.C1"]) if failed else None,
            "place": str(answer["ERR"][0][2]) if failed else None,
            "severity": str(answer["ERR"][0][4]) if failed else None,
        }


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all at once"])
def test_python3_hl7(brokers, hospital, authority, fixtures, together):
    """It keeps the final CR and sends what it was given, byte for byte; it may have any number of messages on their way."""
    broker = brokers(hospital).start()
    answers = asyncio.run(Python.exchange(broker.ports["mllp"], authority.chu, authority, [fixtures[name] for name in DAY], together))
    assert [Python.read(answer) for answer in answers] == expected(fixtures)
    assert str(answers[5]) == str(answers[2]), "the duplicate has the answer of the first"
    assert stored(broker, authority) == [fixtures[name] for name in KEPT]


def test_python3_hl7_without_a_certificate(brokers, hospital, authority, fixtures):
    broker = brokers(hospital).start()
    context = ssl.create_default_context(cafile=str(authority.pem))

    async def attempt():
        reader, writer = await open_hl7_connection("127.0.0.1", broker.ports["mllp"], ssl=context, encoding="utf-8")
        writer.writemessage(hl7.parse(fixtures["admission"].decode()))
        await reader.readmessage()
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        asyncio.run(asyncio.wait_for(attempt(), 30))
    broker.wait_log("handshake-refused", reason="no certificate")
    assert not broker.log("received")


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all at once"])
def test_node_hl7_client(brokers, hospital, authority, fixtures, packages, tmp_path, together):
    """It drops the final CR of each message: the peer needs the leniency `no-final-cr`. Acknowledgements that come in one packet it reads one by one."""
    hospital.peers[0]["lenient"] = ["no-final-cr"]
    broker = brokers(hospital).start()
    partner = Node("node_hl7_client", tmp_path, packages, authority.chu, authority, port=broker.ports["mllp"], messages=fixtures.paths(*DAY),
                   together=together)
    assert partner.told() == expected(fixtures)
    assert stored(broker, authority) == [fixtures[name][:-1] for name in KEPT]
    assert broker.metric("liaison_leniencies_total", leniency="no-final-cr") >= len(KEPT)


def test_node_hl7_client_without_the_leniency(brokers, hospital, authority, fixtures, packages, tmp_path):
    """Without it each message is refused, and the client reads why: its last segment has no end."""
    broker = brokers(hospital).start()
    partner = Node("node_hl7_client", tmp_path, packages, authority.chu, authority, port=broker.ports["mllp"], messages=fixtures.paths("admission"))
    told, = partner.told()
    assert (told["code"], told["control"], told["error"]) == ("AE", "DEMO-ADT-0001", "100")
    assert told["place"].startswith("ZFA^1")


def test_hl7v2_net(brokers, hospital, authority, fixtures, packages, tmp_path):
    """It has all messages on their way at once, and acknowledges each acknowledgement: those are never acknowledged in turn.

    In segments that its dictionary does not know it escapes the `&` of subcomponents: what it says is kept as it said it.
    """
    broker = brokers(hospital).start()
    partner = Node("hl7v2_net", tmp_path, packages, authority.chu, authority, port=broker.ports["mllp"], messages=fixtures.paths(*DAY))
    *answers, last = partner.told()
    assert answers == expected(fixtures)
    assert last["sent"] == 2 * len(DAY)
    wait_until(lambda: len(broker.log("stray-acknowledgement")) == len(DAY))
    assert len(broker.log("answered")) == len(DAY)
    kept = stored(broker, authority)
    assert [hashlib.sha256(content).hexdigest() for content in kept] == last["digests"][:len(KEPT)]
    assert b"CHU-DEMO\\T\\990000127" in kept[2]
    assert [content.replace(b"\\T\\", b"&") for content in kept] == [fixtures[name] for name in KEPT]


def test_simple_hl7_by_stunnel(brokers, hospital, authority, fixtures, packages, tmp_path):
    """It knows no TLS: a stunnel beside it has the certificate. It drops the final CR, and has one message on its way at a time."""
    hospital.peers[0]["lenient"] = ["no-final-cr"]
    broker = brokers(hospital).start()
    with Stunnel(tmp_path, authority.chu, authority, connect=broker.ports["mllp"]) as tunnel:
        partner = Node("simple_hl7", tmp_path, packages, port=tunnel.port, messages=fixtures.paths(*DAY))
        assert partner.told() == expected(fixtures)
    assert stored(broker, authority) == [fixtures[name][:-1] for name in KEPT]

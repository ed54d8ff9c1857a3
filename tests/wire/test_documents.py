# SPDX-License-Identifier: Apache-2.0
"""XML documents inside messages: read when the message comes, so that one that nobody could read is seen at once: told, or refused
where the peer's well_formed says so. Attacks by XML are read no further than the byte that shows them."""
import base64
import threading

import pytest

from liaison_harness import SAMPLES, SOURCE
from liaison_harness.hl7 import message
from liaison_harness.memory import ASAN_OPTIONS, MIB, SANITIZED, Growth

WELL = (SOURCE / "tests" / "fixtures" / "cda" / "laboratory.xml").read_bytes()
BROKEN = WELL.replace(b"</ClinicalDocument>", b"</ClinicalDocumen>")
NOT_XML = b"Document medical au format CDA niveau 1"
LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>'


def with_documents(control, *documents):
    rows = [b"OBX|%d|ED|11502-2^CR^LN||^TEXT^XML^Base64^%s||||||F\r" % (n, base64.b64encode(one))
            for n, one in enumerate(documents, 1)]
    return message(control).rstrip(b"\r") + b"\r" + b"".join(rows)


def long(size, document=WELL):
    """The same document with a comment-free body of ${size} bytes more."""
    filler = b"".join(b'<component code="%d">x</component>\n' % n for n in range(size // 40))
    return document.replace(b"<realmCode", b"<filler>" + filler + b"</filler><realmCode", 1)


def sent(client, content):
    client.frame(content)
    return client.ack(seconds=60)


def test_a_faulty_document_is_taken_and_told(brokers, authority, configuration):
    broker = brokers(configuration).start()
    client, reader = broker.mllp(authority.chu), broker.pull(authority.ehpad)
    assert sent(client, with_documents("WELL", WELL)).code == "AA"
    assert sent(client, with_documents("BROKEN", WELL, BROKEN, LAUGHS)).code == "AA"
    assert sent(client, with_documents("LONG", long(300_000, BROKEN))).code == "AA"
    broker.wait_log("document-faulty", document="1")
    line = broker.wait_log("document-faulty", document="2")
    assert (line["faulty"], line["code"], line["path"]) == ("2", "data-type", "OBX(2)-5.5")
    assert "ClinicalDocument" not in broker.log_text() and "laughs" not in broker.log_text()
    assert len(broker.log("document-faulty")) == 2
    items = reader.items("ehpad").json["items"]
    assert [[d["form"] for d in item["documents"]] for item in items] == [
        ["well-formed"], ["well-formed", "malformed", "doctype"], ["malformed"]]
    assert reader.document(items[1]["seq"], 3).body == LAUGHS  # kept as it came
    assert broker.metric("liaison_documents_total", form="well-formed") == 2
    assert broker.metric("liaison_documents_total", form="malformed") == 2


def test_a_peer_may_be_refused(brokers, authority, configuration):
    configuration.peers[0]["well_formed"] = "refuse"
    broker = brokers(configuration).start()
    client = broker.mllp(authority.chu)
    for control, document in (("SHORT", BROKEN), ("TEXT", NOT_XML), ("LAUGHS", LAUGHS), ("LONG", long(300_000, BROKEN))):
        ack = sent(client, with_documents(control, WELL, document))
        assert (ack.code, ack.control) == ("AE", control)
        assert [(error.code, error.place, error.application) for error in ack.errors] == [("102", "OBX^2^5^1^5", "")]
    assert sent(client, with_documents("WELL", WELL, long(300_000))).code == "AA"
    assert not broker.log("document-faulty")


def test_a_peer_may_be_left_alone(brokers, authority, configuration):
    configuration.peers[0]["well_formed"] = "off"
    broker = brokers(configuration).start()
    assert sent(broker.mllp(authority.chu), with_documents("A", BROKEN)).code == "AA"
    assert not broker.log("document-faulty")
    item = broker.pull(authority.ehpad).items("ehpad").json["items"][0]
    assert item["documents"][0]["form"] is None


def test_order_is_kept_around_documents_that_take_longer(brokers, authority, configuration):
    broker = brokers(configuration).start()
    client = broker.mllp(authority.chu)
    controls = []
    for n in range(12):
        controls.append(f"M{n}")
        client.frame(with_documents(controls[-1], *[WELL] * (1 + n % 3 * 12)) if n % 2 else message(controls[-1]))
    assert [(ack.control, ack.code) for ack in (client.ack(seconds=60) for _ in controls)] == [(c, "AA") for c in controls]


def test_many_senders_of_long_documents(brokers, authority, configuration, monkeypatch):
    """Forty at a time, some of them hostile; everybody is answered, and the process stays below its ceiling (limits.memory in conf/liaison.conf)."""
    configuration.limits.update(memory="16M", large_slots=2, workers=2)
    for peer in configuration.peers:
        peer["max_size"] = "16M"
    configuration.peers[0].update(max_connections=100, well_formed="refuse")
    with monkeypatch.context() as env:
        env.setenv("ASAN_OPTIONS", ASAN_OPTIONS)
        broker = brokers(configuration).start()
    bound = (16 + 2 * 1 + 2 * 2 * 16 + 2 * 19 + 64 + (64 if SANITIZED else 0)) * MIB + 40 * (104 << 10)
    hostile = b"<a><!--" + b"x" * (8 << 20) + b"--></a>"
    contents = {"well": with_documents("well", long(400_000)), "deep": with_documents("deep", b"<a>" * 100_000),
                "comment": with_documents("comment", hostile), "laughs": with_documents("laughs", LAUGHS)}
    wanted = {"well": "AA", "deep": "AE", "comment": "AE", "laughs": "AE"}
    answers, clients = [], [broker.mllp(authority.chu) for _ in range(40)]

    def run(number, client):
        name = list(contents)[number % 4]
        content = contents[name].replace(b"|" + name.encode() + b"|", b"|%s-%d|" % (name.encode(), number), 1)
        while (ack := sent(client, content)).code == "AR":
            pass
        answers.append((name, ack.code))

    threads = [threading.Thread(target=run, args=one) for one in enumerate(clients)]
    with Growth(broker.process.pid) as growth:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert growth.most < bound
    assert sorted(answers) == sorted((list(contents)[n % 4], wanted[list(contents)[n % 4]]) for n in range(40))


def test_verdicts_of_the_sample_messages(brokers, authority, configuration):
    """Written before it was run: every document of the official messages is well-formed, its broken base64 passed over, but for those of the
    initial messages of level 1, which carry a line of plain text."""
    if not SAMPLES.exists():
        pytest.skip("../shared/samples is absent")
    folder = SAMPLES / "hl7v2"
    plain = {"message_MDM__LPS_MSS_CR_Radio_INIT_N1.er7": 1, "message_MDM_CR_Radio_INIT_N1.er7": 1,
             "message_ORU_CR_Bio_INIT_N1_N3.hl7": 2}
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and b"|ED|" in f.read_bytes()]
    senders = [authority.issue(f"doc-{n}", key=authority.chu.key, file_name=f"forms-{n}") for n, _ in enumerate(files)]
    for number, sender in enumerate(senders):
        configuration.peer(f"doc-{number}", sender, lenient=["lf", "no-final-cr"])
    broker = brokers(configuration).start()
    for file, sender in zip(files, senders):
        client = broker.mllp(sender)
        assert sent(client, file.read_bytes()).code == "AA", file.name
        client.close()
    items = broker.pull(authority.ehpad).items("ehpad").json["items"]
    assert len(items) == len(files)
    for file, item in zip(files, items):
        forms = [d["form"] for d in item["documents"] if d["media_type"] == "text/xml"]
        assert forms.count("malformed") == plain.get(file.name, 0), file.name
        assert set(forms) <= {"well-formed", "malformed"}, file.name

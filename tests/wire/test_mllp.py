# SPDX-License-Identifier: Apache-2.0
"""The HL7 door, as a sender meets it."""
import contextlib
import re
import time

import pytest

from liaison_harness.broker import wait_until
from liaison_harness.hl7 import message
from liaison_harness.mllp import CR, FS, VT, Closed, frame


@pytest.fixture
def chu(broker, authority):
    return broker.mllp(authority.chu)


# What is answered


def test_a_message_is_taken(broker, chu):
    sent = message("M-1")
    ack = chu.ask(sent)
    assert (ack.code, ack.control, ack.errors) == ("AA", "M-1", [])
    assert ack.msh(9) == "ACK^A01^ACK"
    assert [ack.msh(n) for n in (3, 4, 5, 6)] == ["LIAISON", "PFI", "GAM", "CHU"]
    assert ack.msh(10) not in ("", "M-1")
    assert (ack.msh(11), ack.msh(12)) == ("T", "2.5")
    assert re.fullmatch(r"\d{14}(\.\d+)?[+-]\d{4}", ack.msh(7))
    line = broker.wait_log("received", peer="chu", control="M-1", type="ADT^A01", bytes=len(sent))
    broker.wait_log("answered", id=line["id"], code="AA")
    broker.wait_log("routed", id=line["id"], to="ehpad")
    assert broker.metric("liaison_messages_total", peer="chu") == 1
    assert broker.metric("liaison_message_bytes_total", peer="chu") == len(sent)
    broker.wait_metric(1, "liaison_waiting", destination="ehpad")


def test_answers_have_ids_of_their_own(chu):
    assert len({chu.ask(message()).msh(10) for _ in range(20)}) == 20


def test_a_message_byte_by_byte(chu):
    for byte in frame(message("SLOW")):
        chu.send(bytes([byte]))
    assert chu.ack().control == "SLOW"


def test_pipelined_messages_are_answered_in_order(chu):
    """Good and bad ones, small and large (checked elsewhere, later), all sent before the first answer is read."""
    sent = [message(f"P{n}", version="9.9" if n % 7 == 3 else "2.5", filler=200000 if n % 50 == 10 else 0) for n in range(200)]
    chu.send(b"".join(frame(one) for one in sent))
    acks = [chu.ack() for _ in sent]
    assert [ack.control for ack in acks] == [f"P{n}" for n in range(200)]
    assert [ack.code for ack in acks] == ["AE" if n % 7 == 3 else "AA" for n in range(200)]


def test_a_refusal_names_code_and_place(broker, chu):
    ack = chu.ask(message("V-1", version="9.9"))
    assert (ack.code, ack.control) == ("AE", "V-1")
    error, = ack.errors
    assert (error.place, error.code, error.table, error.severity) == ("MSH^1^12^1^1", "203", "HL70357", "E")
    assert ack.msh(12) == "2.5"
    line = broker.wait_log("refused", peer="chu", control="V-1", path="MSH-12.1")
    assert line["why"] and "9.9" not in line["why"]
    assert broker.metric("liaison_refused_total", peer="chu") == 1


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.3.1", "2.4"])
def test_older_senders_get_err_1_and_a_text(chu, version):
    ack = chu.ask(message("OLD", version=version, processing="X"))
    assert (ack.code, ack.control, ack.msh(12)) == ("AE", "OLD", version)
    error, = ack.errors
    assert error.old
    assert (error.place, error.code) == ("MSH^1^11", "202")
    assert ack.msa(3)
    assert ack.msh(9) == ("ACK^A01^ACK" if version in ("2.3.1", "2.4") else "ACK^A01")


def test_original_mode_whatever_is_asked(broker, chu):
    ack = chu.ask(message("AL-NE", accept="AL", answer="NE"))
    assert (ack.code, ack.control) == ("AA", "AL-NE")
    assert chu.ask(message("NEXT", accept="AL", answer="NE")).control == "NEXT"
    assert chu.silent(0.3)
    assert broker.wait_log("original-mode", peer="chu", accept="AL", application="NE")


def test_a_stray_acknowledgement_is_recorded_and_not_answered(broker, chu):
    stray = b"MSH|^~\\&|A|B|C|D|20261121||ACK^A01^ACK|S-1|T|2.5\rMSA|AA|OURS\r"
    chu.frame(stray)
    assert chu.ask(message("BEHIND")).control == "BEHIND"
    broker.wait_log("stray-acknowledgement", peer="chu")
    assert broker.metric("liaison_stray_acknowledgements_total", peer="chu") == 1


# The same message again


def test_a_resend_gets_the_same_answer(broker, authority, chu):
    sent = message("AGAIN")
    first = chu.ask(sent)
    assert chu.ask(sent).raw == first.raw
    assert broker.mllp(authority.chu).ask(sent).raw == first.raw
    broker.wait_log("duplicate", peer="chu", control="AGAIN")
    assert broker.metric("liaison_duplicates_total", peer="chu") == 2
    broker.wait_metric(1, "liaison_waiting", destination="ehpad")
    assert broker.stop() == 0
    broker.restart()
    assert broker.mllp(authority.chu).ask(sent).raw == first.raw
    broker.wait_metric(1, "liaison_waiting", destination="ehpad")


def test_the_same_id_with_other_bytes_is_refused(broker, chu):
    assert chu.ask(message("ONE", body="PID|1||1")).code == "AA"
    ack = chu.ask(message("ONE", body="PID|1||2"))
    assert (ack.code, ack.control, ack.errors[0].code) == ("AE", "ONE", "207")
    line = broker.wait_log("same-id-other-bytes", peer="chu", control="ONE")
    assert line.level == "error"
    assert chu.ask(message("ONE", application="OTHER", body="PID|1||3")).code == "AA"


def test_a_refusal_is_not_remembered(chu):
    bad = message("FIX", kind="")
    assert chu.ask(bad).code == "AE"
    assert chu.ask(bad).code == "AE"
    assert chu.ask(message("FIX")).code == "AA"


def test_restamped_fields_are_left_out(brokers, configuration, authority):
    configuration.peers[0]["restamped"] = ["MSH-7"]
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    sent = message("STAMP")
    first = chu.ask(sent)
    assert chu.ask(sent.replace(b"20261121120000", b"20261121120500")).raw == first.raw
    assert broker.metric("liaison_restamped_total", peer="chu") == 1
    assert chu.ask(sent.replace(b"LILAS", b"MUGUET")).code == "AE"


def test_what_was_acknowledged_survives_a_kill(broker, authority, chu):
    sent = [message() for _ in range(50)]
    acks = [chu.ask(one) for one in sent]
    broker.kill()
    broker.restart()
    chu = broker.mllp(authority.chu)
    assert [chu.ask(one).raw for one in sent] == [ack.raw for ack in acks]
    broker.wait_metric(50, "liaison_waiting", destination="ehpad")


# Frames


def test_noise_is_recorded_and_not_answered(broker, chu):
    chu.send(b"hello" + frame(message("N-1")) + b"\r\n\r\n" + frame(message("N-2")))
    assert [chu.ack().control for _ in range(2)] == ["N-1", "N-2"]
    broker.wait_log("frame-rejected", peer="chu", bytes=4)
    lines = broker.log("frame-rejected", peer="chu")
    assert [line["bytes"] for line in lines] == ["5", "4"]
    assert lines[0]["offset"] == "0"
    causes = {line["cause"] for line in lines}
    assert len(causes) == 1
    assert broker.metric("liaison_frames_rejected_total", cause=causes.pop()) == 2


def test_a_start_block_within_a_frame(broker, chu):
    """The first message was cut: its sender is told, the second one is taken."""
    chu.send(VT + message("CUT")[:60] + frame(message("WHOLE")))
    ack = chu.ack()
    assert ack.code == "AE"
    assert (ack.errors[0].code, ack.errors[0].place) == ("207", "")
    assert chu.ack().control == "WHOLE"
    assert broker.wait_log("frame-rejected", peer="chu")


def test_fs_without_cr_is_data(chu):
    chu.send(VT + message("DATA", body="PID|1||4711" + FS.decode() + "x") + FS + CR)
    assert chu.ack().control == "DATA"


def test_the_leniency_for_end_blocks(brokers, configuration, authority):
    configuration.peers[0]["lenient"] = ["no-end-cr"]
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    chu.send(VT + message("L-1") + FS + VT + message("L-2") + FS)
    assert chu.ack().control == "L-1"
    assert chu.ack(5).control == "L-2"  # a second of silence ends it
    chu.frame(message("L-3"))
    assert chu.ack().control == "L-3"
    assert broker.metric("liaison_leniencies_total", leniency="no-end-cr") == 2


def test_leniencies_for_segment_ends_are_counted(brokers, configuration, authority):
    configuration.peers[0]["lenient"] = ["lf", "no-final-cr"]
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    assert chu.ask(message(end="\n")).code == "AA"
    assert chu.ask(message(end="\r\n")).code == "AA"
    assert chu.ask(message(final=False)).code == "AA"
    assert chu.ask(message()).code == "AA"
    assert broker.metric("liaison_leniencies_total", leniency="lf") == 2
    assert broker.metric("liaison_leniencies_total", leniency="no-final-cr") == 1


def test_without_leniency_line_feeds_are_refused(chu):
    ack = chu.ask(message("LF", end="\n"))
    assert (ack.code, ack.control) == ("AE", "LF")


def test_past_the_size_cap(brokers, configuration, authority):
    """AE, then the end; a sender in the middle of 32 MB is not listened to."""
    configuration.peers[0]["max_size"] = "128K"
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    large = message("LARGE", filler=32 << 20)
    with contextlib.suppress(OSError):  # reset while sending
        chu.frame(large)
    ack = chu.ack()
    assert (ack.code, ack.control, ack.errors[0].code, ack.errors[0].place) == ("AE", "LARGE", "207", "")
    assert chu.ended() == b""
    line = broker.wait_log("disconnected", peer="chu")
    assert int(line["in"]) <= (128 << 10) + (128 << 10)
    assert broker.wait_log("refused", control="LARGE")
    just = message("JUST", filler=(128 << 10) - len(message("JUST", filler=1)) + 1)
    assert len(just) == 128 << 10
    assert broker.mllp(authority.chu).ask(just).code == "AA"


def test_a_large_message(broker, chu):
    """60 MiB in one field: linear, and acknowledged after it is on disk."""
    sent = message("HUGE", filler=60 << 20)
    since = time.monotonic()
    assert chu.ask(sent, 60).code == "AA"
    assert time.monotonic() - since < 60
    assert broker.wait_log("received", control="HUGE", bytes=len(sent))


# Deadlines, quotas, limits


def test_deadlines(brokers, configuration, authority):
    configuration.limits.update(frame="1s", idle="2s")
    broker = brokers(configuration).start()
    half, idle = broker.mllp(authority.chu), broker.mllp(authority.chu)
    since = time.monotonic()
    half.send(VT + message("HALF")[:50])
    for _ in range(4):  # a byte now and then moves no deadline
        time.sleep(0.2)
        half.send(b"x")
    half.ended()
    assert 0.9 < time.monotonic() - since < 4
    assert broker.wait_log("frame-rejected", peer="chu")
    assert idle.ended() == b""
    assert 1.9 < time.monotonic() - since < 6
    wait_until(lambda: len(broker.log("disconnected", peer="chu")) == 2)


def test_the_junk_quota(brokers, configuration, authority):
    configuration.peers[0]["junk_quota"] = "64K"
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    assert chu.ask(message("GOOD")).code == "AA"
    with contextlib.suppress(OSError):
        for _ in range(16):
            chu.send(b"junk" * 4096)
    chu.ended()
    line = broker.wait_log("junk-quota", peer="chu")
    assert line.level == "error"
    # What is well goes on.
    assert broker.mllp(authority.chu).ask(message("STILL")).code == "AA"


def test_refused_messages_are_junk_too(brokers, configuration, authority):
    configuration.peers[0]["junk_quota"] = "64K"
    broker = brokers(configuration).start()
    chu = broker.mllp(authority.chu)
    answers = []
    with pytest.raises((Closed, OSError)):
        for _ in range(100):
            answers.append(chu.ask(message(version="9.9", filler=4096)).code)
    assert set(answers) == {"AE"}
    assert 10 <= len(answers) <= 20
    assert broker.wait_log("junk-quota", peer="chu")


def test_the_connections_of_a_peer_are_limited(brokers, configuration, authority):
    configuration.peers[0]["max_connections"] = 2
    broker = brokers(configuration).start()
    held = [broker.mllp(authority.chu) for _ in range(2)]
    assert [one.ask(message()).code for one in held] == ["AA", "AA"]
    third = broker.mllp(authority.chu)
    assert third.ended() == b""
    assert broker.wait_log("connection-refused", peer="chu")
    held[0].close()
    broker.wait_log("disconnected", peer="chu")
    assert broker.mllp(authority.chu).ask(message()).code == "AA"


def test_more_in_flight_than_allowed_only_waits(brokers, configuration, authority):
    configuration.peers[0]["max_in_flight"] = 1
    chu = brokers(configuration).start().mllp(authority.chu)
    chu.send(b"".join(frame(message(f"W{n}")) for n in range(100)))
    assert [chu.ack().control for _ in range(100)] == [f"W{n}" for n in range(100)]


# Rights


def test_what_a_peer_may_send(brokers, configuration, authority):
    configuration.peers[0].update(senders=["LIS|CHU", "PACS|CHU-2"], types=["ORU^R01", "MDM^*"], processing=["T"])
    chu = brokers(configuration).start().mllp(authority.chu)

    def answer(**changes):
        ack = chu.ask(message(**{"kind": "ORU^R01", "application": "LIS", **changes}))
        return (ack.code, ack.errors[0].code, ack.errors[0].place) if ack.errors else ack.code
    assert answer() == "AA"
    assert answer(kind="MDM^T02^MDM_T02") == "AA"
    assert answer(application="PACS", facility="CHU-2") == "AA"
    assert answer(kind="ADT^A01") == ("AE", "200", "MSH^1^9^1^1")
    assert answer(kind="ORU^R03") == ("AE", "201", "MSH^1^9^1^2")
    assert answer(processing="P") == ("AE", "202", "MSH^1^11^1^1")
    assert answer(application="X") == ("AE", "207", "MSH^1^3")
    assert answer(facility="CHU-2") == ("AE", "207", "MSH^1^4")


def test_a_reader_may_not_send(broker, authority):
    assert broker.mllp(authority.ehpad).ended() == b""
    assert broker.wait_log("connection-refused", peer="ehpad")


def test_no_route(brokers, configuration, authority):
    configuration.routes[0]["when"] = {"type": "ORU"}
    broker = brokers(configuration).start()
    assert broker.mllp(authority.chu).ask(message("LOST")).code == "AA"
    assert broker.wait_log("parked", peer="chu").level == "error"
    broker.wait_metric(1, "liaison_parked")


def test_no_route_refused(brokers, configuration, authority):
    configuration.routes[0]["when"] = {"type": "ORU"}
    configuration.top["unrouted"] = "refuse"
    broker = brokers(configuration).start()
    assert broker.mllp(authority.chu).ask(message("LOST")).code == "AE"
    assert broker.wait_log("refused", control="LOST")
    assert not broker.log("parked")


# Stopping


def test_sigterm_answers_what_is_in_flight(broker, authority, chu):
    sent = [message(f"F{n}") for n in range(2000)]
    chu.send(b"".join(frame(one) for one in sent[:50]))
    assert chu.ack().control == "F0"
    chu.send(b"".join(frame(one) for one in sent[50:]))
    since = time.monotonic()
    broker.terminate()
    answered = 1
    try:
        while True:
            ack = chu.ack()
            assert ack.control == f"F{answered}"
            assert ack.code in ("AA", "AR")
            answered += 1
    except Closed as closed:
        assert closed.rest == b"", "an answer was cut"
    assert broker.wait() == 0
    assert time.monotonic() - since < 10
    assert broker.log("stopping") and broker.log("stopped")
    # Nothing was half taken: all of it may be sent again, and is there once.
    broker.restart()
    chu = broker.mllp(authority.chu)
    chu.send(b"".join(frame(one) for one in sent))
    assert [chu.ack().code for _ in sent] == ["AA"] * len(sent)
    broker.wait_metric(len(sent), "liaison_waiting", destination="ehpad")


def test_sigterm_with_idle_connections(broker, authority):
    for _ in range(20):
        broker.mllp(authority.chu)
    since = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - since < 5


def test_no_patient_in_the_log(broker, chu):
    chu.ask(message("C-1", body="PID|1||CANARY-1^^^CHU||CANARY-2^CANARY-3|||F|||CANARY-4"))
    chu.ask(message("C-2", version="CANARY-5", body="PID|1||CANARY-1"))
    chu.send(b"CANARY-6" + frame(b"CANARY-7") + VT + b"MSH|^~\\&|CANARY-8" + frame(message("C-3")))
    while chu.ack().control != "C-3":
        pass
    assert broker.stop() == 0
    # MSH-3, 4, 9 and 10 are named in the log, escaped and cut; nothing else is.
    assert set(re.findall("CANARY-[^8]", broker.log_text() + broker.stderr.read_text())) == set()

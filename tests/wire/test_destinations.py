# SPDX-License-Identifier: Apache-2.0
"""Destinations that are dialled, and every way in which they may answer: nothing is lost, reordered, or sent twice without need."""
import time

import pytest

from liaison_harness import destination as does
from liaison_harness.broker import wait_until
from liaison_harness.destination import Destination
from liaison_harness.road import QUICK, Road, arrived, doubles, in_order, settled, waiting


@pytest.fixture
def configuration(configuration, lab):
    """All that `chu` sends goes to the inbox of `ehpad` and to the destination `lab`, which is tried again quickly."""
    configuration.destination("lab", lab.port, **QUICK)
    configuration.routes[0]["to"] = ["ehpad", "lab"]
    return configuration


@pytest.fixture
def road(broker, authority):
    return Road(broker, authority.chu)


def test_delivered(broker, road, lab):
    road.push(5)
    told = settled(broker, 5)
    assert all(line["code"] == "AA" and line["tries"] == "1" for line in told)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 5
    assert [one.content for one in lab.messages] == road.sent
    assert len(lab.connections) == 1, "an idle link stays open"
    assert lab.most == 1, "one at a time unless configured otherwise"
    wait_until(lambda: broker.metric("liaison_delivered_total", destination="lab") == 5)
    broker.wait_metric(0, "liaison_waiting", destination="lab")
    assert waiting(broker, "ehpad") == 5, "an inbox of the same messages is not concerned"
    shown = broker.liaison("show", told[0]["id"])
    assert shown.returncode == 0 and "lab" in shown.stdout


def test_an_idle_link_serves_again(broker, road, lab):
    road.push(1)
    settled(broker, 1)
    time.sleep(1.5)  # longer than an acknowledgement may take
    road.push(1)
    settled(broker, 2)
    assert lab.count == 1
    lab.cut()
    wait_until(lambda: not lab.connections)
    time.sleep(0.3)
    assert lab.count == 1, "with nothing to send nobody is called"
    road.push(1)
    settled(broker, 3)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 3
    assert not broker.log("destination-down"), "a link that ended while idle is no failure"


# What is answered to the second of four messages; how often that one comes again; its code in the end; stray answers. A connection that ends without a
# word after it settled something is opened again at once (the first time); all else that goes wrong is told, and a pause follows.
WITHOUT_PAUSE = ("with the end alone", "with a reset")
ANSWERS = {
    "twice": (does.times(2), 0, "AA", 1),
    "ten times": (does.times(10), 0, "AA", 9),
    "slowly, byte by byte": (does.slowly(), 0, "AA", 0),
    "a commit acknowledgement": (does.code("CA"), 0, "CA", 0),
    "AE": (does.code("AE", "103", "PID^1^3", "unknown patient LILAS"), 0, "AE", 0),
    "CE": (does.code("CE"), 0, "CE", 0),
    "AR": (does.code("AR"), 1, "AA", 0),
    "CR": (does.code("CR"), 1, "AA", 0),
    "too late": (does.late(1.5), 1, "AA", 0),
    "never": (does.silence, 1, "AA", 0),
    "for a message that is not there": (does.of_another("NOBODY", then=does.accept), 0, "AA", 1),
    "only for a message that is not there": (does.of_another("NOBODY"), 1, "AA", 1),
    "without MSA-2": (does.of_another(""), 1, "AA", 1),
    "AE for a message that is not there": (does.of_another("NOBODY", "AE", does.accept), 0, "AA", 1),
    "AR for a message that is not there": (does.of_another("NOBODY", "AR", does.accept), 0, "AA", 1),
    "no HL7": (does.garbage(), 1, "AA", 0),
    "no MSA": (does.garbage(b"\x0bMSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5\r\x1c\r"), 1, "AA", 0),
    "a code that is none": (does.garbage(b"\x0bMSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5\rMSA|OK|1\r\x1c\r"), 1, "AA", 0),
    "HTTP": (does.garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n\x0b"), 1, "AA", 0),
    "unframed": (does.garbage(b"MSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5\rMSA|AA|1\r"), 1, "AA", 0),
    "an empty frame": (does.garbage(b"\x0b\x1c\r"), 1, "AA", 0),
    "half, then the end": (does.half, 1, "AA", 0),
    "with the end alone": (does.hang_up, 1, "AA", 0),
    "with a reset": (does.reset, 1, "AA", 0),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answered(broker, road, lab, answer):
    behave, again, code, strays = ANSWERS[answer]
    lab.next(does.accept, behave)
    road.push(4)
    told = settled(broker, 4)
    assert [line["code"] for line in told] == ["AA", code, "AA", "AA"], "in the order of the queue"
    assert in_order(lab, road)
    assert doubles(lab, road) == [0, again, 0, 0]
    assert broker.metric("liaison_stray_answers_total", destination="lab") == strays
    assert len(broker.log("stray-answer")) == (strays > 0), "one line a minute"
    assert len(broker.log("delivery-deferred")) == (again if answer not in WITHOUT_PAUSE else 0)
    if code in ("AE", "CE"):
        rejected, = broker.log("item-rejected", destination="lab")
        assert rejected["id"] == str(int(told[0]["id"]) + 1)
        assert "rejected" in broker.liaison("show", rejected["id"]).stdout
    broker.wait_metric(0, "liaison_waiting", destination="lab")
    assert "LILAS" not in broker.log_text(), "what a receiver says in prose is not for the log"


def test_a_rejection_is_told_by_its_code_and_place(broker, road, lab):
    lab.next(does.code("AE", "204", "PID^1^3", "unknown patient LILAS ROSE"))
    road.push(1)
    rejected, = settled(broker, 1)
    assert (rejected["condition"], rejected["path"], rejected.level) == ("204", "PID-3", "warning")
    assert "LILAS" not in broker.log_text()


def test_an_answer_in_other_words(broker, road, lab):
    """Line feeds, no last segment end, blank lines between frames."""
    def behave(connection, message):
        text = does.acknowledgement("AA", message.control).replace(b"\r", b"\n").rstrip()
        connection.send(b"\r\n" + b"\x0b" + text + b"\x1c\r\n")
    lab.usual = behave
    road.push(3)
    settled(broker, 3)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 3


def test_hanging_up_behind_each_answer_is_no_failure(broker, road, lab):
    lab.usual = does.accept_and_hang_up
    since = time.monotonic()
    road.push(20)
    settled(broker, 20)
    assert time.monotonic() - since < 5, "no pause stands between"
    assert in_order(lab, road)
    assert not broker.log("destination-down")


def test_many_answers_to_each_message(broker, road, lab):
    """As many as the connection has had messages: only the right one confirms, and the link is renewed before they are too many."""
    def behave(connection, message):
        connection.had = getattr(connection, "had", 0) + 1
        does.times(connection.had)(connection, message)
    lab.usual = behave
    road.push(60)
    settled(broker, 60)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 60
    assert lab.count > 1
    assert len(broker.log("stray-answer")) == 1


def test_refused_for_a_while(broker, road, lab):
    lab.usual = does.code("AR", "207")
    road.push(3)
    wait_until(lambda: len(lab.messages) >= 4, what="four tries")
    assert set(lab.controls) == {lab.controls[0]}, "nothing behind the first is sent"
    down = broker.wait_log("destination-down")
    assert down["reason"] == "answered AR 207" and down["queued"] == "3"
    lab.usual = does.accept
    settled(broker, 3)
    assert in_order(lab, road)
    assert len(broker.log("destination-down")) == len(broker.log("destination-up")) == len(broker.log("delivery-deferred")) == 1
    tries = broker.metric("liaison_destination_retries_total", destination="lab")
    assert tries >= 3 and broker.metric("liaison_destination_failures_total", reason="refused") == tries


def test_down_and_up(broker, road, lab):
    lab.stop()
    road.push(5)
    down = broker.wait_log("destination-down", destination="lab")
    assert "refused" in down["reason"], down
    time.sleep(1.5)
    assert len(broker.log("destination-down")) == len(broker.log("delivery-deferred")) == 1, "told once"
    assert waiting(broker) == 5
    lab.start()
    settled(broker, 5)
    broker.wait_log("destination-up", destination="lab")
    assert in_order(lab, road) and doubles(lab, road) == [0] * 5


@pytest.mark.parametrize("how", ["before the handshake", "behind the handshake", "before reading"])
def test_accepts_and_ends(broker, road, lab, how):
    """Connections that come to nothing: pauses between them, and nothing is lost."""
    whole = Destination.accept
    if how == "before the handshake":
        lab.greeting, context = None, lab.context

        class Nothing:
            @staticmethod
            def wrap_socket(raw, server_side):
                raw.close()
                raise OSError("ended on purpose")
        lab.context = Nothing()
    elif how == "behind the handshake":
        lab.greeting = lambda connection: connection.reset()
    else:
        lab.greeting = lambda connection: connection.close()
    assert whole
    road.push(3)
    broker.wait_log("destination-down", destination="lab")
    time.sleep(1)
    assert 2 <= lab.count <= 12, "it is tried again, not all the time"
    lab.greeting = None
    if how == "before the handshake":
        lab.context = context
    settled(broker, 3)
    assert in_order(lab, road) and doubles(lab, road) == [0] * 3


def test_a_restart_in_the_middle(broker, road, lab, authority):
    lab.usual = does.late(0.1)
    road.push(20)
    wait_until(lambda: len(lab.messages) >= 5)
    assert broker.stop() == 0
    answered = [one.sha for one in lab.messages]
    broker.restart()
    settled(broker, 20)
    assert in_order(lab, road)
    assert doubles(lab, road) == [0] * 20, f"a stop awaits what is on its way: {answered}"


def test_a_stop_does_not_wait_for_the_silent(broker, road, lab):
    lab.usual = does.silence
    road.push(2)
    wait_until(lambda: lab.messages)
    since = time.monotonic()
    assert broker.stop() == 0
    assert time.monotonic() - since < 4
    lab.usual = does.accept
    broker.restart()
    settled(broker, 2)
    assert in_order(lab, road)


def test_a_kill_in_the_middle(broker, road, lab):
    lab.usual = does.late(0.05)
    road.push(20)
    wait_until(lambda: len(lab.messages) >= 5)
    broker.kill()
    seen = len(lab.messages)
    broker.restart()
    settled_before = len([line for line in broker.log() if line.event == "delivered"])
    assert settled_before <= 20
    wait_until(lambda: len(set(arrived(lab))) == 20)
    broker.wait_metric(0, "liaison_waiting", destination="lab")
    assert in_order(lab, road)
    again = doubles(lab, road)
    assert sum(again) <= 1 and not any(again[seen:]), "at most what was on its way"


def test_the_dead_do_not_slow_the_living(brokers, configuration, authority, lab):
    other = Destination(authority).start()
    configuration.destination("archive", other.port, **QUICK)
    configuration.routes[0]["to"] = ["ehpad", "lab", "archive"]
    broker = brokers(configuration).start()
    try:
        lab.stop()
        road = Road(broker, authority.chu)
        road.push(200)
        settled(broker, 200, "archive")
        assert in_order(other, road) and doubles(other, road) == [0] * 200
        broker.wait_metric(200, "liaison_waiting", destination="lab")
        lab.start()
        settled(broker, 200)
        assert in_order(lab, road) and doubles(lab, road) == [0] * 200
        reader = broker.pull(authority.ehpad)
        assert len(reader.items("ehpad", limit=1000).json["items"]) == 200
    finally:
        other.stop()

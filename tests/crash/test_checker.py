# SPDX-License-Identifier: Apache-2.0
"""The checker itself: silent about a sound broker, and never blind to one that errs once in 10,000 messages."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import broken_brokers  # noqa: E402
import checker  # noqa: E402

SEEDS = range(20)

# What each broken broker must be found guilty of.
BROKEN = {
    broken_brokers.Drops: "lost",
    broken_brokers.Reorders: "order",
    broken_brokers.Alters: "altered",
    broken_brokers.Doubles: "doubled",
    broken_brokers.AcknowledgesEarly: "lost",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_sound_broker(seed):
    sent, arrived, _ = broken_brokers.run(broken_brokers.Broker, seed)
    assert checker.check(sent, arrived) == []


@pytest.mark.parametrize("broker", BROKEN, ids=lambda broker: broker.__name__)
def test_broken_broker_is_found_on_every_seed(broker):
    found = 0
    for seed in SEEDS:
        sent, arrived, erred = broken_brokers.run(broker, seed)
        assert erred, f"seed {seed}: the broker never erred, the run proves nothing"
        found += any(finding.startswith(BROKEN[broker]) for finding in checker.check(sent, arrived))
    print(f"{broker.__name__}: found on {found} seeds of {len(SEEDS)}")
    assert found == len(SEEDS)


def test_each_single_error_is_named():
    sent = ["send\ta\t1\tx\n", "ack\ta\t1\tAA\n", "send\ta\t2\ty\n", "ack\ta\t2\tAA\n"]
    assert checker.check(sent, ["1\ta\t1\tx\n", "2\ta\t2\ty\n"]) == []
    cases = {
        "lost": ["1\ta\t1\tx\n"],
        "altered": ["1\ta\t1\tx\n", "2\ta\t2\tz\n"],
        "order": ["1\ta\t2\ty\n", "2\ta\t1\tx\n"],
        "doubled": ["1\ta\t1\tx\n", "2\ta\t2\ty\n", "3\ta\t2\ty\n"],
        "unknown": ["1\ta\t1\tx\n", "2\ta\t2\ty\n", "3\tb\t9\tq\n"],
    }
    for name, arrived in cases.items():
        assert any(f.startswith(name) for f in checker.check(sent, arrived)), name
    # A refused message need not arrive; an acknowledgement out of nowhere is told.
    assert checker.check(["send\ta\t1\tx\n", "ack\ta\t1\tAE\n"], []) == []
    assert checker.check(["ack\ta\t1\tAA\n"], [])[0].startswith("unknown")
    # A double of what was in doubt is allowed, but not more often than it was sent.
    doubt = ["send\ta\t1\tx\n", "cut\ta\n", "send\ta\t1\tx\n", "ack\ta\t1\tAA\n"]
    assert checker.check(doubt, ["1\ta\t1\tx\n", "2\ta\t1\tx\n"]) == []
    assert checker.check(doubt, ["1\ta\t1\tx\n", "2\ta\t1\tx\n", "3\ta\t1\tx\n"])[0].startswith("doubled")


def test_program(tmp_path):
    (tmp_path / "sent").write_text("send\ta\t1\tx\nack\ta\t1\tAA\n")
    (tmp_path / "arrived").write_text("")
    program = [sys.executable, os.path.join(os.path.dirname(__file__), "checker.py")]
    run = subprocess.run(program + [str(tmp_path / "sent"), str(tmp_path / "arrived")], capture_output=True, text=True)
    assert run.returncode == 1
    assert "lost: a 1" in run.stdout
    assert subprocess.run(program, capture_output=True).returncode == 2

# SPDX-License-Identifier: Apache-2.0
"""The checker of receipts itself: silent about a sound sender, and never blind to one that errs once."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import broken_senders  # noqa: E402
import receipts  # noqa: E402

SEEDS = range(20)
WINDOWS = (1, 2, 16)

# What each broken sender must be found guilty of.
BROKEN = {
    broken_senders.Forgets: "lost",
    broken_senders.Hurries: "order",
    broken_senders.Alters: "altered",
    broken_senders.Repeats: ("doubled", "order"),
    broken_senders.Believes: "lost",
    broken_senders.Overruns: "window",
    broken_senders.Insists: "doubled",
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("seed", SEEDS)
def test_sound_sender(seed, window):
    taken, lines, _ = broken_senders.run(broken_senders.Sender, seed, window)
    assert receipts.check(taken, lines, window) == []


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("sender", BROKEN, ids=lambda sender: sender.__name__)
def test_broken_sender_is_found_on_every_seed(sender, window):
    found = 0
    for seed in SEEDS:
        taken, lines, erred = broken_senders.run(sender, seed, window)
        assert erred, f"seed {seed}: the sender never erred, the run proves nothing"
        found += any(finding.startswith(BROKEN[sender]) for finding in receipts.check(taken, lines, window))
    assert found == len(SEEDS)


TAKEN = ["1\ta\tx\t11\n", "2\tb\ty\t22\n"]


def test_each_single_error_is_named():
    sound = ["arrive\t1\ta\tx\t11\n", "answer\t1\tx\tAA\n", "arrive\t1\tb\ty\t22\n", "answer\t1\ty\tAE\n"]
    assert receipts.check(TAKEN, sound, 1) == []
    cases = {
        "lost": [sound[:2], sound[:3], sound[:3] + ["answer\t1\ty\tAR\n"], sound[:3] + ["answer\t2\ty\tAA\n"]],
        "altered": [sound[:2] + ["arrive\t1\tb\ty\t23\n", sound[3]]],
        "unknown": [["arrive\t1\tc\tz\t33\n"] + sound],
        "order": [sound[2:] + ["arrive\t2\ta\tx\t11\n", "answer\t2\tx\tAA\n"]],
        "doubled": [sound + ["arrive\t2\ta\tx\t11\n", "answer\t2\tx\tAA\n"]],
        "window": [[sound[0], sound[2], sound[1], sound[3]]],
        "equal": [["arrive\t1\ta\tx\t11\n", "arrive\t1\ta\tx\t11\n"]],
    }
    for name, runs in cases.items():
        for lines in runs:
            assert any(finding.startswith(name) for finding in receipts.check(TAKEN, lines, 1)), (name, lines)


def test_the_last_one_may_come_again():
    lines = ["arrive\t1\ta\tx\t11\n", "answer\t1\tx\tAA\n", "arrive\t2\ta\tx\t11\n", "answer\t2\tx\tAA\n",
             "arrive\t2\tb\ty\t22\n", "answer\t2\ty\tAA\n"]
    assert receipts.check(TAKEN, lines, 1) == [], "its settling may not have been written down"


def test_as_a_program(tmp_path):
    program = pathlib.Path(receipts.__file__)
    (tmp_path / "taken").write_text("".join(TAKEN))
    (tmp_path / "receipts").write_text("arrive\t1\ta\tx\t11\n")
    run = subprocess.run([sys.executable, program, tmp_path / "taken", tmp_path / "receipts", "1"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout.count("lost") == 2
    assert subprocess.run([sys.executable, program], capture_output=True).returncode == 2


def test_late_arrivals():
    """What was on its way on a connection that is given up may still come, as much as the window holds; only where that was asked for."""
    taken = [f"{n}\ta\tm{n}\t{n}\n" for n in range(1, 9)]
    newer = [line for n in range(1, 9) for line in (f"arrive\t2\ta\tm{n}\t{n}\n", f"answer\t2\tm{n}\tAA\n")]
    first = ["arrive\t1\ta\tm1\t1\n", "answer\t1\tm1\tAE\n"]
    late = [line for n in (2, 3) for line in (f"arrive\t1\ta\tm{n}\t{n}\n", f"answer\t1\tm{n}\tAA\n")]
    newer = newer[2:]
    assert receipts.check(taken, first + newer + late[:2], 1, late=True) == []
    assert receipts.check(taken, first + newer + late[:2], 1)[0].startswith("doubled")
    assert receipts.check(taken, first + newer + late, 2, late=True) == []
    assert receipts.check(taken, first + newer + late, 1, late=True)[0].startswith("doubled")
    # Settled by what was said on the older connection, though it came again; and nothing else may be amiss.
    again = first + newer[:-1] + ["arrive\t3\ta\tm8\t8\n", "answer\t3\tm8\tAA\n"]
    twice = receipts.check(taken, again + ["arrive\t2\ta\tm8\t8\n"], 1, late=True)
    assert "doubled: a m8 arrived twice on connection 2" in twice
    assert receipts.check(taken, again + ["arrive\t1\ta\tm8\t8\n"], 1, late=True) == []
    assert receipts.check(taken, again + ["arrive\t1\ta\tm8\t8\n"], 1)[-1].startswith("lost: a m8")
    assert receipts.check(taken, first + newer[2:], 1, late=True)[0].startswith("lost: a m2")


@pytest.mark.parametrize("sender", BROKEN, ids=lambda sender: sender.__name__)
def test_a_checker_that_expects_late_arrivals_is_not_blind(sender):
    for seed in SEEDS:
        taken, lines, _ = broken_senders.run(sender, seed, 1)
        assert any(finding.startswith(BROKEN[sender]) for finding in receipts.check(taken, lines, 1, late=True)), seed

# SPDX-License-Identifier: Apache-2.0
"""The measure of a dead destination works; no figure is judged here."""
import pathlib
import re
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "bench" / "dead_destination"


@pytest.mark.parametrize("more", [[], ["--silent"]], ids=["nobody there", "never answers"])
def test_it_measures(more):
    done = subprocess.run([PROGRAM, "--queued", "300", "--turns", "2", "--seconds", "0.5", *more], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^without the dead one +p50 .* 450 arrivals$", done.stdout, re.M), done.stdout
    assert re.search(r"^with the dead one +p50 .* 450 arrivals$", done.stdout, re.M), done.stdout
    assert re.search(r"^ratio of p99: [0-9.]+; .* 2 turns, 300 queued$", done.stdout, re.M), done.stdout


def test_usage():
    assert subprocess.run([PROGRAM, "--turns", "0"], capture_output=True).returncode == 2

# SPDX-License-Identifier: Apache-2.0
"""A small share of what tests/campaign does for hours: a few kills under load, everything acknowledged must be there."""
import pathlib
import subprocess
import sys

import pytest

KILL9 = pathlib.Path(__file__).resolve().parent / "kill9.py"


@pytest.mark.parametrize("more", [[], ["--retention"], ["--destinations"]], ids=["", "retention", "destinations"])
def test_few_kills(more):
    run = subprocess.run([sys.executable, KILL9, "--kills", "4", "--megabytes", "10", *more], capture_output=True, text=True, timeout=240)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken promises" in run.stdout


def test_usage():
    assert subprocess.run([sys.executable, KILL9, "--kills", "0"], capture_output=True).returncode == 2
    assert subprocess.run([sys.executable, KILL9, "--help"], capture_output=True).returncode == 0

# SPDX-License-Identifier: Apache-2.0
"""The systemd unit is one that systemd takes without a warning, and it stays hardened."""
import pathlib
import re
import shutil
import subprocess

import pytest

CONF = pathlib.Path(__file__).resolve().parent.parent / "conf"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent")


@pytest.fixture
def unit(tmp_path):
    """A copy that starts programs which are there: the broker need not be installed to check its unit."""
    text = (CONF / "liaison.service").read_text()
    text, changed = re.subn(r"(?m)^(Exec\w+)=\S+", r"\1=/bin/true", text)
    assert changed == 2  # ExecStart, ExecReload
    text = re.sub(r"(?m)^Documentation=.*\n", "", text)  # verify looks for installed manual pages
    path = tmp_path / "liaison.service"
    path.write_text(text)
    return path


def complaints(unit):
    """Lines of systemd-analyze about this unit; it also reads the machine's own ones, which are not our business."""
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "liaison" in line]


def test_systemd_takes_the_unit(unit):
    assert complaints(unit) == []


def test_a_wrong_unit_would_be_noticed(unit):
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notfy"))
    assert complaints(unit)


def test_the_unit_stays_hardened(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", ["Type=notify", "UMask=0077", "LimitCORE=0", "NoNewPrivileges=yes", "ProtectSystem=strict",
                                  "MemoryDenyWriteExecute=yes", "StateDirectoryMode=0700"])
def test_the_unit_says(line):
    assert line in (CONF / "liaison.service").read_text().splitlines()


@pytest.mark.parametrize("name", ["liaison-crls.service", "liaison-crls.timer"])
def test_systemd_takes_the_units_of_revocation_lists(tmp_path, name):
    for one in ("liaison-crls.service", "liaison-crls.timer"):
        text = (CONF / one).read_text()
        if one.endswith(".service"):
            text, changed = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
            assert changed == 1
        (tmp_path / one).write_text(text)
    assert complaints(tmp_path / name) == []
    (tmp_path / name).write_text((tmp_path / name).read_text().replace("Type=oneshot", "Type=onceshot").replace("OnCalendar=hourly",
                                                                                                             "OnCalendar=whenever"))
    assert complaints(tmp_path / name), "a wrong one is noticed"

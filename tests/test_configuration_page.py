# SPDX-License-Identifier: Apache-2.0
"""The sample configuration, the manual page and the code name the same settings with the same defaults."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "conf/man/liaison.conf.5"


def settings_of_the_code():
    """Names in the tables of broker/base/conf_*.c."""
    names = set()
    for source in (ROOT / "broker/base").glob("conf_*.c"):
        text = source.read_text()
        names |= set(re.findall(r'\{\s*"([a-z_]+)",\s*CONF_[A-Z]+', text))
        names |= set(re.findall(r"^\s*(?:LIMIT|DEADLINE|JOURNAL|WHEN)\(([a-z_]+)", text, re.M))
    return names - {"name"}


def test_the_sample_names_every_setting():
    text = (ROOT / "conf/liaison.conf").read_text()
    assert len(settings_of_the_code()) > 50
    for name in sorted(settings_of_the_code()):
        assert re.search(rf"\b{name}\b", text), name


def test_the_page_names_every_setting():
    text = PAGE.read_text()
    for name in sorted(settings_of_the_code()):
        assert re.search(rf"^\.(It )?Ic .*\b{name}\b|^\.Ic .*\b{name}\b", text, re.M), name


def test_the_page_says_the_defaults_of_the_sample():
    page = PAGE.read_text()
    checked = 0
    for line in (ROOT / "conf/liaison.conf").read_text().splitlines():
        setting = re.match(r'^\s*#([a-z_]+) = "?([0-9]+[A-Za-z%]*)"?;$', line)
        if not setting:
            continue
        entries = re.findall(rf"^\.It Ic {setting[1]}\n(.*?)(?=^\.It|^\.El)", page, re.M | re.S)
        assert any(re.search(rf"Default {setting[2]}[.,]", entry) for entry in entries), line
        checked += 1
    assert checked > 25


@pytest.mark.skipif(shutil.which("man") is None, reason="man is absent")
def test_the_page_can_be_read():
    done = subprocess.run(["man", "--warnings", "-l", str(PAGE)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "TERM": "dumb"})
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "duplicate_window" in done.stdout

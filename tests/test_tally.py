# SPDX-License-Identifier: Apache-2.0
"""The counter of test results: what it adds up, what it calls a failure, and what CI does not excuse."""
import json
import os
import pathlib
import subprocess

import pytest

TALLY = pathlib.Path(__file__).resolve().parent / "tally"


def run(folder, ci=False):
    env = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    done = subprocess.run([TALLY, folder], capture_output=True, text=True, env=env, timeout=60)
    return done.returncode, done.stdout


def meson(folder, *programs):
    lines = [json.dumps({"name": name, "result": result, "stdout": out, "stderr": err}) for name, result, out, err in programs]
    (folder / "unit.testlog.json").write_text("\n".join(lines) + "\n")


def junit(folder, *cases):
    text = "".join(f'<testcase classname="wire" name="{name}">{inside}</testcase>' for name, inside in cases)
    (folder / "wire.junit.xml").write_text(f"<testsuites><testsuite>{text}</testsuite></testsuites>")


def test_adds_up_all_runners(tmp_path):
    meson(tmp_path, ("a", "OK", "", "[  PASSED  ] 3 test(s).\n[  PASSED  ] 2 test(s).\n"), ("b", "OK", "no cmocka", ""))
    junit(tmp_path, ("x", ""), ("y", ""))
    (tmp_path / "layout.passed").write_text("")
    assert run(tmp_path) == (0, "9 passed, 0 failed\n")


def test_failures_are_shown_and_counted(tmp_path):
    meson(tmp_path, ("a", "FAIL", "", "[  PASSED  ] 3 test(s).\n[  FAILED  ] 2 test(s), listed below:\n"), ("b", "TIMEOUT", "stuck", ""))
    junit(tmp_path, ("x", '<failure message="m">the trace</failure><system-err>its log</system-err>'), ("y", "<error>boom</error>"))
    (tmp_path / "layout.failed").write_text("line 3\n")
    code, out = run(tmp_path)
    assert code == 1
    assert out.endswith("\n3 passed, 6 failed\n")
    for said in ("FAILED: a (fail)", "FAILED: b (timeout)\nstuck", "the trace\nits log", "boom", "FAILED: layout\nline 3"):
        assert said in out


@pytest.mark.parametrize("reason, ci, code, last", [
    ("no IPv6 here", False, 0, "1 passed, 0 failed"),
    ("no IPv6 here", True, 1, "1 passed, 1 failed"),
    ("../shared/samples is absent", True, 0, "1 passed, 0 failed"),
])
def test_skips(tmp_path, reason, ci, code, last):
    junit(tmp_path, ("x", ""), ("y", f'<skipped message="{reason}"/>'))
    got, out = run(tmp_path, ci)
    assert got == code
    assert out.splitlines()[-1] == last
    assert reason in out


@pytest.mark.parametrize("reason, code", [("../shared/samples is absent", 0), ("tired", 1)])
def test_skipped_programs_in_ci(tmp_path, reason, code):
    meson(tmp_path, ("a", "OK", "", ""), ("b", "SKIP", f"x\n{reason}\n", ""))
    assert run(tmp_path, ci=True)[0] == code


def test_nothing_ran(tmp_path):
    assert run(tmp_path) == (1, "0 passed, 0 failed\n")


def test_unreadable_report(tmp_path):
    (tmp_path / "wire.junit.xml").write_text("<testsuites><testsuite>")
    code, out = run(tmp_path)
    assert code == 1 and out.endswith("0 passed, 1 failed\n")


def test_absent_folder(tmp_path):
    assert run(tmp_path / "none")[0] == 1

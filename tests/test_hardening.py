# SPDX-License-Identifier: Apache-2.0
"""The check of hardening: takes a hardened program, and tells each thing that one built without it lacks."""
import pathlib
import subprocess

import pytest

CHECKER = pathlib.Path(__file__).resolve().parent / "hardening"
SOURCE = """
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
	char text[64];
	strcpy(text, argv[argc - 1]);
	return printf("%s" SEAM, text) < 0;
}
"""
HARDENED = ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fPIE", "-pie", "-Wl,-z,relro,-z,now",
            "-Wl,-z,noexecstack", '-DSEAM=""']


def check(tmp_path, options):
    source, program = tmp_path / "a.c", tmp_path / "a"
    source.write_text(SOURCE)
    subprocess.run(["gcc", *options, "-w", "-o", program, source], check=True, timeout=60)
    done = subprocess.run([CHECKER, program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_hardened(tmp_path):
    assert check(tmp_path, HARDENED) == (0, "")


@pytest.mark.parametrize("options, said", [
    (["-no-pie", "-fno-pie"], "not position independent"),
    (["-Wl,-z,lazy"], "not bound at start"),
    (["-Wl,-z,norelro"], "relocations stay writable"),
    (["-Wl,-z,execstack"], "the stack may be executed"),
    (["-fno-stack-protector"], "no stack protector"),
    (["-U_FORTIFY_SOURCE"], "no checked calls"),
    (["-USEAM", '-DSEAM="LIAISON_CLOCK_RATE"'], "a test seam was compiled in"),
])
def test_lacking(tmp_path, options, said):
    code, out = check(tmp_path, HARDENED + options)
    assert code == 1
    assert said in out


def test_not_a_program(tmp_path):
    (tmp_path / "a").write_text("#!/bin/sh\n")
    done = subprocess.run([CHECKER, tmp_path / "a"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "not a program" in done.stdout) == (1, True)

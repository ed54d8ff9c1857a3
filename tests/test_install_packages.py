# SPDX-License-Identifier: Apache-2.0
"""conf/install-packages: what it would install where, on machines made of a few lies."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

PACKAGES = """# a comment
[build]
gcc

[test]
python3
npm unless npm
gcc
"""


@pytest.fixture
def machine(tmp_path):
    """Run it where only the packages and programs named are there."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "conf" / "install-packages", tmp_path / "conf")
    (tmp_path / "conf" / "packages.txt").write_text(PACKAGES)
    for name in ("bash", "awk", "cut", "dirname", "readlink", "grep", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def run(*arguments, packages=(), programs=()):
        told = " ".join(packages)
        (tmp_path / "bin" / "dpkg-query").write_text(
            f'#!/bin/bash\nfor one in {told}; do [ "$one" != "${{@: -1}}" ] || echo -n installed; done\n')
        for name in ("dpkg-query", *programs):
            path = tmp_path / "bin" / name
            if not path.exists():
                path.write_text("#!/bin/bash\n")
            path.chmod(0o755)
        done = subprocess.run([tmp_path / "conf" / "install-packages", *arguments], capture_output=True, text=True,
                              env={**os.environ, "PATH": str(tmp_path / "bin")})
        assert done.stderr == ""
        assert done.returncode == 0
        return done.stdout.split()
    return run


def test_names_only(machine):
    assert machine("--list", "test") == ["python3", "npm", "gcc"]
    assert machine("--list", "build", "test") == ["gcc", "python3", "npm"]


def test_what_is_missing(machine):
    assert machine("--missing", "build", "test") == ["gcc", "python3", "npm"]
    assert machine("--missing", "build", "test", packages=["gcc", "npm"]) == ["python3"]


def test_not_beside_another_npm(machine):
    assert machine("--missing", "test", packages=["gcc"], programs=["npm"]) == ["python3"]
    assert machine("test", packages=["gcc", "python3"], programs=["npm"]) == []

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the scenarios with partners that nobody here wrote: those of the wire scenarios, and Node.js packages."""
import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "wire"))

_spec = importlib.util.spec_from_file_location("wire_fixtures", HERE.parent / "wire" / "conftest.py")
_wire = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_wire)
authority, configuration, brokers = _wire.authority, _wire.configuration, _wire.brokers

import partners  # noqa: E402


@pytest.fixture(scope="session")
def packages():
    """The folder of the packages that package-lock.json names, installed once."""
    return partners.install()


@pytest.fixture
def fixtures(tmp_path):
    return partners.Fixtures(tmp_path)

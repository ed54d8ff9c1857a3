# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the wire scenarios. LIAISON_BUILD names the build folder; without it, build/."""
import ipaddress
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from liaison_harness import LIAISOND  # noqa: E402
from liaison_harness.authority import BOTH, Authority  # noqa: E402
from liaison_harness.broker import Broker  # noqa: E402
from liaison_harness.configuration import Configuration  # noqa: E402
from liaison_harness.destination import Destination  # noqa: E402


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """One authority for all, with the broker's certificate (authority.server) and that of the sender `chu` (authority.chu)."""
    if not LIAISOND.exists():
        pytest.fail(f"{LIAISOND} is not built")
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.server = made.issue("broker", usage=BOTH, dns=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
    made.chu = made.issue("chu")
    made.ehpad = made.issue("ehpad")
    return made


@pytest.fixture
def configuration(authority):
    """`chu` sends, `ehpad` reads what is routed to its inbox: everything."""
    made = Configuration()
    made.peer("chu", authority.chu)
    made.peer("ehpad", authority.ehpad, may=["read"])
    made.inbox("ehpad", readers=["ehpad"])
    made.route("all", to=["ehpad"])
    return made


@pytest.fixture
def brokers(authority):
    """Makes brokers that are cleaned up; one that still runs must stop well."""
    made = []

    def make(configuration, **options):
        made.append(Broker(authority, configuration, **options))
        return made[-1]
    yield make
    try:
        for one in made:
            one.close_clients()
            if one.process and one.process.poll() is None:
                assert one.stop() == 0, one.stderr.read_text()
    finally:
        for one in made:
            one.clean()


@pytest.fixture
def broker(brokers, configuration):
    """One that runs on `configuration`."""
    return brokers(configuration).start()


@pytest.fixture
def lab(authority):
    """A receiver behind a destination: it accepts everything unless told otherwise."""
    made = Destination(authority).start()
    yield made
    made.stop()

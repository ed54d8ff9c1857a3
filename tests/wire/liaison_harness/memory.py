# SPDX-License-Identifier: Apache-2.0
"""What a process holds in memory, and at most held."""
import pathlib

from . import LIAISOND

MIB = 1 << 20

#: A build with AddressSanitizer or ThreadSanitizer keeps shadows, red zones, and what was freed; its figures are only alike.
_PROGRAM = pathlib.Path(LIAISOND).read_bytes() if pathlib.Path(LIAISOND).exists() else b""
THREADS = b"__tsan_init" in _PROGRAM  # and is slow
SANITIZED = b"__asan_init" in _PROGRAM or THREADS

#: For the environment: without it such a build keeps 256 MiB of what was freed.
ASAN_OPTIONS = "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=0:verify_asan_link_order=0"


def held(pid):
    """Bytes resident now, and the most since the last forget()."""
    rows = dict(row.split(":", 1) for row in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in row)
    return [int(rows[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM")]


def forget(pid):
    """Count the most from now on."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


class Growth:
    """``with Growth(broker.process.pid) as growth: ...``, then ``growth.most``: bytes more than before at the worst moment."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        forget(self.pid)
        self.before = held(self.pid)[0]
        return self

    @property
    def most(self):
        return held(self.pid)[1] - self.before

    def __exit__(self, *_):
        pass

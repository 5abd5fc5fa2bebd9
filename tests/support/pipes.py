"""Readers that go away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence


def run_unread(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose standard output nobody reads, as before ``| head -0``."""
    out, into = os.pipe()
    os.close(out)
    try:
        return subprocess.run(
            command, stdout=into, stderr=subprocess.PIPE, check=False, timeout=300
        )
    finally:
        os.close(into)

"""Settings that all tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile(
    "pyunet", deadline=None, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("pyunet")

# `tools/test.sh &` ignores it, and what ignores it from the start can't be asked to end
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_as_at_the_start() -> Iterator[None]:
    """Log everything: a shell, or `init_log` in another test, may have muted it."""
    os.environ.pop("GLOG_minloglevel", None)
    yield
    os.environ.pop("GLOG_minloglevel", None)


@pytest.fixture(autouse=True)
def _compute_as_at_the_start() -> Iterator[None]:
    """Take back what a test, or a command that it called, chose for the process."""
    yield
    common = sys.modules.get("caffe.engine.common")
    if common is not None:
        common.set_precision("float32")
        common.set_backend("torch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not needs_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))

"""Fixtures of the command's tests."""

import signal

import pytest

from pyunet_fiji.backend.log import start_log


@pytest.fixture
def said(capsys):
    """Start the log; the result gives the lines since then, or since the last call."""
    start_log()
    return lambda: capsys.readouterr().err.splitlines()


@pytest.fixture
def signals_as_before():
    """Take back what a command made of the signals of this process."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)

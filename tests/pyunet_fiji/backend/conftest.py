"""Fixtures of the command's tests."""

import signal

import pytest


@pytest.fixture
def said(capsys):
    """Give a function for the lines logged since the start, or since the last call."""
    return lambda: capsys.readouterr().err.splitlines()


@pytest.fixture
def signals_as_before():
    """Take back what a command made of the signals of this process."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)

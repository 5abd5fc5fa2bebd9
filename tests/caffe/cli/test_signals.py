import os
import signal

import pytest

from caffe.cli.signals import Requests
from caffe.errors import CheckError


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(signal.SIGINT, "stop"), (signal.SIGHUP, "snapshot"), (signal.SIGTERM, "stop")],
)
def test_a_signal_is_one_request(number, wanted):
    with Requests("stop", "snapshot") as requests:
        assert requests.next() == "none"
        os.kill(os.getpid(), number)
        assert [requests.next(), requests.next()] == [wanted, "none"]


def test_effects_can_be_chosen_but_sigterm_always_stops():
    with Requests("none", "stop") as requests:
        os.kill(os.getpid(), signal.SIGINT)
        assert requests.next() == "none"
        os.kill(os.getpid(), signal.SIGHUP)
        assert requests.next() == "stop"
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.next() == "stop"


def test_stop_comes_first():
    with Requests("snapshot", "stop") as requests:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        assert [requests.next() for _ in range(3)] == ["stop", "snapshot", "none"]


def test_the_handlers_from_before_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Requests("stop", "snapshot"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_unknown_effect_is_refused():
    with pytest.raises(CheckError, match=r"effect 'halt' was .* snapshot"):
        Requests("halt", "none")


def test_signals_are_passed_on_with_those_taken_before(monkeypatch):
    sent = []
    real = os.kill
    with Requests("stop", "snapshot") as requests:
        os.kill(os.getpid(), signal.SIGHUP)
        monkeypatch.setattr(
            os, "kill", lambda process, number: sent.append((process, number))
        )
        requests.forward_to(77)
        real(os.getpid(), signal.SIGINT)
        assert requests.next() == "none"
        requests.forward_to(None)
        real(os.getpid(), signal.SIGINT)
        assert requests.next() == "stop"
    assert sent == [(77, signal.SIGHUP), (77, signal.SIGINT)]


def test_signals_to_a_process_that_has_ended_are_kept(monkeypatch):
    def gone(process, number):
        raise ProcessLookupError

    with Requests("stop", "snapshot") as requests:
        monkeypatch.setattr(os, "kill", gone)
        requests.forward_to(77)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)
        assert requests.next() == "stop"

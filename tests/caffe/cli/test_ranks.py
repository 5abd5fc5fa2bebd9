"""Processes that are started, watched and ended together."""

import os
import signal
from functools import partial

import pytest

from caffe.cli import ranks
from caffe.cli.signals import Requests
from caffe.errors import CaffeError, PeerError
from tests.support import ranks as work


@pytest.fixture
def launch():
    with Requests("stop", "snapshot") as requests:
        yield lambda what, gpus=(None, None): ranks.launch(what, gpus, requests)


def test_each_process_knows_its_place(launch, tmp_path):
    launch(partial(work.say_places, str(tmp_path)), (None, 4))
    assert [(tmp_path / name).read_text() for name in "01"] == ["0 2 None", "1 2 4"]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (work.all_fail, r"^no\\nnet for 0$"),
        (work.second_fails, r"^rank 1: KeyError: 'gone'$"),
        (work.second_is_killed, "^rank 1 was killed by SIGKILL$"),
    ],
)
def test_the_first_cause_is_told_in_one_line(launch, capfd, what, text):
    with pytest.raises(CaffeError, match=text):
        launch(what)
    assert capfd.readouterr().err == ""


def test_who_is_busy_is_ended_when_another_is_gone(launch, monkeypatch):
    monkeypatch.setattr(ranks, "_GRACE_S", 0.2)
    with pytest.raises(CaffeError, match="rank 1 ended with status 3"):
        launch(work.second_leaves)


def test_debug_shows_where(capfd):
    with Requests("stop", "snapshot") as requests, pytest.raises(CaffeError):
        ranks.launch(work.all_fail, (None,), requests, debug=True)
    assert "in all_fail" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "request_name"), [(signal.SIGINT, "stop"), (signal.SIGHUP, "snapshot")]
)
def test_a_signal_taken_before_the_start_reaches_the_first(number, request_name):
    with Requests("stop", "snapshot") as requests:
        os.kill(os.getpid(), number)
        with pytest.raises(CaffeError, match=f"^asked for {request_name}$"):
            ranks.launch(work.first_takes_a_signal, (None, None), requests)


STOPPED = r"^rank 1 \(process \d+\) has given no sign of life for 8 s, it was stopped"


@pytest.mark.slow
def test_a_rank_that_was_stopped_is_named_and_all_are_ended(launch, monkeypatch):
    monkeypatch.setattr(ranks, "_SILENT_BEATS", 8)
    with pytest.raises(PeerError, match=STOPPED):
        launch(work.second_is_stopped)


@pytest.mark.slow
def test_who_asks_for_the_end_waits_less_for_a_rank_that_was_stopped(monkeypatch):
    monkeypatch.setattr(ranks, "_SILENT_BEATS_WHEN_STOPPING", 8)
    with Requests("stop", "snapshot") as requests:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(PeerError, match=STOPPED):
            ranks.launch(work.second_is_stopped, (None, None), requests)


def test_the_third_request_to_stop_ends_ranks_that_do_not_listen():
    with Requests("stop", "snapshot") as requests:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        with pytest.raises(CaffeError, match=r"^asked to stop 3 times: all ranks are"):
            ranks.launch(work.both_wait, (None, None), requests)

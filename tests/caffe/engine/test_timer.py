"""pycaffe's stop watch."""

import pytest

from caffe.engine import common, timer
from caffe.engine.timer import Timer


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timer, "perf_counter", lambda: now[0])
    return now


def test_the_time_between_start_and_stop_is_told_in_three_units(clock):
    watch = Timer()
    watch.start()
    clock[0] = 1.5
    watch.stop()
    clock[0] = 9
    assert (watch.seconds, watch.ms, watch.us) == (1.5, 1500, 1500000)


def test_reading_stops_a_running_timer(clock):
    watch = Timer()
    watch.start()
    clock[0] = 2
    assert watch.ms == 2000
    clock[0] = 3
    assert watch.ms == 2000


def test_a_second_start_does_not_restart(clock):
    watch = Timer()
    watch.start()
    clock[0] = 1
    watch.start()
    clock[0] = 2
    assert watch.seconds == 2
    watch.stop()
    assert watch.seconds == 2


def test_a_timer_that_never_ran_warns_and_says_0(capsys):
    assert Timer().ms == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("W")
    assert line.endswith("Timer has never been run before reading time.")


def test_work_of_a_gpu_is_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(common, "gpu_mode", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waits.append(1))
    watch = Timer()
    watch.start()
    watch.stop()
    assert len(waits) == 2

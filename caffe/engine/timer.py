"""`caffe.Timer`: pycaffe's stop watch."""

from __future__ import annotations

from time import perf_counter

import torch

from caffe.engine import common
from caffe.glog import log

_MS = 1000
_US = 1_000_000


class Timer:
    """Time between `start` and `stop`, with what a GPU was told to do in between.

    Reading the time stops a timer that still runs. A second `start` while it runs
    does nothing, as in Caffe.

    Examples
    --------
    >>> timer = Timer()
    >>> timer.start()
    >>> timer.stop()
    >>> timer.ms < 1000
    True
    """

    def __init__(self) -> None:
        self._begin: float | None = None
        self._seconds: float | None = None

    def start(self) -> None:
        """Begin a new measurement."""
        if self._begin is None:
            self._begin = _now()

    def stop(self) -> None:
        """End the measurement; without one nothing happens."""
        if self._begin is not None:
            self._seconds = _now() - self._begin
            self._begin = None

    @property
    def seconds(self) -> float:
        """Seconds of the last measurement; 0, with a warning, if there was none."""
        self.stop()
        if self._seconds is None:
            text = "Timer has never been run before reading time."
            log("benchmark.cpp:77", text, "W")
            return 0.0
        return self._seconds

    @property
    def ms(self) -> float:
        """Milliseconds of the last measurement."""
        return _MS * self.seconds

    @property
    def us(self) -> float:
        """Microseconds of the last measurement."""
        return _US * self.seconds


def _now() -> float:
    if common.gpu_mode():
        torch.cuda.synchronize()
    return perf_counter()

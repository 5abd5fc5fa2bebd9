"""What training does when the system or a person interrupts it."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from caffe import glog
from caffe.errors import CheckError

_EFFECTS = ("stop", "snapshot", "none")
SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)


class Requests:
    """Turns signals into requests that a solver asks for when it is ready.

    SIGTERM asks to stop, as SIGINT does by default: programs that start a training
    end it so. A log that nobody reads any more (``caffe train 2>&1 | head``) asks for
    what SIGINT does.

    Parameters
    ----------
    sigint, sighup : {"stop", "snapshot", "none"}
        What each signal asks for.

    Attributes
    ----------
    stops : int
        How often it was asked to stop.

    Raises
    ------
    CheckError
        If an effect is none of these.
    """

    def __init__(self, sigint: str, sighup: str) -> None:
        for effect in (sigint, sighup):
            if effect not in _EFFECTS:
                raise CheckError(
                    f"Invalid signal effect '{effect}' was specified; "
                    f"expected one of {', '.join(_EFFECTS)}"
                )
        self._effects = {"SIGINT": sigint, "SIGTERM": "stop", "SIGHUP": sighup}
        self.stops = 0
        self._taken: list[signal.Signals] = []
        self._other: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Requests:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def next(self) -> str:
        """Take out a request, "stop" before "snapshot"; "none" if there is none."""
        if glog.reader_has_gone():
            self._take(signal.SIGINT, None)
        for effect in ("stop", "snapshot"):
            matching = [n for n in self._taken if self._effects[n.name] == effect]
            if matching:
                self._taken = [n for n in self._taken if n not in matching]
                return effect
        return "none"

    def forward_to(self, process: int | None) -> None:
        """Pass signals on to a process, those taken so far, too; None: no more."""
        self._other = process
        taken, self._taken = self._taken, []
        for number in taken:
            self._hand(number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.stops += self._effects[signal.Signals(number).name] == "stop"
        self._hand(signal.Signals(number))

    def _hand(self, number: signal.Signals) -> None:
        if self._other is None:
            self._taken.append(number)
            return
        try:
            os.kill(self._other, number)
        except ProcessLookupError:
            self._other = None  # it has ended: so does the work

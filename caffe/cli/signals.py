"""What training does when the system or a person interrupts it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from caffe.errors import CheckError

_EFFECTS = ("stop", "snapshot", "none")


class Requests:
    """Turns signals into requests that a solver asks for when it is ready.

    SIGTERM asks to stop, as SIGINT does by default: programs that start a training
    end it so.

    Parameters
    ----------
    sigint, sighup : {"stop", "snapshot", "none"}
        What each signal asks for.

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
                    f"accepted: {', '.join(_EFFECTS)}"
                )
        self._effects = {signal.SIGINT: sigint, signal.SIGTERM: "stop"}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._asked: list[str] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Requests:
        for number in self._effects:
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
        for effect in ("stop", "snapshot"):
            if effect in self._asked:
                self._asked = [other for other in self._asked if other != effect]
                return effect
        return "none"

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._asked.append(self._effects[signal.Signals(number)])

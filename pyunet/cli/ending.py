"""How a command ends when a signal asks it to."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from pyunet.signals import ASKING, handled

# SIGINT is a KeyboardInterrupt already
ENDING = [number for number in ASKING if number != signal.SIGINT]
AT_ONCE = 3


class Ended(KeyboardInterrupt):
    """A signal that asks the process to end.

    Attributes
    ----------
    name : str
        Of the signal.
    status : int
        What a shell says of a program that it ended.
    """

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name
        self.status = 128 + number
        super().__init__(self.name)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP break off the block as Ctrl-C does, by `Ended`.

    So temporary files go. The second signal, which a terminal that closes sends, does
    not disturb that; the third ends the process at once. One that is ignored (nohup)
    stays so.
    """
    taken: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        taken.append(number)
        if len(taken) == 1:
            raise Ended(number)
        if len(taken) == AT_ONCE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    with handled(ENDING, end):
        yield

"""What a process does when it is asked to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

# how a person, a terminal or a scheduler asks
ASKING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]
Handler = Callable[[int, "FrameType | None"], object]


@contextlib.contextmanager
def handled(numbers: Iterable[int], handler: Handler) -> Iterator[None]:
    """Let signals call a handler inside a ``with`` block.

    One that is ignored stays so: under nohup a terminal may close. In another thread
    than the main one, to which no signal comes, nothing is done.
    """
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)

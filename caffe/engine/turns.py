"""A net's threads: one at a time, and none gets another's numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from caffe.errors import CaffeError


class Turns:
    """Lets one thread at a time work with a net.

    Attributes
    ----------
    many : bool
        Whether several threads have asked for outputs in turn: what a turn gives must
        not change in the next one.

    Examples
    --------
    >>> turns = Turns("net 'a'")
    >>> with turns.taken(), turns.taken():  # the same thread
    ...     turns.many
    False
    """

    def __init__(self, whose: str) -> None:
        self.many = False
        self._whose = whose
        self._lock = threading.RLock()
        self._last: int | None = None

    @contextmanager
    def taken(self, *, wait: bool = False) -> Iterator[None]:
        """Work with the net inside a ``with`` block.

        Parameters
        ----------
        wait : bool, default False
            Wait until no other thread does. Only for what brings all its inputs:
            else another thread may have changed them meanwhile.

        Raises
        ------
        CaffeError
            If another thread does, and this one is not to wait.
        """
        if not self._lock.acquire(blocking=wait):
            raise CaffeError(
                f"{self._whose} is at work in another thread: a net belongs to one "
                "thread at a time; make a caffe.Net for each thread, or give the "
                "inputs to net.forward(name=array), which waits for its turn"
            )
        try:
            yield
        finally:
            self._lock.release()

    def changes_hands(self) -> bool:
        """Note which thread asks for outputs; tell if it is another one than before."""
        me, last = threading.get_ident(), self._last
        self._last = me
        changed = last is not None and last != me
        self.many |= changed
        return changed

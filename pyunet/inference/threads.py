"""Work in other threads, in order: done before it is wanted, or after it is asked for.

What such work raises is raised in the thread that uses it. Both end with their thread:
what is being done then is waited for, what is not begun is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], *, depth: int = 2) -> Generator[Item]:
    """Give items that a thread makes before they are asked for.

    Parameters
    ----------
    items : iterable
        Taken in one other thread only.
    depth : int, default 2
        Items made at most beside the one in use.

    Yields
    ------
    The items, in their order.

    Examples
    --------
    >>> [item for item in ahead(range(3))]
    [0, 1, 2]
    """
    end: Any = object()
    source = iter(items)
    pool = ThreadPoolExecutor(1, "ahead")
    try:
        pending = deque(pool.submit(next, source, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, source, end))
            yield item
            del item
    finally:
        pool.shutdown(cancel_futures=True)


class Behind(Generic[Item]):
    """Calls of a function in another thread: one runs while the next item is made.

    Parameters
    ----------
    work : callable
        Called with one item after the other.

    Examples
    --------
    >>> found = []
    >>> with Behind(found.append) as put:
    ...     for number in range(3):
    ...         put(number)
    >>> found
    [0, 1, 2]
    """

    def __init__(self, work: Callable[[Item], object]) -> None:
        self._work = work
        self._last: Future[object] | None = None
        self._pool = ThreadPoolExecutor(1, "behind")

    def __enter__(self) -> Behind[Item]:
        return self

    def __call__(self, item: Item) -> None:
        """Wait for the call before, and begin this one."""
        self._wait()
        self._last = self._pool.submit(self._work, item)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

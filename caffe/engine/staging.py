"""Batches on their way to a GPU while it still computes on the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Tensors = list[torch.Tensor]
_BUFFERS = 2  # one is filled while the other one is copied from


class Lane(Protocol):
    """What copies to a device beside its work."""

    def room(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """Memory of the host that the device can read by itself."""

    def send(self, pinned: Tensors) -> tuple[Tensors, Callable[[], object]]:
        """Start copying; the copies, and what waits until the host may go on."""

    def join(self, sent: Tensors) -> None:
        """Let what the device does from now on come after these copies."""


class CudaLane:
    """A stream of copies on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def room(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """Page-locked memory."""
        return torch.empty(count, dtype=dtype, pin_memory=True)

    def send(self, pinned: Tensors) -> tuple[Tensors, Callable[[], object]]:
        """Copy on the stream of this lane, behind what runs there."""
        copied = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            sent = [part.to(self._device, non_blocking=True) for part in pinned]
            copied.record(self._stream)
        return sent, copied.synchronize

    def join(self, sent: Tensors) -> None:
        """Order the copies before, and their memory behind, the present stream."""
        present = torch.cuda.current_stream(self._device)
        present.wait_stream(self._stream)
        for tensor in sent:
            tensor.record_stream(present)


class Staging:
    """Arrays of the host as tensors of a device, in two buffers that take turns.

    A batch is announced as soon as it is known and taken when it is needed; in between
    it is copied. On the CPU arrays are handed through, and nothing is copied.

    Parameters
    ----------
    device : torch.device
    lane : Lane, optional
        Default: a `CudaLane` on a GPU, none on the CPU.

    Attributes
    ----------
    device : torch.device
    copies : bool
        Whether it is worth while to announce a batch.

    Examples
    --------
    >>> staging = Staging(torch.device("cpu"))
    >>> batch = [np.arange(3)]
    >>> staging.announce(batch)
    >>> staging.take(batch)
    [tensor([0, 1, 2])]
    """

    def __init__(self, device: torch.device, lane: Lane | None = None) -> None:
        if lane is None and device.type == "cuda":
            lane = CudaLane(device)
        self.device = device
        self.copies = lane is not None
        self._lane = lane
        self._buffers: list[dict[tuple[int, torch.dtype], torch.Tensor]]
        self._buffers = [{} for _ in range(_BUFFERS)]
        self._free: list[Callable[[], object]] = [_at_once] * _BUFFERS
        self._turn = 0
        self._announced: tuple[Sequence[NDArray[Any]], Tensors] = ((), [])

    def announce(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Start copying a batch, unless that one is on its way already."""
        if self._lane is not None and not self._is_announced(arrays):
            self._announced = (arrays, self._send(self._lane, arrays))

    def take(self, arrays: Sequence[NDArray[Any]]) -> Tensors:
        """Give a batch on the device, for what is done there from now on.

        Parameters
        ----------
        arrays : sequence of array
            The very ones that were announced, not written to since; or others, which
            are copied now.

        Returns
        -------
        list of Tensor
            On a GPU new memory; on the CPU the arrays' own.
        """
        if self._lane is None:
            return [torch.from_numpy(array) for array in arrays]
        self.announce(arrays)
        _, sent = self._announced
        self._announced = ((), [])
        self._lane.join(sent)
        return sent

    def _is_announced(self, arrays: Sequence[NDArray[Any]]) -> bool:
        known, _ = self._announced
        pairs = zip(arrays, known, strict=False)
        return len(arrays) == len(known) and all(a is b for a, b in pairs)

    def _send(self, lane: Lane, arrays: Sequence[NDArray[Any]]) -> Tensors:
        turn = self._turn
        self._turn = (turn + 1) % _BUFFERS
        self._free[turn]()  # what was copied from this buffer last has arrived
        pinned = []
        for place, array in enumerate(arrays):
            value = torch.from_numpy(np.ascontiguousarray(array))
            room = self._room(lane, turn, place, value)
            pinned.append(room.view(value.shape).copy_(value))
        sent, self._free[turn] = lane.send(pinned)
        return sent

    def _room(
        self, lane: Lane, turn: int, place: int, value: torch.Tensor
    ) -> torch.Tensor:
        """Page-locked memory of this turn for the array at this place."""
        buffers = self._buffers[turn]
        key = (place, value.dtype)
        if key not in buffers or buffers[key].numel() < value.numel():
            buffers[key] = lane.room(value.numel(), value.dtype)
        return buffers[key][: value.numel()]


def _at_once() -> None:
    """Wait for nothing."""

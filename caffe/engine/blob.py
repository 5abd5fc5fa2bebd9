"""Blobs: named memory for values and gradients, seen from Python as numpy arrays."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from itertools import count as counter
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.errors import CheckError

Shape = tuple[int, ...]
_MAX_AXES = 32
_MAX_COUNT = 2**61 - 1  # so that bytes can be counted in 64 bits
_MANY = 2**26
_CHANGES = counter()  # of all memories, so that no two are ever taken for one another
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Memory:
    """One piece of memory, which blobs may share, with Caffe's rule of heads.

    As in Caffe it only ever grows: fewer numbers are the first ones of the same memory,
    so that they stay, and views from before still point into it.

    On the CPU the array that Python holds *is* the memory: what is written through
    an old view counts at the next forward, and a forward writes into old views. On a
    GPU the array is a mirror: asking for it makes the host's copy the valid one until
    the device asks for it back.

    Attributes
    ----------
    pending : callable or None
        Called before the value is read: it computes a value that was not kept, or
        raises an error that says why that can't be done.
    handed_out : bool
        True once Python has had a view of the memory: values stay where that looks.
    row_major : bool
        True if kernels, too, are best kept in this order: they are packed before use.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.capacity = count
        self.pending: Callable[[], None] | None = None
        self.handed_out = False
        self.row_major = False
        self._host: torch.Tensor | None = None
        self._value: torch.Tensor | None = None
        self._host_is_valid = False
        self._changes = next(_CHANGES)
        # the array that all views of Python keep alive, while there are any
        self._view: weakref.ref[NDArray[np.float32]] | None = None
        self._version = 0
        self._known: Hashable = None  # what `version` was last asked for
        self._copy: torch.Tensor | None = None

    @property
    def version(self) -> int:
        """Changes whenever the values may have changed.

        What numpy writes through a view leaves no trace. As long as one is alive, the
        values are therefore compared with a copy of those at the last call.
        """
        self.resolve()
        state = self._state()
        if state != self._known or not self._is_as_copied():
            self._version = next(_CHANGES)
            self._note(state)
        elif not self._is_viewed():
            self._copy = None
        return self._version

    def _state(self) -> Hashable:
        """Tell by what torch and this class have done whether values may differ."""
        value = self._current()
        return self._changes, 0 if value is None else value._version

    def _note(self, state: Hashable) -> None:
        """Remember what the version is of."""
        self._known = state
        value = self._current()
        watched = value is not None and value.device.type == "cpu" and self._is_viewed()
        self._copy = _bits(value).clone() if watched and value is not None else None

    def _is_as_copied(self) -> bool:
        value = self._current()
        return self._copy is None or (
            value is not None and torch.equal(_bits(value), self._copy)
        )

    def _is_viewed(self) -> bool:
        """Whether Python holds a view that it may write through."""
        return self._view is not None and self._view() is not None

    def _current(self) -> torch.Tensor | None:
        """Tensor that holds the values, where there are any."""
        on_host = self._host_is_valid or self._value is None
        return self._host if on_host else self._value

    def resize(self, count: int) -> None:
        """Room for `count` numbers; more than ever before give new memory of zeros."""
        if count == self.count:
            return
        self.count = count
        self._changes = next(_CHANGES)
        self.pending = None
        if count > self.capacity:
            self.capacity = count
            self._host = self._value = self._view = None
            self._host_is_valid = False

    def array(self, shape: Shape) -> NDArray[np.float32]:
        """Hand out the memory as a writable array of shape `shape`."""
        self.handed_out = True
        whole = None if self._view is None else self._view()
        if whole is None and self._known is not None:
            _ = self.version  # of the values before Python can write
        values = self._on_host(shape)
        if whole is None:
            assert self._host is not None
            whole = self._host.numpy()
            self._view = weakref.ref(whole)
            if self._known is not None:
                self._note(self._state())
        return whole[: values.numel()].reshape(shape)

    def copied(self, shape: Shape) -> NDArray[np.float32]:
        """Give the numbers to read only, without handing out the memory itself."""
        self.resolve()
        value = self._fitting(shape)
        if value is None or self._host_is_valid:
            numbers = self._on_host(shape).numpy()
        else:
            numbers = shaped(value.detach(), shape).cpu().contiguous().numpy()
        numbers = numbers.view()
        numbers.flags.writeable = False
        return numbers

    def tensor(self, shape: Shape, device: torch.device) -> torch.Tensor:
        """Give the value on a device; on the CPU, the memory that Python may hold."""
        self.resolve()
        value = self._fitting(shape)
        if device.type == "cpu":
            if value is not None and value.device.type == "cpu":
                return shaped(value, shape)
            return self._on_host(shape)
        if value is None or self._host_is_valid:
            value = self._on_host(shape)
            self._changes = next(_CHANGES)
        self._value = value = value.to(device)
        self._host_is_valid = False
        return shaped(value, shape)

    def put(self, value: torch.Tensor) -> None:
        """Take a new value from a layer."""
        self.pending = None
        self._changes = next(_CHANGES)
        if value.dtype is torch.bfloat16:
            value = value.float()
        self.resize(value.numel())
        if value.device.type == "cpu" and self._host is not None and self.handed_out:
            # past autograd: a backward reads what stands in the memory then, as Caffe's
            self._host.data[: self.count].view(value.shape).copy_(value)
            self._value = None
            self._host_is_valid = True
        else:
            self._value = value
            self._host_is_valid = False

    def put_or_clear(self, value: torch.Tensor | None) -> None:
        """Take a gradient of autograd, which is None where all of it is 0."""
        if value is None:
            self.clear()
        else:
            self.put(value)

    def room(self, shape: Shape, *, anew: bool) -> torch.Tensor:
        """Memory on the CPU for a new value, which the caller fills at once.

        What Python holds stays the memory. Else it is that of the old value, if that
        is on the CPU; or new memory if others still need the old value.
        """
        self.pending = None
        self._changes = next(_CHANGES)
        host = self._host if self.handed_out else None
        if host is not None:
            self._value = None
            self._host_is_valid = True
            return host[: self.count].view(shape)
        value = None if anew else self._value
        if value is None or value.device.type != "cpu" or value.shape != shape:
            self._host = self._value = None
            value = torch.empty(shape) if self.row_major else _empty(shape)
            self._value = value
        self._host_is_valid = False
        return value.detach()

    @property
    def empty(self) -> bool:
        """True if no number is stored: all are 0."""
        return self._host is None and self._value is None

    def clear(self) -> None:
        """Make all numbers 0; what Python can't see takes no memory then."""
        self.pending = None
        self._changes = next(_CHANGES)
        self.release()
        if self._host is not None:
            self._host.zero_()
            self._value = None
            self._host_is_valid = True

    def release(self) -> None:
        """Give up a value that is about to be made anew, unless Python may see it."""
        if not self.handed_out:
            self._changes = next(_CHANGES)
            self._value = self._host = self._view = None
            self._host_is_valid = False

    def part(self) -> None:
        """Leave the memory to who holds it in Python; the next value gets another."""
        self.handed_out = False
        self.release()

    def resolve(self) -> None:
        """Compute the value now if it is not known yet."""
        if self.pending is not None:
            self.pending()
            self.pending = None

    def _fitting(self, shape: Shape) -> torch.Tensor | None:
        """Value of a layer, unless the memory was given another count since."""
        value = self._value
        return value if value is not None and value.numel() == prod(shape) else None

    def _on_host(self, shape: Shape) -> torch.Tensor:
        """First numbers of the host's memory, which is made valid."""
        self.resolve()
        host, value = self._host, self._value
        if host is None:
            host = self._host = _zeros(self.capacity)
            self._host_is_valid = False
        if not self._host_is_valid and value is not None:
            host[: value.numel()].view(value.shape).copy_(value)
        self._host_is_valid = True
        if value is not None and value.device.type == "cpu":
            self._changes = next(_CHANGES)
            self._value = None
        return host[: prod(shape)].view(shape)


def _bits(value: torch.Tensor) -> torch.Tensor:
    """Values that compare as they are stored: NaN equals itself, 0 is not -0."""
    return value.detach().view(torch.int32)


def _zeros(count: int) -> torch.Tensor:
    """Zeros that take memory only where they are read or written, if they are many.

    What torch makes is written to at once.
    """
    if count < _MANY:
        return torch.zeros(count)
    return torch.from_numpy(np.zeros(count, np.float32))


def channels_last(value: torch.Tensor) -> torch.Tensor:
    """Lay out 2-D and 3-D images, or kernels, with the channels last in memory."""
    layout = _LAYOUTS.get(value.dim())
    return value if layout is None else value.contiguous(memory_format=layout)


def _empty(shape: Shape) -> torch.Tensor:
    """Memory laid out as `channels_last` would lay it out."""
    value = torch.empty(shape)
    layout = _LAYOUTS.get(len(shape))
    if layout is None or value.is_contiguous(memory_format=layout):
        return value
    return torch.empty(shape, memory_format=layout)


def shaped(value: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Give the value a shape; untouched if it has it, as a view may lose the layout."""
    return value if value.shape == shape else value.reshape(shape)


def checked(dims: Sequence[int]) -> Shape:
    """Shape of these extents, if a blob may have it.

    Raises
    ------
    CheckError
        For a negative extent, more than 32 axes, or 2^61 numbers and more.
    """
    shape = tuple(int(d) for d in dims)
    if len(shape) > _MAX_AXES or any(d < 0 for d in shape):
        raise CheckError(
            f"a blob can't have shape {shape}: extents are 0 or more, "
            f"at most {_MAX_AXES} axes"
        )
    # an empty blob, too: its other extents are multiplied by libraries
    if (count := prod(max(d, 1) for d in shape)) > _MAX_COUNT:
        raise CheckError(
            f"a blob can't have shape {shape}: {count} numbers, expected at most "
            f"{_MAX_COUNT}"
        )
    return shape


class Blob:
    """Values (`data`) and gradients (`diff`) of one shape, in row-major order.

    Examples
    --------
    >>> blob = Blob((1, 2, 3))
    >>> blob.data[...] = 4
    >>> blob.reshape(2, 3)
    >>> float(blob.data.sum()), blob.count
    (24.0, 6)
    """

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self._shape: Shape = checked(shape)
        self.data_memory = Memory(prod(self._shape))
        self.diff_memory = Memory(prod(self._shape))

    @property
    def shape(self) -> Shape:
        """Extents of all axes."""
        return self._shape

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self._shape)

    @property
    def data(self) -> NDArray[np.float32]:
        """Values; writing to the array changes the next forward."""
        return self.data_memory.array(self._shape)

    @property
    def diff(self) -> NDArray[np.float32]:
        """Gradients; writing to the array changes the next backward."""
        return self.diff_memory.array(self._shape)

    num = property(lambda self: self._legacy(0), doc="Extent of axis 0, or 1.")
    channels = property(lambda self: self._legacy(1), doc="Extent of axis 1, or 1.")
    height = property(lambda self: self._legacy(2), doc="Extent of axis 2, or 1.")
    width = property(lambda self: self._legacy(3), doc="Extent of axis 3, or 1.")

    def reshape(self, *dims: int) -> None:
        """Change the shape; values and gradients stay, up to the largest count so far.

        Beyond that there is new memory of zeros: views from before point into the old.

        Raises
        ------
        CheckError
            For a negative extent, more than 32 axes, or 2^61 numbers and more.
        """
        self._shape = checked(dims)
        self.data_memory.resize(self.count)
        self.diff_memory.resize(self.count)

    def tensor(self, device: torch.device | None = None) -> torch.Tensor:
        """Values as a tensor on `device` (the CPU if None)."""
        return self.data_memory.tensor(self._shape, device or torch.device("cpu"))

    def grad_tensor(self, device: torch.device | None = None) -> torch.Tensor:
        """Gradients as a tensor on `device` (the CPU if None)."""
        return self.diff_memory.tensor(self._shape, device or torch.device("cpu"))

    def values(self) -> NDArray[np.float32]:
        """Give the values to read only, in row-major order."""
        return self.data_memory.copied(self._shape)

    def gradients(self) -> NDArray[np.float32]:
        """Give the gradients to read only, in row-major order."""
        return self.diff_memory.copied(self._shape)

    def fill(self, values: torch.Tensor) -> None:
        """Set the values of a parameter, in the layout that convolutions like best.

        Where Python holds the memory it keeps its row-major order.
        """
        values = values.reshape(self._shape)
        self.data_memory.put(
            values if self.data_memory.row_major else channels_last(values)
        )

    def room(self, *, anew: bool = False) -> torch.Tensor:
        """Memory for new values, to be filled at once, in the layout of `fill`.

        Parameters
        ----------
        anew : bool, default False
            Do not write over the old values, unless Python holds their memory.
        """
        return self.data_memory.room(self._shape, anew=anew)

    def share_data(self, other: Blob) -> None:
        """Use the values of another blob from now on."""
        self.data_memory = other.data_memory

    def share_diff(self, other: Blob) -> None:
        """Use the gradients of another blob from now on."""
        self.diff_memory = other.diff_memory

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise CheckError(
                f"num, channels, height and width need at most 4 axes, "
                f"this blob has shape {self._shape}"
            )
        return self._shape[axis] if axis < len(self._shape) else 1


class BlobVec(list[Blob]):
    """Parameter blobs of a layer, to which more can be added."""

    def add_blob(self, *dims: int) -> None:
        """Append a blob of this shape, filled with zeros."""
        self.append(Blob(dims))

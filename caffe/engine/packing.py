"""Copies of parameters in other layouts, coordinates or types, made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from caffe.engine.blob import Blob

_Copy = TypeVar("_Copy")


class Packing:
    """What a layer derives from its parameters, until they change.

    Attributes
    ----------
    blobs : list of Blob
        The layer's parameters.

    Examples
    --------
    >>> import torch
    >>> blob = Blob((2,))
    >>> blob.fill(torch.zeros(2))
    >>> packing = Packing()
    >>> packing.blobs = [blob]
    >>> double = lambda: packing.get(0, "double", None, lambda: 2 * blob.tensor())
    >>> double() is double()
    True
    >>> blob.fill(torch.ones(2))
    >>> double().tolist()
    [2.0, 2.0]
    """

    def __init__(self) -> None:
        self.blobs: list[Blob] = []
        self._kept: dict[tuple[int, str], tuple[Hashable, object]] = {}

    def get(
        self, index: int, kind: str, details: Hashable, make: Callable[[], _Copy]
    ) -> _Copy:
        """Give what `make` derives from parameter `index`.

        Parameters
        ----------
        kind : str
            One of each kind is kept.
        details : hashable
            What it depends on beside the parameter.
        make : callable
            Called if the parameter or the details are not those of the last call.
        """
        if index >= len(self.blobs):
            return make()
        key = (self.blobs[index].data_memory.version, details)
        known = self._kept.get((index, kind))
        if known is not None and known[0] == key:
            return known[1]  # type: ignore[return-value] # kind says what it is
        made = make()
        self._kept[index, kind] = (key, made)
        return made

"""Layers in their net, and the places of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from caffe.engine.blob import Blob, BlobVec
from caffe.engine.layer import BlobOperator, Context, Operator
from caffe.engine.memory import as_shortage
from caffe.errors import CaffeError, CheckError, OutOfMemoryError
from caffe.glog import log
from caffe.proto import caffe_pb2


@dataclass
class Node:
    """One layer in its net."""

    name: str
    type: str
    param: Any
    context: Context
    bottom: list[str]
    op: Operator = field(init=False)
    top: list[str] = field(default_factory=list)
    blobs: BlobVec = field(default_factory=BlobVec)
    loss_weights: list[float] = field(default_factory=list)
    param_propagate: list[bool] = field(default_factory=list)
    bottom_needs_backward: list[bool] = field(default_factory=list)
    needs_backward: bool = False

    def in_place(self) -> bool:
        """Tell whether the first top is written over the first bottom."""
        return bool(self.bottom and self.top and self.bottom[0] == self.top[0])

    def reshape_tops(self, blobs: Mapping[str, Blob]) -> None:
        """Give the tops the shapes that follow from the bottoms."""
        if isinstance(self.op, BlobOperator):
            self.op.reshape(self.of(self.bottom, blobs), self.of(self.top, blobs))
            return
        shapes = self.op.shapes([blobs[name].shape for name in self.bottom])
        self._check_in_place(shapes, blobs)
        for index, (name, shape) in enumerate(zip(self.top, shapes, strict=True)):
            if blobs[name].shape != shape:
                self._warn_of_growth(index, blobs[name], shape)
                blobs[name].reshape(*shape)

    def _check_in_place(
        self, shapes: Sequence[tuple[int, ...]], blobs: Mapping[str, Blob]
    ) -> None:
        """Refuse a top that would change the shape of the bottom under it."""
        for name, bottom, shape in zip(self.top, self.bottom, shapes, strict=False):
            if name == bottom and blobs[name].shape != shape:
                raise CheckError(
                    f"top '{name}' of shape {shape} is written over the bottom of "
                    f"that name, of shape {blobs[name].shape}: give it another name"
                )

    def _warn_of_growth(self, index: int, blob: Blob, shape: tuple[int, ...]) -> None:
        """Say what is lost where a top of several numbers has a weight in the loss."""
        weighted = index < len(self.loss_weights) and self.loss_weights[index]
        if weighted and prod(shape) > blob.diff_memory.capacity:
            log(
                "layer.hpp:397",
                f"layer '{self.name}' ({self.type}): top '{self.top[index]}' has grown "
                f"from {blob.shape} to {shape}: its loss_weight has no gradient any "
                "more, as in Caffe; build the net with its largest shape",
                "W",
            )

    @staticmethod
    def of(names: Sequence[str], blobs: Mapping[str, Blob]) -> list[Blob]:
        """Blobs of these names."""
        return [blobs[name] for name in names]


@dataclass
class Learnable:
    """A parameter blob that a solver updates, with its multipliers.

    `given`: names of those that a layer has given, not the defaults.
    """

    blob: Blob
    layer_name: str
    index: int
    lr_mult: float
    decay_mult: float
    given: set[str] = field(default_factory=set)

    def share(self, blob: Blob, spec: Any) -> None:
        """Let the parameter of another layer be this one, as its ParamSpec says.

        Raises
        ------
        CheckError
            If shapes, or multipliers that both layers give, are not the same.
        """
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        mine = self.blob
        same = blob.count == mine.count if permissive else blob.shape == mine.shape
        if not same:
            raise CheckError(
                f"cannot share param '{spec.name}' owned by layer "
                f"'{self.layer_name}': shape {mine.shape} there, {blob.shape} here "
                f"({'PERMISSIVE wants equal counts' if permissive else 'STRICT'})"
            )
        self.agree(spec)
        blob.share_data(mine)
        blob.share_diff(mine)

    def agree(self, spec: Any) -> None:
        """Take the multipliers that a ParamSpec is the first to give.

        Raises
        ------
        CheckError
            If another layer has given another.
        """
        for name in ("lr_mult", "decay_mult"):
            if not spec.HasField(name):
                continue
            here, there = getattr(spec, name), getattr(self, name)
            if name in self.given and here != there:
                raise CheckError(
                    f"shared param '{spec.name}' has {name} {here:g} here and "
                    f"{there:g} in another layer: they must be equal"
                )
            self.given.add(name)
            setattr(self, name, here)


@dataclass
class ParamEntry:
    """A place of a parameter blob in a layer; `owned`: not shared from another."""

    layer_name: str
    index: int
    blob: Blob
    owned: bool


# what torch and numpy raise at numbers that they can't work with
_OF_LIBRARIES = (
    ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
_LONGEST = 200


@contextmanager
def naming(node_name: str, node_type: str, *, foreign: bool = False) -> Iterator[None]:
    """Put layer name and type before the text of an error.

    What a library raises becomes a `CheckError`, or an `OutOfMemoryError`.

    Parameters
    ----------
    foreign : bool
        The layer is the user's own code: what that raises stays as it is.
    """
    where = f"layer '{node_name}' ({node_type})"
    try:
        yield
    except CaffeError as error:
        raise type(error)(f"{where}: {error}") from error
    except _OF_LIBRARIES as error:
        if foreign:
            raise
        shortage = as_shortage(error)
        if shortage is not None:
            raise OutOfMemoryError(f"{where}: {shortage}") from error
        raise CheckError(f"{where}: {_refused(error)}") from error


@contextmanager
def backward_errors() -> Iterator[None]:
    """Make what a library raises in the backward of a whole net an error of ours."""
    try:
        yield
    except CaffeError:
        raise
    except _OF_LIBRARIES as error:
        shortage = as_shortage(error)
        if shortage is not None:
            raise shortage from error
        raise CheckError(f"the net's backward {_refused(error)}") from error


def _refused(error: Exception) -> str:
    """Say in one line that a library can't compute something, and its reason."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"can't be computed: {reason[:_LONGEST]}"

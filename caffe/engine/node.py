"""Layers in their net, and the places of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from caffe.engine.blob import Blob, BlobVec
from caffe.engine.layer import BlobOperator, Context, Operator
from caffe.engine.log import log
from caffe.engine.memory import memory_errors
from caffe.errors import CaffeError, CheckError
from caffe.proto import caffe_pb2

_OF_LIBRARIES = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    ArithmeticError,
)


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
        for index, (name, shape) in enumerate(zip(self.top, shapes, strict=True)):
            if blobs[name].shape != shape:
                self._warn_of_growth(index, blobs[name], shape)
                blobs[name].reshape(*shape)

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


@contextmanager
def naming(node_name: str, node_type: str) -> Iterator[None]:
    """Put layer name and type before the text of an error.

    What torch and numpy refuse, such as sizes beyond their integers, is a `CheckError`;
    what the code of a Python layer raises stays as it is.
    """
    where = f"layer '{node_name}' ({node_type})"
    try:
        with memory_errors():
            yield
    except CaffeError as error:
        raise type(error)(f"{where}: {error}") from error
    except _OF_LIBRARIES as error:
        if node_type == "Python":
            raise
        reason = str(error).strip().partition("\n")[0]
        raise CheckError(f"{where}: can't be computed: {reason}") from error

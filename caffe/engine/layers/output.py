"""Layers that write what they get to files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine import hdf5
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError, FileError

_DEFAULT_NAMES = ("data", "label")
_CONVERSION = re.compile(
    r"%(?:%|([-+ 0#]*\d{0,3}(?:\.\d{0,3})?)(?:hh?|ll?|[jzt])?([diuoxX]))"
)
_WHOLE_NUMBER_AS = {"i": "d", "u": "d"}


@register("HDF5Output")
class HDF5OutputLayer(Operator):
    """Writes its bottoms to an HDF5 file at each forward, in float32.

    Options (``hdf5_output_param``)
        file_name : str. It and the names below may hold one ``%d``, ``%04d`` or the
            like, which becomes the number of the forward, from 0. Each forward then
            writes a file of its own; otherwise it adds to the file of the first one.
        dset_name : repeated str, a dataset a bottom; default data and label, for two.
        squeeze : bool, default false. Leave out axes of length 1.

    Bottoms
        any number, of any shapes.

    Tops
        none.

    Whatever happens, the file is as after a forward. To add to one it is written anew:
    for many forwards put ``%d`` into the file's name. Of several processes the first
    one writes.
    """

    bottoms = (1, None)
    tops = (0, 0)
    side_effects = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Check the names."""
        options = param.hdf5_output_param
        if not options.file_name or "\0" in options.file_name:
            raise CheckError(
                f"file_name is {options.file_name!r}: expected the name of a file"
            )
        self._names = list(options.dset_name) or list(_DEFAULT_NAMES)
        if len(self._names) != len(param.bottom):
            given = "given" if options.dset_name else "assumed"
            raise CheckError(
                f"dset_name is {given} {len(self._names)} times "
                f"({', '.join(self._names)}): expected as many as bottoms, "
                f"{len(param.bottom)}"
            )
        for name in (options.file_name, *self._names):
            _formatted(name, 0)
        for name in self._names:
            if name in {"", "."} or not {"/", "\0"}.isdisjoint(name):
                raise CheckError(f"dset_name is {name!r}: expected a name without /")
        context.state["iteration"] = 0

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """No tops."""
        return []

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Write, unless nothing new is computed or another process does."""
        if context.recomputing or context.rank > 0:
            return []
        options = self.param.hdf5_output_param
        iteration = int(context.state["iteration"])
        path = _formatted(options.file_name, iteration)
        context.log("hdf5_output_layer.cpp:62", f"Saving HDF5 file {path}")
        blobs: dict[str, NDArray[np.float32]] = {}
        for pattern, bottom in zip(self._names, bottoms, strict=True):
            values = bottom.detach().float().cpu().numpy()
            values = values.squeeze() if options.squeeze else values
            shape = text(values.shape)
            context.log("hdf5_output_layer.cpp:94", f"outshape = {shape}")
            name = _formatted(pattern, iteration)
            if name in blobs:
                raise CheckError(f"dset_name '{name}' is given twice: expected once")
            blobs[name] = values
        adding = iteration > 0 and path == options.file_name
        _write(path, blobs, adding=adding)
        context.log(
            "hdf5_output_layer.cpp:102", f"Successfully saved {len(blobs)} blobs"
        )
        context.state["iteration"] = iteration + 1
        return []


def _formatted(pattern: str, iteration: int) -> str:
    """Text of a C format for one whole number.

    Raises
    ------
    CheckError
        If C would look for something else to put in.

    Examples
    --------
    >>> _formatted("out_%04d.h5", 7)
    'out_0007.h5'
    """
    numbers = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal numbers
        if match[2] is None:
            return "%"
        numbers += 1
        kind = _WHOLE_NUMBER_AS.get(match[2], match[2])
        return f"%{match[1]}{kind}" % iteration

    rest = _CONVERSION.sub("", pattern)
    result = _CONVERSION.sub(replace, pattern)
    if "%" in rest or numbers > 1:
        raise CheckError(
            f"the name '{pattern}' has a % that stands for no number of the forward: "
            "expected one %d, with a width of up to 3 digits, and %%"
        )
    return result


def _write(path: str, blobs: dict[str, NDArray[np.float32]], *, adding: bool) -> None:
    """Put datasets into a file, beside those that it holds or alone."""

    def fill(file: Any) -> None:
        if adding:
            with hdf5.opened(path) as old:
                for name in old:
                    old.copy(name, file)
        for name, values in blobs.items():
            if name in file:
                raise FileError(
                    f"{path}: has a dataset '{name}' already: expected another "
                    "name, so put %d into dset_name or file_name"
                )
            file.create_dataset(name, data=values)

    hdf5.write(path, fill)

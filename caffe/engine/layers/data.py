"""Layers that bring data into the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe.engine.fillers import fill
from caffe.engine.layer import Context, Operator, Shape, Tensors, register
from caffe.engine.layers.shared import text
from caffe.engine.sources.hdf5 import HDF5Rows
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2


class DataLayer(Operator):
    """No bottoms, tops of new data."""

    bottoms = (0, 0)
    tops = (1, None)
    source = True
    differentiable_bottoms = ()


def _for_each_top(values: Sequence[Any], tops: int, option: str) -> list[Any]:
    if len(values) not in {1, tops}:
        raise CheckError(
            f"{len(values)} values of {option} for {tops} tops: "
            f"1 or {tops} are accepted"
        )
    return list(values) if len(values) == tops else [values[0]] * tops


@register("Input")
class InputLayer(DataLayer):
    """Tops that the user fills, before each forward or once.

    Options (``input_param``)
        shape : repeated BlobShape. One for all tops, or one for each; none: the tops
            are empty until they are reshaped.
    """

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes as declared."""
        declared = [tuple(shape.dim) for shape in self.param.input_param.shape]
        return _for_each_top(declared or [(0,)], len(self.param.top), "shape")

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Refuse: the values are the user's."""
        raise CheckError("an Input layer has no values of its own: fill its tops")


@register("DummyData")
class DummyDataLayer(DataLayer):
    """Tops of constants or random numbers.

    Options (``dummy_data_param``)
        data_filler : repeated FillerParameter, default constant 0. One for all tops,
            or one for each.
        shape : repeated BlobShape. One for all tops, or one for each.
        num, channels, height, width : repeated int, the older way to give 4 axes.

    Constant tops are filled once and then keep what the user writes into them; the
    others are filled at each forward.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read shapes and fillers for every top."""
        options = param.dummy_data_param
        tops = len(param.top)
        default = [caffe_pb2.FillerParameter()]
        fillers = list(options.data_filler) or default
        self._fillers = _for_each_top(fillers, tops, "data_filler")
        legacy = [getattr(options, name) for name in _LEGACY_AXES]
        if options.shape and any(legacy):
            raise CheckError(
                "both shape and num, channels, height, width are given: give shape only"
            )
        if options.shape:
            declared = [tuple(shape.dim) for shape in options.shape]
            self._shapes = _for_each_top(declared, tops, "shape")
        else:
            pairs = zip(_LEGACY_AXES, legacy, strict=True)
            columns = [_for_each_top(values, tops, name) for name, values in pairs]
            self._shapes = list(zip(*columns, strict=True))
        self._constants: dict[int, torch.Tensor] = {}

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes as declared."""
        return list(self._shapes)

    def first_tops(self, context: Context) -> dict[int, torch.Tensor]:
        """Constant tops."""
        fillers = enumerate(self._fillers)
        constant = [i for i, filler in fillers if filler.type == "constant"]
        return {i: self._top(i, context) for i in constant}

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Fill what is random, and, the first time, what is constant."""
        return [self._top(i, context) for i in range(len(self._shapes))]

    def _top(self, i: int, context: Context) -> torch.Tensor:
        if i in self._constants:
            return self._constants[i]
        filler = self._fillers[i]
        values = fill(filler, self._shapes[i], context.generator)
        if filler.type == "constant":
            self._constants[i] = values
        return values


_LEGACY_AXES = ("num", "channels", "height", "width")


@register("HDF5Data")
class HDF5DataLayer(DataLayer):
    """Rows of HDF5 files, in a circle.

    Options (``hdf5_data_param``)
        source : str. Text file that names HDF5 files, separated by white space; each
            is looked for from the working directory, then beside the text file.
        batch_size : int. Rows of a forward.
        shuffle : bool, default false. Shuffle the files after each round, and the rows
            of each file.

    Tops
        (batch_size, ...) in float32: rows of the dataset of the top's name, which may
        hold any numbers, compressed or not.

    All files must agree in the shape of a row, or each have a multiple of
    ``batch_size`` rows. Then the shape of the tops is that of the present file. (Here
    this holds for every top; caffe_unet does not look at the first.)

    State: order of the files, place in it, rows consumed of that file, their order.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Look into every file, check that they fit together, log what Caffe logs."""
        options = param.hdf5_data_param
        if param.HasField("transform_param"):
            raise CheckError("transform_param is given: HDF5Data does not transform")
        if options.batch_size == 0:
            raise CheckError("batch_size is 0: a number above 0 is accepted")
        self._batch = int(options.batch_size)
        self._shuffle = bool(options.shuffle)
        self._context = context
        log = context.log
        log(
            "hdf5_data_layer.cpp:82",
            f"Loading list of HDF5 filenames from: {options.source}",
        )
        self._files = HDF5Rows(options.source, param.top)
        count = len(self._files.names)
        log("hdf5_data_layer.cpp:96", f"Number of HDF5 files: {count}")
        for name, shapes in zip(self._files.names, self._files.shapes, strict=True):
            line = "".join(f"  {top} {text(shapes[top])}" for top in param.top)
            log("hdf5_data_layer.cpp:134", f"{name}:{line}")
        self._check_files(context)
        context.state.update(file=0, row=0, rows=np.empty(0, np.int64))
        context.state["file_order"] = self._new_order(context)

    def _check_files(self, context: Context) -> None:
        first = self._files.shapes[0]
        consistent = divisible = True
        for i, (name, shapes) in enumerate(
            zip(self._files.names, self._files.shapes, strict=True)
        ):
            for top, shape in shapes.items():
                if len(shape) != len(first[top]):
                    raise FileError(
                        f"{name}: dataset '{top}' is {text(shape)}: {len(first[top])} "
                        f"axes are accepted, as in {self._files.names[0]}"
                    )
                consistent &= shape[1:] == first[top][1:]
            divisible &= self._files.rows(i) % self._batch == 0
        log = context.log
        log(
            "hdf5_data_layer.cpp:138",
            f"files_have_consistent_shapes: {consistent:d}",
        )
        log(
            "hdf5_data_layer.cpp:140",
            f"hdf_blobs_divisible_by_batch_size: {divisible:d}",
        )
        if not (consistent or divisible):
            raise FileError(
                f"{self._files.source}: Cannot work with these files! Their rows have "
                "different shapes: equal shapes, or in each file a number of rows "
                f"divisible by batch_size {self._batch}, are accepted"
            )

    def _new_order(self, context: Context) -> np.ndarray[Any, Any]:
        count = len(self._files.names)
        if self._shuffle:
            return context.rng.permutation(count).astype(np.int64)
        return np.arange(count, dtype=np.int64)

    def _present_file(self) -> int:
        state = self._context.state
        order = state["file_order"]
        if sorted(order) != list(range(len(self._files.names))):
            raise FileError(
                f"{self._files.source}: lists {len(self._files.names)} files: "
                f"{len(order)} are accepted, as when the state was saved"
            )
        return int(order[int(state["file"])])

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Row shapes of the present file."""
        shapes = self._files.shapes[self._present_file()]
        return [(self._batch, *shapes[top][1:]) for top in self.param.top]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Read the next rows."""
        tops = [np.empty(shape, np.float32) for shape in self.shapes([])]
        start = 0
        while start < self._batch:
            start += self._read([top[start:] for top in tops], context)
        return [torch.from_numpy(top).to(context.device) for top in tops]

    def _read(self, targets: Sequence[np.ndarray[Any, Any]], context: Context) -> int:
        """Read from the present file what it still has; return how many rows."""
        state = context.state
        index = self._present_file()
        row, total = int(state["row"]), self._files.rows(index)
        if row == 0:
            self._files.open(index)
            order = np.arange(total, dtype=np.int64)
            state["rows"] = context.rng.permutation(order) if self._shuffle else order
        elif len(state["rows"]) != total:
            raise FileError(
                f"{self._files.names[index]}: has {total} rows: {len(state['rows'])} "
                "are accepted, as when the state was saved"
            )
        end = min(row + len(targets[0]), total)
        rows = state["rows"][row:end]
        self._files.read(index, rows, [target[: end - row] for target in targets])
        state["row"] = end
        if end == total:
            self._advance(context)
        return end - row

    def _advance(self, context: Context) -> None:
        state = context.state
        state["row"] = 0
        state["file"] = int(state["file"]) + 1
        if state["file"] == len(self._files.names):
            state["file"] = 0
            state["file_order"] = self._new_order(context)

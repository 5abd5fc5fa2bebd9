"""Layers that bring data into the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from caffe.engine.catalogue import register
from caffe.engine.fillers import fill
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import BATCH, SPATIAL, Pattern, Value, no_counterpart
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.sources.hdf5 import HDF5Batches, HDF5Rows
from caffe.engine.sources.prefetch import PrefetchingLayer, Reader, new_seed, share
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2

_FIRST_SPATIAL_AXIS = 2


class SourceLayer(Operator):
    """No bottoms, tops of new data."""

    bottoms = (0, 0)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    source = True
    differentiable_bottoms = ()


def _for_each_top(values: Sequence[Any], tops: int, option: str) -> list[Any]:
    if len(values) not in {1, tops}:
        raise CheckError(
            f"{len(values)} values of {option} for {tops} tops: expected 1 or {tops}"
        )
    return list(values) if len(values) == tops else [values[0]] * tops


@register("Input")
class InputLayer(SourceLayer):
    """Tops that the user fills, before each forward or once.

    Options (``input_param``)
        shape : repeated BlobShape. One for all tops, or one for each; none: the tops
            are empty until they are reshaped.
    """

    filled_by_user = True

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes as declared."""
        declared = [tuple(shape.dim) for shape in self.param.input_param.shape]
        return _for_each_top(declared or [(0,)], len(self.param.top), "shape")

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Refuse: the values are the user's."""
        raise CheckError("an Input layer has no values of its own: fill its tops")

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give inputs of the graph: samples along axis 0, space behind the channels."""
        tops = []
        for name, shape in zip(layer.tops, layer.top_shapes, strict=True):
            kinds: Pattern = (
                (BATCH, None, *[SPATIAL] * (len(shape) - _FIRST_SPATIAL_AXIS))
                if len(shape) >= _FIRST_SPATIAL_AXIS
                else (BATCH,) * len(shape)
            )
            pattern = tuple(kind if kind in layer.dynamic else None for kind in kinds)
            tops.append(layer.graph_input(name, shape, pattern))
        return tops

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""


@register("DummyData")
class DummyDataLayer(SourceLayer):
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

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give constants, or inputs of the graph in their place."""
        fillers = layer.param.dummy_data_param.data_filler
        if any(filler.type != "constant" for filler in fillers):
            raise no_counterpart("random numbers")
        if not layer.constant_data:
            return [
                layer.graph_input(name, shape, (None,) * len(shape))
                for name, shape in zip(layer.tops, layer.top_shapes, strict=True)
            ]
        return [
            Value(
                layer.floats(blob.values(), name), blob.shape, (None,) * len(blob.shape)
            )
            for name, blob in zip(layer.tops, layer.top_blobs, strict=True)
        ]


_LEGACY_AXES = ("num", "channels", "height", "width")


@register("MemoryData")
class MemoryDataLayer(SourceLayer):
    """Arrays of the user, in a circle.

    Options (``memory_data_param``)
        batch_size, channels, height, width : int. Shape of a batch.

    Tops
        (batch_size, channels, height, width): data; (batch_size): labels.

    What the user writes into the arrays after `set_arrays` is seen by the next forward.

    State: the first row of the next batch.
    """

    tops = (2, 2)

    def setup(self, param: Any, context: Context) -> None:
        """Read the shape."""
        options = param.memory_data_param
        self._shape: Shape = tuple(getattr(options, name) for name in _MEMORY_AXES)
        if min(self._shape) < 1:
            raise CheckError(
                f"shape {text(self._shape)}: batch_size, channels, height, and width "
                "must be specified and positive in memory_data_param"
            )
        self._context = context
        self._data: np.ndarray[Any, Any] | None = None
        self._labels: np.ndarray[Any, Any] | None = None
        context.state["row"] = 0

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self._shape[0]

    def set_arrays(self, data: Any, labels: Any) -> None:
        """Set the arrays and go to their first row.

        Parameters
        ----------
        data : array of shape (n, channels, height, width), float32, C contiguous
            n must be a multiple of ``batch_size``.
        labels : array of shape (n,) or (n, 1, 1, 1), float32, C contiguous

        Raises
        ------
        CheckError
            If an array is otherwise.
        """
        if self.param.HasField("transform_param"):
            self._context.log(
                "memory_data_layer.cpp:88",
                f"{self.type} does not transform array data on Reset()",
            )
        _check_array("data array", data, self._shape[1:])
        if np.ndim(labels) == 1 and hasattr(labels, "dtype"):
            labels = labels[:, None, None, None]
        _check_array("labels array", labels, (1, 1, 1))
        if len(data) != len(labels):
            raise CheckError(
                f"data and labels must have the same first dimension: they have "
                f"{len(data)} and {len(labels)}"
            )
        if len(data) == 0 or len(data) % self.batch_size:
            raise CheckError(
                f"first dimensions of input arrays must be a multiple of batch size "
                f"{self.batch_size}: they are {len(data)}"
            )
        self._data, self._labels = data, labels
        self._context.state["row"] = 0

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes as declared."""
        return [self._shape, self._shape[:1]]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Give the next rows."""
        if self._data is None or self._labels is None:
            raise CheckError(
                "MemoryDataLayer needs to be initialized by calling Reset: call "
                "net.set_input_arrays(data, labels)"
            )
        row = int(context.state["row"]) % len(self._data)
        end = row + self.batch_size
        context.state["row"] = end % len(self._data)
        rows = (self._data[row:end], self._labels[row:end].reshape(-1))
        return [torch.tensor(values, device=context.device) for values in rows]


_MEMORY_AXES = ("batch_size", "channels", "height", "width")


def _check_array(name: str, values: Any, extents: Shape) -> None:
    if not isinstance(values, np.ndarray) or not values.flags.c_contiguous:
        raise CheckError(f"{name} must be C contiguous")
    if values.ndim != len(_MEMORY_AXES):
        raise CheckError(f"{name} must be 4-d: it has {values.ndim} axes")
    if values.dtype != np.float32:
        raise CheckError(f"{name} must be float32: it is {values.dtype}")
    for axis, found, wanted in zip(
        _MEMORY_AXES[1:], values.shape[1:], extents, strict=True
    ):
        if found != wanted:
            number = "number of channels" if axis == "channels" else axis
            raise CheckError(f"{name} has wrong {number}: {found}, not {wanted}")


@register("HDF5Data")
class HDF5DataLayer(PrefetchingLayer):
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
    ``batch_size`` rows (of all processes that train together). Then the shape of the
    tops is that of the present file. (Here this holds for every top; caffe_unet does
    not look at the first.)

    State: order of the files, place in it, rows consumed of that file, their order.
    """

    tops = (1, None)

    def reader(self, param: Any, context: Context) -> Reader:
        """Look into every file, check that they fit together, log what Caffe logs."""
        options = param.hdf5_data_param
        if param.HasField("transform_param"):
            raise CheckError("transform_param is given: HDF5Data does not transform")
        if options.batch_size == 0:
            raise CheckError("batch_size is 0: expected a number above 0")
        log = context.log
        log(
            "hdf5_data_layer.cpp:82",
            f"Loading list of HDF5 filenames from: {options.source}",
        )
        files = HDF5Rows(options.source, list(param.top))
        log("hdf5_data_layer.cpp:96", f"Number of HDF5 files: {len(files.names)}")
        for name, shapes in zip(files.names, files.shapes, strict=True):
            line = "".join(f"  {top} {text(shapes[top])}" for top in param.top)
            log("hdf5_data_layer.cpp:134", f"{name}:{line}")
        own = share(context)
        _check_files(files, options.batch_size, own[1], context)
        return HDF5Batches(
            files,
            batch=options.batch_size,
            shuffle=options.shuffle,
            seed=new_seed(context),
            share=own,
        )


def _check_files(files: HDF5Rows, batch: int, ranks: int, context: Context) -> None:
    first = files.shapes[0]
    consistent = divisible = True
    for i, (name, shapes) in enumerate(zip(files.names, files.shapes, strict=True)):
        for top, shape in shapes.items():
            if len(shape) != len(first[top]):
                raise FileError(
                    f"{name}: dataset '{top}' is {text(shape)}: "
                    f"expected {len(first[top])} axes, as in {files.names[0]}"
                )
            consistent &= shape[1:] == first[top][1:]
        divisible &= files.rows(i) % (batch * ranks) == 0
    log = context.log
    log("hdf5_data_layer.cpp:138", f"files_have_consistent_shapes: {consistent:d}")
    log("hdf5_data_layer.cpp:140", f"hdf_blobs_divisible_by_batch_size: {divisible:d}")
    if not (consistent or divisible):
        of = f" of {ranks} processes" if ranks > 1 else ""
        raise FileError(
            f"{files.source}: Cannot work with these files! Their rows have "
            "different shapes: expected equal shapes, or in each file a number of rows "
            f"divisible by batch_size {batch}{of}"
        )

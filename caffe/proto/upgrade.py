"""Nets and solvers of older Caffe versions to today's form, as Caffe upgrades them.

A net passes through these steps, each only where it is needed:

1. V0 layers (``layers { layer { ... } }``) become V1 layers (`caffe.proto.upgrade_v0`).
2. ``scale``, ``mean_file``, ``crop_size`` and ``mirror`` of V1 data layers move to
   ``transform_param``.
3. V1 layers (``layers``) become ``layer``: type names, learning rates and shared names
   as ``param``; trained blobs move along.
4. ``input`` with ``input_shape`` or ``input_dim`` becomes an Input layer.
5. BatchNorm layers that declare three parameters get rates of 0 for them.
6. Crop offsets that follow from the layers are written out (`caffe.proto.coordinates`).
"""

from __future__ import annotations

from typing import Any, Literal

from google.protobuf.message import Message

from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.coordinates import write_crop_offsets
from caffe.proto.forks import todays_type
from caffe.proto.upgrade_v0 import upgrade_v0

Crop = Literal["explicit", "coordinate_maps", "as_written"]

_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "CROP": "Crop",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}

_V1_DATA = {
    "DATA": "data_param",
    "IMAGE_DATA": "image_data_param",
    "WINDOW_DATA": "window_data_param",
}
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")
_CROP_MODES = ("explicit", "coordinate_maps", "as_written")


def upgrade_net(net: Any, *, crop: Crop = "explicit") -> bool:
    """Bring a net to today's form, in place.

    Parameters
    ----------
    net
        A NetParameter, from text or binary.
    crop
        What a Crop layer means that gives neither axis nor offset. ``explicit``: what
        BVLC's Caffe takes, axis 2 and offset 0; the offsets of V1 ``CROP`` layers
        always follow from the layers' coordinate maps and are written out.
        ``coordinate_maps``: offsets from coordinate maps are written into such layers
        of today's form too, for files made for a Caffe that did so (Cascaded-FCN).
        ``as_written``: offsets are never worked out, for weights files, of which only
        the names and arrays matter.

    Returns
    -------
    bool
        True if anything had to be changed.

    Raises
    ------
    CheckError
        If the net cannot be upgraded.

    Examples
    --------
    >>> from caffe.proto.text import parse_text, to_text
    >>> old = 'layers { name: "r" type: RELU bottom: "x" top: "x" blobs_lr: 2 }'
    >>> net = parse_text(old, caffe_pb2.NetParameter())
    >>> upgrade_net(net)
    True
    >>> net.layer[0].type, net.layer[0].param[0].lr_mult
    ('ReLU', 2.0)
    """
    if crop not in _CROP_MODES:
        raise CheckError(f"crop={crop!r}: expected one of {', '.join(_CROP_MODES)}")
    changed, from_v1 = _upgrade_layers(net)
    if crop != "as_written":
        every = crop == "coordinate_maps"
        crops = range(len(net.layer)) if every else from_v1
        changed |= write_crop_offsets(net, crops)
    changed |= _upgrade_inputs(net)
    changed |= _upgrade_batch_norm(net)
    return changed


def upgrade_solver(solver: Any) -> bool:
    """Bring a solver to today's form, in place: ``solver_type`` becomes ``type``.

    Parameters
    ----------
    solver
        A SolverParameter.

    Returns
    -------
    bool
        True if anything had to be changed.

    Raises
    ------
    CheckError
        If both ``solver_type`` and ``type`` are given.

    Examples
    --------
    >>> solver = caffe_pb2.SolverParameter(solver_type=caffe_pb2.SolverParameter.ADAM)
    >>> upgrade_solver(solver), solver.type
    (True, 'Adam')
    """
    if not solver.HasField("solver_type"):
        return False
    old = solver.SolverType.Name(solver.solver_type)
    if solver.HasField("type"):
        raise CheckError(
            f'both solver_type: {old} and type: "{solver.type}" are given; '
            "expected one of them"
        )
    solver.type = _SOLVER_TYPES[old]
    solver.ClearField("solver_type")
    return True


def _upgrade_layers(net: Any) -> tuple[bool, list[int]]:
    """Turn V0 and V1 layers into today's; also return which were V1 ``CROP``."""
    if not net.layers:
        return False, []
    if net.layer:
        raise CheckError(
            f"net '{net.name}' has both 'layer' and old 'layers' entries; "
            "expected all of one kind"
        )
    old = [layer.HasField("layer") for layer in net.layers]
    if any(old):
        if not all(old):
            raise CheckError(
                f"net '{net.name}': layers {old.index(False)} is not of the oldest "
                "form (layers { layer { ... } }) as others are; "
                "expected all of one kind"
            )
        upgrade_v0(net)
    crops = []
    for index, layer in enumerate(net.layers):
        _move_transform(layer)
        _upgrade_v1(layer, net.layer.add())
        if layer.type == layer.CROP:
            crops.append(index)
    net.ClearField("layers")
    return True, crops


def _move_transform(layer: Any) -> None:
    """Move the image changes of a V1 data layer to its transform_param."""
    name = _V1_DATA.get(layer.LayerType.Name(layer.type))
    if name is None:
        return
    data = getattr(layer, name)
    for field in _TRANSFORM:
        if data.HasField(field):
            setattr(layer.transform_param, field, getattr(data, field))
            data.ClearField(field)


def _upgrade_v1(old: Any, new: Any) -> None:
    """Write a V1 layer's content into an empty layer of today's form."""
    for field, value in old.ListFields():
        if field.name == "type":
            name = old.LayerType.Name(value)
            known = _V1_TYPES.get(name)
            new.type = todays_type(name) if known is None else known
        elif field.name == "param":
            _set_specs(new, "name", value)
        elif field.name == "blob_share_mode":
            _set_specs(new, "share_mode", value)
        elif field.name == "blobs_lr":
            _set_specs(new, "lr_mult", value)
        elif field.name == "weight_decay":
            _set_specs(new, "decay_mult", value)
        elif field.name == "name":
            new.name = value
        elif isinstance(value, Message):
            getattr(new, field.name).CopyFrom(value)
        else:
            getattr(new, field.name).extend(value)


def _set_specs(layer: Any, name: str, values: Any) -> None:
    """Set one field of a layer's ParamSpecs, making as many as there are values."""
    for index, value in enumerate(values):
        if index == len(layer.param):
            layer.param.add()
        setattr(layer.param[index], name, value)


def _upgrade_inputs(net: Any) -> bool:
    """Turn ``input`` and its shapes into an Input layer at the front."""
    if not net.input:
        return False
    if net.input_shape or net.input_dim:
        layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
        layer.input_param.shape.extend(_input_shapes(net))
        net.layer.insert(0, layer)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return True


def _input_shapes(net: Any) -> list[Any]:
    count, dims = len(net.input), list(net.input_dim)
    if net.input_shape:
        if len(net.input_shape) != count:
            raise CheckError(
                f"net '{net.name}': {count} input and {len(net.input_shape)} "
                "input_shape; expected the same number of both"
            )
        return list(net.input_shape)
    axes = 3 if count == 1 and len(dims) == 3 else 4
    if len(dims) != axes * count:
        raise CheckError(
            f"net '{net.name}': {count} input and {len(dims)} input_dim; "
            "expected four input_dim per input, or three for one input"
        )
    return [
        caffe_pb2.BlobShape(dim=dims[start : start + axes])
        for start in range(0, axes * count, axes)
    ]


def _upgrade_batch_norm(net: Any) -> bool:
    """Stop solvers from changing the statistics of BatchNorm layers of old nets."""
    changed = False
    for layer in net.layer:
        if layer.type != "BatchNorm" or len(layer.param) != 3:
            continue
        for spec in layer.param:
            changed |= spec.lr_mult != 0 or spec.decay_mult != 0
            spec.lr_mult = spec.decay_mult = 0
    return changed

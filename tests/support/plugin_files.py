"""Files that the Fiji plugin "U-Net Segmentation" writes and reads.

HDF5 files as its library JHDF5 makes them, prototxt files as protobuf-java prints them
(caffe_unet_cli.md, section 8; modeldef_h5.md, sections 5 and 6; fiji_observed.md), and
the scores that a result must hold, by one forward pass of a net on the whole image.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.support.plugin_log import JavaError

LEARNING_RATE = "1.0E-4"
FLOAT = re.compile(r"(?<=: )-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?$", re.MULTILINE)
CONVERSION = {
    "foregroundBackgroundRatio": 0.1,
    "sigma1_um": 10.0,
    "borderWeightFactor": 50.0,
    "borderWeightSigmaPx": 6.0,
}


@contextlib.contextmanager
def new_file(path: Path) -> Any:
    """Create a file with the group that JHDF5 puts into each."""
    with h5py.File(path, "w") as file:
        truth = h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, basetype="i1")
        file["__DATA_TYPES__/Enum_Boolean"] = truth
        file["__DATA_TYPES__/String_VariableLength"] = h5py.string_dtype()
        yield file


def write_blob(file: Any, name: str, values: Any, element_size_um: Any) -> None:
    """Write what comes from an image, slice by slice, deflated."""
    chunks = (*(1,) * (values.ndim - 2), *values.shape[-2:])
    blob = file.create_dataset(
        name, data=values, dtype="f4", chunks=chunks, compression=3
    )
    blob.attrs["element_size_um"] = np.array(element_size_um, "f8")


def fixed(text: str) -> Any:
    """Describe a string of fixed length, null-padded, without a terminator."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(max(1, len(text.encode())))
    kind.set_strpad(h5py.h5t.STR_NULLPAD)
    kind.set_cset(h5py.h5t.CSET_UTF8)
    return kind


def write_text(file: Any, name: str, text: str) -> None:
    """Write a string of fixed length as a scalar."""
    kind = fixed(text)
    properties = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    properties.set_create_intermediate_group(True)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    made = h5py.h5d.create(file.id, name.encode(), kind, space, lcpl=properties)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(text.encode()), mtype=kind)


def write_modeldef(path: Path, model: Any) -> Path:
    """Write a model definition as the plugin's editor saves it."""
    with new_file(path) as file:
        write_text(file, ".unet-ident", model.ident)
        write_text(file, "model_prototxt", model.model_prototxt)
        write_text(file, "solver_prototxt", model.solver_prototxt)
        group = file.create_group("unet_param")
        for name in ("name", "description", "input_blob_name", "input_dataset_name"):
            write_text(group, name, getattr(model, name))
        write_text(group, "padding", model.padding)
        group["normalization_type"] = np.int32(model.normalization_type)
        group["diskRadiusPx"] = np.int32(model.disk_radius_px)
        group["element_size_um"] = np.array(model.element_size_um, "f8")
        group["downsampleFactor"] = np.array(model.downsample_factor, "i4")
        group["padInput"] = np.array(model.pad_input, "i4")
        group["padOutput"] = np.array(model.pad_output, "i4")
        weights = group.create_group("pixelwise_loss_weights")
        weights["borderWeightFactor"] = np.float32(50)
        weights["borderWeightSigmaPx"] = np.float32(6)
        weights["foregroundBackgroundRatio"] = np.float32(0.1)
        weights["sigma1Px"] = np.float32(10)
    return path


def write_images(path: Path, model: Any, images: Any) -> None:
    """Write images (N, C, [Z,] Y, X) for a segmentation."""
    with new_file(path) as file:
        write_blob(file, model.input_dataset_name, images, model.element_size_um)


def draw_cells(shape: Any, *, seed: int, classes: int = 1, channels: int = 1) -> Any:
    """Draw boxes on a noisy image of a shape [Z,] Y, X.

    Returns
    -------
    image, labels, weights : ndarray of float32, shape (1, C, [Z,] Y, X)
        Labels 0 to ``classes``; weights 0, 0.1 and 1.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.float32)
    for number in range(6):
        corner = [rng.integers(0, max(1, size - 6)) for size in shape]
        labels[_block(corner, [6] * len(shape))] = number % classes + 1
    image = 0.5 * labels / classes + 0.3 * rng.random((channels, *shape), np.float32)
    weights = np.where(labels > 0, 1, 0.1).astype(np.float32)
    weights[rng.random(shape) < 0.05] = 0
    return (
        image[np.newaxis],
        labels[np.newaxis, np.newaxis],
        weights[np.newaxis, np.newaxis],
    )


def write_training(path: Path, model: Any, sample: Any, classes: Any) -> None:
    """Write an image with labels and weights, all (1, C, [Z,] Y, X), for training."""
    image, labels, weights = sample
    with new_file(path) as file:
        size = model.element_size_um
        write_blob(file, model.input_dataset_name, image, size)
        write_blob(file, "labels", labels, size)
        write_blob(file, "weights", weights, size)
        write_blob(file, "weights2", np.where(labels > 0, 1, 0.1), size)
        group = file.create_group("conversionParameters")
        for name, value in CONVERSION.items():
            group.attrs[name] = np.array([value])
        group.attrs["normalizationType"] = np.array([1], "i4")
        longest = max(map(len, classes))
        group.attrs["classNames"] = np.array(
            [n.encode() for n in classes], f"S{longest}"
        )


def write_tiles(stem: str, model: Any, sample: Any, tile_in: Any) -> list[str]:
    """Cut an image into validation tiles and write each into a file of its own.

    Tiles that overhang the image are mirrored; their weights are 0 outside.

    Returns
    -------
    list of str
        Paths.
    """
    image, labels, weights = sample
    extent = image.shape[2:]
    lost = [i - o for i, o in zip(model.pad_input, model.pad_output, strict=True)]
    tile_out = [size - less for size, less in zip(tile_in, lost, strict=True)]
    counts = [-(-size // out) for size, out in zip(extent, tile_out, strict=True)]
    beyond = [n * out - d for n, out, d in zip(counts, tile_out, extent, strict=True)]
    edges = [
        (less // 2, less // 2 + more) for less, more in zip(lost, beyond, strict=True)
    ]
    wide = np.pad(image, [(0, 0), (0, 0), *edges], mode="reflect")
    after = [(0, 0), (0, 0), *((0, more) for more in beyond)]
    labels = np.pad(labels, after, mode="reflect")
    weights = np.pad(weights, after)
    paths = []
    for index in itertools.product(*map(range, counts)):
        start = [n * out for n, out in zip(index, tile_out, strict=True)]
        paths.append(f"{stem}_{len(paths)}.h5")
        with new_file(Path(paths[-1])) as file:
            size = model.element_size_um
            block = wide[_block(start, tile_in)]
            write_blob(file, model.input_blob_name, block, size)
            write_blob(file, "labels", labels[_block(start, tile_out)], size)
            write_blob(file, "weights", weights[_block(start, tile_out)], size)
    return paths


def _block(start: Any, extent: Any) -> Any:
    spans = zip(start, extent, strict=True)
    return (..., *(slice(first, first + count) for first, count in spans))


def finetuning_net(
    model: Any, train_list: str, valid_list: str, tile_in: Any, classes: int
) -> str:
    """Write the net of a finetuning; ``valid_list`` is empty without validation."""
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2

    net = text_format.Parse(model.model_prototxt, caffe_pb2.NetParameter())
    for layer in net.layer:
        if layer.type == "HDF5Data":
            layer.hdf5_data_param.source = train_list
        if layer.type == "CreateDeformation":
            for axis, size in zip(("nx", "ny", "nz"), reversed(tile_in), strict=False):
                setattr(layer.create_deformation_param, axis, size)
        if layer.type == "Convolution" and "score" in layer.top:
            layer.convolution_param.num_output = classes
    text = java_text(net)
    if not valid_list:
        return text
    bottoms = "  bottom: 'score'\n  bottom: 'labels'\n  bottom: 'weights'\n"
    phase = "  include {\n    phase: TEST\n  }\n"
    first = (
        "layer {\n  name: 'loaddata_valid'\n  type: 'HDF5Data'\n"
        f"  top: '{model.input_blob_name}'\n  top: 'labels'\n  top: 'weights'\n{phase}"
        f"  hdf5_data_param {{\n    source: '{valid_list}'\n    batch_size: 1\n"
        "    shuffle: false\n  }\n}\n"
    )
    extra = (
        "  f1_param {\n    distance_mode: EUCLIDEAN\n    distance_threshold: 3.0\n  }\n"
    )
    scores = (
        ("loss_valid", "SoftmaxWithLoss", ""),
        ("IoU", "IoU", ""),
        ("F1_detection", "F1", extra),
        ("F1_segmentation", "F1", ""),
    )
    last = (
        f"layer {{\n  name: '{name}'\n  type: '{kind}'\n{bottoms}  top: '{name}'\n"
        f"{phase}{more}}}\n"
        for name, kind, more in scores
    )
    return (first + text + "".join(last)).replace("'", '"')


def finetuning_solver(
    model: Any, stem: str, iterations: int, *, interval: int, tiles: int, gpu: bool
) -> str:
    """Write the solver of a finetuning; no ``tiles``, no validation."""
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2

    solver = text_format.Parse(model.solver_prototxt, caffe_pb2.SolverParameter())
    solver.net, solver.snapshot_prefix = f"{stem}-model.prototxt", f"{stem}-snapshot"
    solver.max_iter = solver.snapshot = iterations
    solver.lr_policy, solver.type = "fixed", "Adam"
    solver.snapshot_format = caffe_pb2.SolverParameter.HDF5
    solver.solver_mode = solver.GPU if gpu else solver.CPU
    solver.base_lr = 0
    if tiles:
        solver.test_iter.append(tiles)
        solver.test_interval = interval
    return java_text(solver).replace("base_lr: 0.0", f"base_lr: {LEARNING_RATE}")


def java_text(message: Any) -> str:
    """Print a message as protobuf-java does: one field a line, floats as 1.0E-4."""
    from google.protobuf import text_format

    return FLOAT.sub(_java_float, text_format.MessageToString(message))


def _java_float(match: re.Match[str]) -> str:
    if "." not in match[0] and "e" not in match[0]:
        return match[0]
    value = float(match[0])
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa)!r}E{int(exponent)}"


def read_scores(path: Path) -> dict[str, Any]:
    """Read a result as the plugin does: every member of the file's root, by block."""
    found = {}
    with h5py.File(path) as file:
        for name, item in file.items():
            if not isinstance(item, h5py.Dataset) or item.ndim not in (4, 5):
                raise JavaError(f"{name} is no blob of scores")
            if item.dtype.kind != "f":
                raise JavaError(f"{name} is of type {item.dtype}")
            scores = np.empty(item.shape, "f4")
            for block in itertools.product(*map(range, item.shape[:-2])):
                scores[block] = item[block]
            found[name] = scores
    return found


def whole_scores(model: Any, weights: Path, images: Any) -> dict[str, Any]:
    """Compute scores by one forward pass per image, mirrored around by numpy."""
    found = [_forward(model, weights, image) for image in images]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _forward(model: Any, weights: Path, image: Any) -> dict[str, Any]:
    import caffe

    shape = zip(
        image.shape[1:],
        model.downsample_factor,
        model.pad_input,
        model.pad_output,
        strict=True,
    )
    edges = []
    for size, factor, before, after in shape:
        out = -(-(size - after) // factor) * factor + after
        edge = (before - after) // 2
        edges.append((edge, edge + out - size))
    wide = np.pad(image, [(0, 0), *edges], mode="reflect")[np.newaxis]
    shape_text = " ".join(f"dim: {size}" for size in wide.shape)
    path = weights.with_name("whole.prototxt")
    path.write_text(
        f"layer {{ name: 'in' type: 'Input' top: '{model.input_blob_name}' "
        f"input_param {{ shape {{ {shape_text} }} }} }}\n{model.model_prototxt}"
    )
    net = caffe.Net(str(path), str(weights), caffe.TEST)
    net.blobs[model.input_blob_name].data[...] = wide
    inside = (..., *(slice(size) for size in image.shape[1:]))
    return {name: blob[inside].copy() for name, blob in net.forward().items()}

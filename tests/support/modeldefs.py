"""Model definitions that are small enough for a test: text, definition, weights.

`definition` gives a U-Net as the plugin's editor makes one (release naming, unpadded
3x3 convolutions), `threshold` a net of one convolution whose result is known without
running it.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from pyunet_fiji.modeldef import ModelDefinition

SOLVER = """\
net: 'model.prototxt'
base_lr: 0.00001
momentum: 0.9
momentum2: 0.999
lr_policy: 'fixed'
max_iter: 600000
display: 1
snapshot: 10000
snapshot_prefix: 'snapshot'
snapshot_format: HDF5
type: 'Adam'
solver_mode: GPU
debug_info: 0
random_seed: 1
"""


def definition(*, levels=2, axes=2, features=4, classes=2, **changes):
    """Describe a U-Net with the same levels on every axis.

    Parameters
    ----------
    levels : int
        Poolings; two give inputs of 12 + 4 k pixels and outputs 40 less.
    axes : int
        2 or 3.
    features : int
        Channels of the first level; doubled at each pooling.
    classes : int
        With background.
    changes
        Other fields of `ModelDefinition`.
    """
    down, up = 0, -4
    for _ in range(levels):
        down, up = 2 * down + 4, 2 * up - 4
    settings = {
        "ident": f"small{axes}d",
        "model_prototxt": prototxt(levels, axes, features, classes),
        "input_blob_name": "data3",
        "element_size_um": (0.5,) * axes,
        "downsample_factor": (2**levels,) * axes,
        "pad_input": (down,) * axes,
        "pad_output": (up,) * axes,
        "solver_prototxt": SOLVER,
        "name": f"Small {axes}D",
        "description": f"{levels} levels, {features} channels",
    }
    return ModelDefinition(**{**settings, **changes})


def threshold(*, axes=2, **changes):
    """Describe a net of one 3x3 convolution, for `threshold_weights`."""
    body = _convolution("data3", "score", 2, 3, axes, name="conv_data3-score")
    text = "\n".join([_training(1, axes), body, _loss()])
    settings = {
        "ident": f"threshold{axes}d",
        "model_prototxt": text,
        "input_blob_name": "data3",
        "element_size_um": (0.5,) * axes,
        "downsample_factor": (1,) * axes,
        "pad_input": (0,) * axes,
        "pad_output": (-2,) * axes,
        "solver_prototxt": SOLVER,
        "name": "Threshold",
        "description": "brighter than a half",
    }
    return ModelDefinition(**{**settings, **changes})


def threshold_weights(path, *, axes=2, channels=1, border=0.5):
    """Write weights by which `threshold` calls class 1 what is brighter than `border`.

    The scores are ``(border - v, v - border)`` for the mean v of the channels.
    """
    import h5py

    kernel = np.zeros((2, channels, *(3,) * axes), np.float32)
    centre = (slice(None), slice(None), *(1,) * axes)
    kernel[centre] = np.array([[-1], [1]]) / channels
    with h5py.File(path, "w") as file:
        group = file.create_group("data/conv_data3-score")
        group["0"] = kernel
        group["1"] = np.array([border, -border], np.float32)
    return path


def random_weights(path, model, *, channels=1, seed=1):
    """Write weights of a definition's net as its fillers draw them."""
    import caffe

    caffe.set_random_seed(seed)
    net = build_net(model, path.with_suffix(".prototxt"), channels=channels)
    net.save_hdf5(str(path))
    path.with_suffix(".prototxt").unlink()
    return path


def build_net(model, prototxt_path, *, channels=1, k=None, weights=None):
    """Build the TEST net of a definition by hand, for one tile."""
    import caffe

    tile = [
        factor * (k or 1 - (pad - 1) // factor) + before
        for factor, pad, before in zip(
            model.downsample_factor, model.pad_output, model.pad_input, strict=True
        )
    ]
    shape = " ".join(f"dim: {extent}" for extent in (1, channels, *tile))
    prototxt_path.write_text(
        f"layer {{ name: 'in' type: 'Input' top: '{model.input_blob_name}' "
        f"input_param {{ shape {{ {shape} }} }} }}\n" + model.model_prototxt
    )
    if weights is None:
        return caffe.Net(str(prototxt_path), caffe.TEST)
    return caffe.Net(str(prototxt_path), str(weights), caffe.TEST)


def finetuned(model, *names):
    """Give a definition the names of its classes."""
    return replace(model, class_names=("Background", *names))


def prototxt(levels, axes, features, classes):
    """Write the net of the plugin's editor."""
    parts = [_training(2 ** (levels - 1), axes)]
    parts.append(
        "layer { name: 'trafo_data3-d0a' type: 'ValueTransformation' bottom: 'data3' "
        "top: 'd0a' value_transformation_param { offset { v: -0.5 } } }"
    )
    for level in range(levels):
        parts += _block(f"d{level}", "abc", features << level, axes)
        parts.append(
            f"layer {{ name: 'pool_d{level}c-{level + 1}a' type: 'Pooling' "
            f"bottom: 'd{level}c' top: 'd{level + 1}a' "
            f"pooling_param {{ pool: MAX {_windows(2, axes, stride=2)} }} }}"
        )
    parts += _block(f"d{levels}", "abc", features << levels, axes)
    source = f"d{levels}c"
    for level in reversed(range(levels)):
        parts += _up(source, level, features << level, axes)
        source = f"u{level}d"
    parts.append(_convolution("u0d", "score", classes, 1, axes, name="conv_u0d-score"))
    return "\n".join([*parts, _loss()])


def _up(source, level, features, axes):
    return [
        f"layer {{ name: 'upconv_{source}_u{level}a' type: 'Deconvolution' "
        f"bottom: '{source}' top: 'u{level}a' convolution_param {{ "
        f"num_output: {features} {_windows(2, axes, stride=2)} "
        "weight_filler { type: 'msra' } } }",
        _relu(f"u{level}a", name=f"relu_u{level + 1}a"),
        f"layer {{ name: 'concat_d{level}c_u{level}a-b' type: 'Concat' "
        f"bottom: 'u{level}a' bottom: 'd{level}c' top: 'u{level}b' }}",
        *_block(f"u{level}", "bcd", features, axes),
    ]


def _block(stage, blobs, features, axes):
    layers = []
    for before, after in itertools.pairwise(blobs):
        source, top = f"{stage}{before}", f"{stage}{after}"
        name = f"conv_{source}-{after}"
        layers.append(_convolution(source, top, features, 3, axes, name=name))
        layers.append(_relu(top, name=f"relu_{top}"))
    return layers


def _relu(blob, *, name):
    return (
        f"layer {{ name: '{name}' type: 'ReLU' bottom: '{blob}' top: '{blob}' "
        "relu_param { negative_slope: 0.1 } }"
    )


def _convolution(bottom, top, features, kernel, axes, *, name):
    return (
        f"layer {{ name: '{name}' type: 'Convolution' bottom: '{bottom}' "
        f"top: '{top}' param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }} "
        f"convolution_param {{ num_output: {features} pad: 0 "
        f"{_windows(kernel, axes)} weight_filler {{ type: 'msra' }} }} }}"
    )


def _windows(size, axes, stride=None):
    words = [f"kernel_size: {size}"] * axes
    return " ".join(words + ([f"stride: {stride}"] * axes if stride else []))


def _training(offset, axes):
    def every(value):
        return " ".join([f"v: {value}"] * axes)

    depth = "nz: 40 " if axes == 3 else ""
    turn = every(0) if axes == 3 else "v: 0"
    turn_to = "v: 360 v: 0 v: 0" if axes == 3 else "v: 360"
    return f"""\
name: 'small'
layer {{ name: 'loaddata' type: 'HDF5Data'
  top: 'data' top: 'labels' top: 'weights' top: 'weights2'
  hdf5_data_param {{ source: 'input_files.txt' batch_size: 1 shuffle: false }}
  include: {{ phase: TRAIN }} }}
layer {{ name: 'create_deformation' type: 'CreateDeformation'
  bottom: 'weights2' top: 'def'
  create_deformation_param {{
    batch_size: 1 {depth}ny: 40 nx: 40 ncomponents: {axes}
    random_elastic_grid_spacing {{ {every(150)} }}
    random_elastic_deform_magnitude {{ {every(10)} }}
    random_offset_range_from_pdf: true
    random_offset_from {{ {every(-offset)} }} random_offset_to {{ {every(offset)} }}
    random_rotate_from {{ {turn} }} random_rotate_to {{ {turn_to} }}
  }} include: {{ phase: TRAIN }} }}
layer {{ name: 'def_data-data2' type: 'ApplyDeformation'
  bottom: 'data' bottom: 'def' top: 'data2'
  apply_deformation_param {{ interpolation: 'linear' extrapolation: 'mirror' }}
  include: {{ phase: TRAIN }} }}
layer {{ name: 'augm_data2-data3' type: 'ValueAugmentation'
  bottom: 'data2' top: 'data3'
  value_augmentation_param {{ black_from: -0.05 black_to: 0.05 slope_min: 0.8
    slope_max: 1.2 white_from: 0.95 white_to: 1.05 }}
  include: {{ phase: TRAIN }} }}"""


def _loss():
    def crop(name, blob, how):
        return f"""\
layer {{ name: 'def_{name}-crop' type: 'ApplyDeformation'
  bottom: '{blob}' bottom: 'def' top: '{name}crop'
  apply_deformation_param {{ interpolation: '{how}' extrapolation: 'mirror'
    output_shape_from: 'score' }} include: {{ phase: TRAIN }} }}"""

    return "\n".join([
        crop("label", "labels", "nearest"),
        crop("weight", "weights", "linear"),
        "layer { name: 'loss' type: 'SoftmaxWithLoss' top: 'loss' bottom: 'score' "
        "bottom: 'labelcrop' bottom: 'weightcrop' include: { phase: TRAIN } }",
    ])  # fmt: skip

"""A small net whose tiles never differ from one padded forward pass, and its fakes."""

from __future__ import annotations

import numpy as np

import caffe
from pyunet_fiji.backend.nets import TileNet
from pyunet_fiji.modeldef import ModelDefinition


def geometry(factor, pad_in, pad_out, **changes):
    """Describe a model by the numbers that tiles depend on."""
    return ModelDefinition(
        **{
            "ident": "tiled",
            "model_prototxt": "",
            "input_blob_name": "data3",
            "element_size_um": (1.0,) * len(factor),
            "downsample_factor": tuple(factor),
            "pad_input": tuple(pad_in),
            "pad_output": tuple(pad_out),
            **changes,
        }
    )


def model(*, axes=2, outputs=("score",), **changes):
    """Describe the net of tiled_predict.md 9: conv5, conv2/2, conv3, deconv2/2, conv9.

    Its output tiles are multiples of its factor 2, so that strides always fall on the
    same pixels. The last axis pair is of this kind; z of volumes is not downsampled.
    """
    flat = axes - 2
    layers = [
        layer("Convolution", "data3", "a", 3, _size(5, flat)),
        layer("ReLU", "a", "a"),
        layer("Convolution", "a", "b", 3, _size(2, flat), _size(2, flat)),
        layer("Convolution", "b", "c", 3, _size(3, flat)),
        layer("Deconvolution", "c", "d", 3, _size(2, flat), _size(2, flat)),
        *(layer("Convolution", "d", top, 2, _size(9, flat)) for top in outputs),
        # nobody may build what belongs to training
        'layer { name: "load" type: "HDF5Data" top: "labels" '
        'hdf5_data_param { source: "gone" } include { phase: TRAIN } }',
    ]
    return geometry(
        (1,) * flat + (2, 2),
        (0,) * flat + (4, 4),
        (0,) * flat + (-12, -12),
        **{"model_prototxt": "\n".join(layers), **changes},
    )


def layer(kind, bottom, top, channels=0, size=(), stride=()):
    """Write a layer; kernels that see no z have size 1 there."""
    sizes = " ".join(f"kernel_size: {extent}" for extent in size)
    strides = " ".join(f"stride: {extent}" for extent in stride)
    parameter = (
        f"convolution_param {{ num_output: {channels} {sizes} {strides} "
        'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 1 } }'
        if channels
        else ""
    )
    return (
        f'layer {{ name: "{kind}_{top}" type: "{kind}" bottom: "{bottom}" '
        f'top: "{top}" {parameter} }}'
    )


def _size(extent, flat):
    return (1,) * flat + (extent, extent)


def tile_net(definition, channels=1, seed=1, tile=None):
    """Build the net with random weights."""
    caffe.set_random_seed(seed)
    return TileNet(definition, "", channels, tile or smallest(definition))


def smallest(definition):
    return (1,) * (definition.dimensions - 2) + (18, 18)


def padded_pass(net, definition, image):
    """Compute all outputs of an image (C, ...) in one pass, padded by numpy."""
    edges = [(0, 0) if factor == 1 else (8, 8 + size % 2) for factor, size in zip(
        definition.downsample_factor, image.shape[1:], strict=True)]  # fmt: skip
    kind = {"mirror": "reflect", "zero": "constant"}[definition.padding]
    whole = np.pad(image, [(0, 0), *edges], mode=kind)
    net.reshape(whole.shape[1:])
    net.tile[...] = whole
    cut = (slice(None), *(slice(extent) for extent in image.shape[1:]))
    return {name: block[cut].copy() for name, block in net.forward().items()}


class TightNet:
    """A net that runs out of memory on tiles of more than so many pixels."""

    def __init__(self, net, limit, error=None):
        self.net, self.limit = net, limit
        self.error = error or RuntimeError(
            "CUDA out of memory. Tried to allocate 1 GiB"
        )
        self.outputs, self.tile_in = net.outputs, net.tile_in

    def reshape(self, tile_in):
        self.net.reshape(tile_in)
        self.tile_in = tile_in

    def classes(self, tile_out):
        return self.net.classes(tile_out)

    @property
    def tile(self):
        return self.net.tile

    def forward(self):
        if np.prod(self.tile_in) > self.limit:
            raise type(self.error)(*self.error.args)
        return self.net.forward()

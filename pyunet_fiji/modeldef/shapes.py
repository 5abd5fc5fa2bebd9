"""Valid tile shapes of a model (tiled_predict.md 1, modeldef_h5.md 2).

For a whole number k an axis, the extent at the net's coarsest level, tiles have
``downsample_factor * k + pad_input`` pixels at the input and
``downsample_factor * k + pad_output`` at the output. All shapes are (z)yx.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyunet.errors import DataError
from pyunet_fiji.modeldef.definition import ModelDefinition

Shape = tuple[int, ...]


def input_shape(definition: ModelDefinition, k: Sequence[int]) -> Shape:
    """Give the input tile for an extent at the coarsest level.

    Parameters
    ----------
    definition : ModelDefinition
    k : sequence of int
        One number an axis.

    Returns
    -------
    tuple of int

    Examples
    --------
    The U-Net of four levels maps 572 pixels to 388:

    >>> model = ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16), (60, 60),
    ...                         (-124, -124))
    >>> input_shape(model, (32, 8)), output_shape(model, (32, 8))
    ((572, 188), (388, 4))
    """
    return _affine(definition.downsample_factor, k, definition.pad_input)


def output_shape(definition: ModelDefinition, k: Sequence[int]) -> Shape:
    """Give the output tile for an extent at the coarsest level."""
    return _affine(definition.downsample_factor, k, definition.pad_output)


def border(definition: ModelDefinition) -> Shape:
    """Give the pixels by which an input tile begins before its output tile.

    >>> border(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16), (60, 61),
    ...                        (-124, -124)))
    (92, 93)
    """
    pads = zip(definition.pad_input, definition.pad_output, strict=True)
    return tuple((pad_in - pad_out + 1) // 2 for pad_in, pad_out in pads)


def smallest_k(definition: ModelDefinition) -> Shape:
    """Give k of the smallest tile of ``caffe_unet``: an output of at least one pixel.

    >>> smallest_k(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 4), (60, 12),
    ...                            (-124, -28)))
    (8, 8)
    """
    return next_k(definition, (1,) * definition.dimensions)


def next_k(definition: ModelDefinition, shape: Sequence[int]) -> Shape:
    """Give k of the smallest output tile that covers a shape.

    Parameters
    ----------
    definition : ModelDefinition
    shape : sequence of int
        Wanted output pixels.

    Returns
    -------
    tuple of int
    """
    sizes = zip(shape, definition.pad_output, definition.downsample_factor, strict=True)
    return tuple(-((pad - extent) // factor) for extent, pad, factor in sizes)


def next_output(definition: ModelDefinition, shape: Sequence[int]) -> Shape:
    """Round an output shape up to the next valid one.

    >>> next_output(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16), (60, 60),
    ...                             (-124, -124)), (540, 1))
    (548, 4)
    """
    return output_shape(definition, next_k(definition, shape))


def output_from_input(definition: ModelDefinition, shape: Sequence[int]) -> Shape:
    """Give the output shape of an input shape.

    >>> output_from_input(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16),
    ...                                   (60, 60), (-124, -124)), (540, 572))
    (356, 388)
    """
    pads = zip(shape, definition.pad_input, definition.pad_output, strict=True)
    return tuple(extent - pad_in + pad_out for extent, pad_in, pad_out in pads)


def plugin_minimal_output(definition: ModelDefinition) -> Shape:
    """Give the smallest output tile that the Fiji plugin offers: zero or more.

    It is 0, and no tile at all, where `ModelDefinition.pad_output` is a multiple of
    the factor.

    >>> plugin_minimal_output(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 4),
    ...                                       (60, 12), (-124, -28)))
    (4, 0)
    """
    return next_output(definition, (0,) * definition.dimensions)


def net_geometry(levels: Sequence[int]) -> tuple[Shape, Shape, Shape]:
    """Give the geometry of a U-Net with two unpadded 3x3 convolutions a level.

    Parameters
    ----------
    levels : sequence of int
        How often each axis is halved; axes may differ (the finest levels of an axis
        with fewer have kernel 1 there).

    Returns
    -------
    (downsample_factor, pad_input, pad_output) : tuple of tuple of int

    Raises
    ------
    DataError
        A negative number of levels.

    Examples
    --------
    >>> net_geometry((1, 4))
    ((2, 16), (4, 60), (-12, -124))
    """
    if min(levels, default=0) < 0:
        raise DataError(f"levels {tuple(levels)}; accepted are numbers of 0 or more")
    pad_input, pad_output = [], []
    for count in levels:
        before, after = 0, -4
        for _ in range(count):
            before, after = 2 * before + 4, 2 * after - 4
        pad_input.append(before)
        pad_output.append(after)
    return tuple(2**count for count in levels), tuple(pad_input), tuple(pad_output)


def _affine(factors: Shape, k: Sequence[int], pads: Shape) -> Shape:
    return tuple(
        factor * extent + pad
        for factor, extent, pad in zip(factors, k, pads, strict=True)
    )

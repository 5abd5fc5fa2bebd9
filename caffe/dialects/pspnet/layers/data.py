"""Layers that read images and the classes of their pixels."""

from __future__ import annotations

from typing import Any

from caffe.dialects.pspnet.pairs import PairBatches, PairOptions
from caffe.engine.catalogue import register
from caffe.engine.layer import Context
from caffe.engine.sources import images
from caffe.engine.sources.prefetch import PrefetchingLayer, Reader, new_seed, share
from caffe.errors import CheckError

_COLORS = 3


@register("ImageSegData")
class ImageSegDataLayer(PrefetchingLayer):
    """Images of a list and the classes of their pixels, in a circle (DeepLab).

    Options (``image_data_param``)
        source : str. Text file with lines of an image and its label.
        has_label : bool, default true. False: as ``label_type: NONE`` (DeepLab v1).
        label_type : IMAGE (default), the label is a number for all pixels; PIXEL, it is
            a grey image; NONE, there is none.
        ignore_label : int, default 255. Class of pixels without a label.
        root_folder, batch_size, new_height, new_width, is_color, shuffle, rand_skip :
            as for ImageData. A label is resized as an image is, between classes too.

    Options (``transform_param``)
        scale_factors : repeated float. One is drawn for each image, which is brought to
            that size, its label by the nearest pixels.
        crop_size, or crop_height and crop_width : int. What is cut out: anywhere in
            TRAIN, the middle in TEST. An image that is smaller is made larger below and
            to the right, with ``mean_value`` and ``ignore_label``.
        mirror, mean_value, scale : as for ImageData.

    Tops
        0 : (N, C, Y, X), images, colours in the order blue, green, red.
        1 : (N, 1, Y, X), classes.
        2 : (N, 1, 1, 2), height and width of the image, at most those of the top.

    DeepLab v1 may leave the last ones out.
    """

    tops = (1, 3)

    def reader(self, param: Any, context: Context) -> Reader:
        """Read the list."""
        options, transform = param.image_data_param, param.transform_param
        source, root = options.source, options.root_folder
        size = _pair("new_height", options.new_height, "new_width", options.new_width)
        labels = "NONE"
        if options.has_label:
            labels = options.LabelType.Name(options.label_type)
        _check(options, transform)
        context.log("image_seg_data_layer.cpp:46", f"Opening file {source}")
        lines = [
            (root + image, root + label if labels == "PIXEL" else label)
            for image, label in images.read_pairs(source, single=labels == "NONE")
        ]
        context.log("image_seg_data_layer.cpp:70", f"A total of {len(lines)} images.")
        skip = options.rand_skip and int(context.rng.integers(options.rand_skip))
        return PairBatches(
            source,
            lines,
            PairOptions(
                tops=len(param.top),
                batch=options.batch_size,
                shuffle=options.shuffle,
                skip=skip,
                size=size,
                color=options.is_color,
                labels=labels,
                ignored=options.ignore_label,
                crop=_crop(transform),
                scales=tuple(transform.scale_factors),
                mirror=transform.mirror,
                train=context.train,
                mean=tuple(transform.mean_value),
                scale=transform.scale,
            ),
            seed=new_seed(context),
            share=share(context),
        )


def _check(options: Any, transform: Any) -> None:
    if options.batch_size == 0:
        raise CheckError("batch_size is 0: expected a number above 0")
    if transform.HasField("mean_file"):
        raise CheckError("mean_file is given: ImageSegData takes mean_value only")
    channels = _COLORS if options.is_color else 1
    if len(transform.mean_value) not in {0, 1, channels}:
        raise CheckError(
            f"mean_value has {len(transform.mean_value)} values: Specify either 1 "
            f"mean_value or as many as channels: {channels}"
        )
    if any(factor <= 0 for factor in transform.scale_factors):
        raise CheckError(
            f"scale_factors has {min(transform.scale_factors):g}: expected above 0"
        )


def _crop(transform: Any) -> tuple[int, int] | None:
    by_pair = _pair(
        "crop_height", transform.crop_height, "crop_width", transform.crop_width
    )
    if not transform.crop_size:
        return by_pair
    if by_pair is not None:
        raise CheckError("crop_size and crop_height are both given: give one")
    return transform.crop_size, transform.crop_size


def _pair(name: str, height: int, other: str, width: int) -> tuple[int, int] | None:
    """Height and width, of which both are given or none."""
    if bool(height) != bool(width):
        raise CheckError(
            f"{name} is {height} and {other} {width}: expected both or none"
        )
    return (height, width) if height else None

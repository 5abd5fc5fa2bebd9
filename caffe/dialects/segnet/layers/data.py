"""Layers that read images and the classes of their pixels."""

from __future__ import annotations

from typing import Any

from caffe.dialects.segnet.dense import DenseBatches, DenseOptions
from caffe.engine.catalogue import register
from caffe.engine.layer import Context
from caffe.engine.sources import images
from caffe.engine.sources.prefetch import PrefetchingLayer, Reader, new_seed, share
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError


@register("DenseImageData")
class DenseImageDataLayer(PrefetchingLayer):
    """Images of a list and the classes of their pixels, in a circle (SegNet).

    Options (``dense_image_data_param``)
        source : str. Text file with lines of an image and an image of its classes.
        root_folder : str. Put before both names.
        batch_size : int. Images of a forward; those of one batch must have one size.
        new_height, new_width : int. Size they are brought to, labels by the nearest
            pixels; both or none.
        crop_height, crop_width : int. Size of what is cut out anywhere, in TEST too.
        mirror : bool, default false. Mirror every second image, by chance.
        label_divide_factor : int, default 1. Labels are so much smaller than images
            along each axis, for a net whose scores are (ENet); not with a crop.
        is_color, shuffle, rand_skip : as for ImageData.

    Options (``transform_param``)
        mean_file, mean_value, scale : as for ImageData.

    Tops
        0 : (N, C, Y, X), images, colours in the order blue, green, red.
        1 : (N, 1, Y, X), classes.
    """

    tops = (2, 2)

    def reader(self, param: Any, context: Context) -> Reader:
        """Read the list."""
        options, transform = param.dense_image_data_param, param.transform_param
        if options.batch_size == 0:
            raise CheckError("batch_size is 0: expected a number above 0")
        if transform.mirror or transform.crop_size:
            raise CheckError(
                "transform_param has mirror or crop_size: expected those of "
                "dense_image_data_param"
            )
        if options.label_divide_factor == 0:
            raise CheckError("label_divide_factor is 0: expected a number above 0")
        if options.label_divide_factor > 1 and options.crop_height:
            raise CheckError("label_divide_factor and crop_height are given: give one")
        context.log("dense_image_data_layer.cpp:44", f"Opening file {options.source}")
        root = options.root_folder
        lines = [
            (root + image, root + label)
            for image, label in images.read_pairs(options.source)
        ]
        context.log(
            "dense_image_data_layer.cpp:60", f"A total of {len(lines)} examples."
        )
        skip = options.rand_skip and int(context.rng.integers(options.rand_skip))
        return DenseBatches(
            options.source,
            lines,
            DataTransformer(transform, train=context.train, log=context.log),
            DenseOptions(
                batch=options.batch_size,
                shuffle=options.shuffle,
                skip=skip,
                size=_pair(options, "new"),
                color=options.is_color,
                crop=_pair(options, "crop"),
                mirror=options.mirror,
                divisor=options.label_divide_factor,
            ),
            seed=new_seed(context),
            share=share(context),
        )


def _pair(options: Any, kind: str) -> tuple[int, int] | None:
    """Height and width, of which both are given or none."""
    height, width = (getattr(options, f"{kind}_{side}") for side in ("height", "width"))
    if bool(height) != bool(width):
        raise CheckError(
            f"{kind}_height is {height} and {kind}_width {width}: expected both or none"
        )
    return (height, width) if height else None

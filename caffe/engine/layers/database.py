"""Layers over databases, lists of images and windows of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.catalogue import register
from caffe.engine.layer import Context
from caffe.engine.sources import images
from caffe.engine.sources.databases import open_database
from caffe.engine.sources.datums import DatumBatches
from caffe.engine.sources.lists import ImageBatches, ImageOptions
from caffe.engine.sources.prefetch import (
    PrefetchingLayer,
    Reader,
    log_size,
    new_seed,
    share,
)
from caffe.engine.sources.windows import (
    COLORS,
    WindowBatches,
    WindowOptions,
    read_windows,
)
from caffe.engine.transformer import DataTransformer, read_mean
from caffe.errors import CheckError, escaped
from caffe.proto import caffe_pb2


class _SizedLayer(PrefetchingLayer):
    """Logs the shape of its first batch, once."""

    _size_line = ""

    def setup(self, param: Any, context: Context) -> None:
        """Make the reader, wait for its first batch, log its shape."""
        super().setup(param, context)
        log_size(context.log, self._size_line, self.shapes([])[0])


def _above_zero(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise CheckError(f"{name} is {value}: expected a number above 0")


def _transformer(param: Any, context: Context) -> DataTransformer:
    return DataTransformer(param.transform_param, train=context.train, log=context.log)


@register("Data")
class DataLayer(_SizedLayer):
    """Rows of a database of Datum messages, in a circle.

    Options (``data_param``)
        source : str. Path of the database.
        backend : LEVELDB (default) or LMDB.
        batch_size : int. Rows of a forward.
        force_encoded_color : bool, default false. Decode images to three channels.
        prefetch : int, default 4. Batches that are read ahead.
        rand_skip : int. Accepted, without effect, as in Caffe 1.0: processes that train
            together take different rows anyway.

    Options (``transform_param``): see `caffe.engine.transformer.DataTransformer`.

    Tops
        (batch_size, channels, height, width): images, blue green red where they were
        encoded; (batch_size): labels, if there is a second top.

    The shape may differ from batch to batch.
    """

    tops = (1, 2)
    _size_line = "data_layer.cpp:45"

    def reader(self, param: Any, context: Context) -> Reader:
        """Open the database."""
        options = param.data_param
        _above_zero(batch_size=options.batch_size)
        transformer = _transformer(param, context)
        if options.force_encoded_color and transformer.color is None:
            transformer.color = True
        backend = caffe_pb2.DataParameter.DB.Name(options.backend).lower()
        return DatumBatches(
            open_database(backend, options.source, context.log),
            transformer,
            batch=options.batch_size,
            seed=new_seed(context),
            share=share(context),
            log=context.log,
            labels=len(param.top) > 1,
        )


@register("ImageData")
class ImageDataLayer(_SizedLayer):
    """Images of a list, in a circle.

    Options (``image_data_param``)
        source : str. Text file with lines of an image and its label, a whole number.
        root_folder : str. Put before the names of images.
        batch_size : int, default 1. Images of a forward.
        new_height, new_width : int, default 0 (as in the file). Size they are brought
            to; both or none.
        is_color : bool, default true. Three channels, or one.
        shuffle : bool, default false. Another order in each round.
        rand_skip : int, default 0. Start behind some of so many images, by chance.

    Options (``transform_param``): see `caffe.engine.transformer.DataTransformer`.

    Tops
        (batch_size, channels, height, width): images, colours in the order blue, green,
        red; (batch_size): labels.

    The shape may differ from batch to batch.
    """

    tops = (2, 2)
    _size_line = "image_data_layer.cpp:90"

    def reader(self, param: Any, context: Context) -> Reader:
        """Read the list."""
        options, log = param.image_data_param, context.log
        _above_zero(batch_size=options.batch_size)
        height, width = options.new_height, options.new_width
        if bool(height) != bool(width):
            raise CheckError(
                f"new_height is {height} and new_width {width}: Current implementation "
                "requires new_height and new_width to be set at the same time"
            )
        transformer = _transformer(param, context)
        log("image_data_layer.cpp:38", f"Opening file {options.source}")
        lines = images.read_list(options.source)
        if options.shuffle:
            log("image_data_layer.cpp:52", "Shuffling data")
        log("image_data_layer.cpp:63", f"A total of {len(lines)} images.")
        skip = 0
        if options.rand_skip:
            skip = int(context.rng.integers(options.rand_skip))
            log("image_data_layer.cpp:70", f"Skipping first {skip} data points.")
            if skip >= len(lines):
                raise CheckError(
                    f"Not enough points to skip: {skip} of {len(lines)}: set rand_skip "
                    "to the number of images or less"
                )
        return ImageBatches(
            options.source,
            [(options.root_folder + name, label) for name, label in lines],
            transformer,
            ImageOptions(
                batch=options.batch_size,
                size=(height, width) if height else None,
                color=options.is_color,
                shuffle=options.shuffle,
                skip=skip,
            ),
            seed=new_seed(context),
            share=share(context),
        )


@register("WindowData")
class WindowDataLayer(_SizedLayer):
    """Windows of images, drawn by chance, with and without objects.

    Options (``window_data_param``)
        source : str. Window file, see `caffe.engine.sources.windows.read_windows`.
        root_folder : str. Put before the names of images.
        batch_size : int. Windows of a forward.
        fg_threshold, bg_threshold : float, default 0.5. Windows with this overlap or
            more are of an object; those with less are background, of label 0.
        fg_fraction : float, default 0.25. Part of a batch that is of objects; these
            come last.
        context_pad : int, default 0. Pixels around the window, in the crop.
        crop_mode : "warp" (default) or "square". Bring the window itself to the size of
            the crop, or the square around it.
        cache_images : bool, default false. Keep the files of all images in memory.
        scale : float, default 1. Factor, as ``transform_param.scale``, which Caffe
            leaves out here.

    Options (``transform_param``)
        crop_size : int. Side of the tops.
        mirror, mean_file, mean_value, scale: see
            `caffe.engine.transformer.DataTransformer`. Of a mean file the middle is
            taken.

    Tops
        (batch_size, 3, crop_size, crop_size): images, colours in the order blue, green,
        red; (batch_size): labels.

    Processes that train together draw windows of their own.
    """

    tops = (2, 2)
    _size_line = "window_data_layer.cpp:178"

    def reader(self, param: Any, context: Context) -> Reader:
        """Read the window file."""
        options, transform, log = (
            param.window_data_param,
            param.transform_param,
            context.log,
        )
        crop, pad = int(transform.crop_size), int(options.context_pad)
        _above_zero(batch_size=options.batch_size, crop_size=crop)
        if 2 * pad >= crop:
            raise CheckError(
                f"context_pad is {pad}: expected less than half of crop_size {crop}"
            )
        if not 0 <= options.fg_fraction <= 1:
            raise CheckError(f"fg_fraction is {options.fg_fraction:g}: expected 0 to 1")
        log(
            "window_data_layer.cpp:44",
            "Window data layer:\n"
            f"  foreground (object) overlap threshold: {options.fg_threshold:g}\n"
            f"  background (non-object) overlap threshold: {options.bg_threshold:g}\n"
            f"  foreground sampling fraction: {options.fg_fraction:g}\n"
            f"  cache_images: {options.cache_images:d}\n"
            f"  root_folder: {escaped(options.root_folder)}",
            several=True,
        )
        windows = read_windows(
            options.source,
            options.root_folder,
            options.fg_threshold,
            options.bg_threshold,
            log,
        )
        log("window_data_layer.cpp:157", f"Amount of context padding: {pad}")
        log("window_data_layer.cpp:160", f"Crop mode: {options.crop_mode}")
        fraction = np.float32(options.batch_size) * np.float32(options.fg_fraction)
        return WindowBatches(
            options.source,
            windows,
            WindowOptions(
                batch=options.batch_size,
                foreground=int(fraction),
                crop=crop,
                pad=pad,
                square=options.crop_mode == "square",
                mirror=transform.mirror,
                scale=options.scale * transform.scale,
                mean=_window_mean(transform, crop, context),
            ),
            seed=new_seed(context),
            rank=share(context)[0],
            cache=options.cache_images,
        )


def _window_mean(
    transform: Any, crop: int, context: Context
) -> NDArray[np.float32] | None:
    """Mean of a crop: the middle of the mean file, or a value for each channel."""
    if transform.HasField("mean_file"):
        if transform.mean_value:
            raise CheckError("Cannot specify mean_file and mean_value at the same time")
        context.log(
            "window_data_layer.cpp:191",
            f"Loading mean file from: {transform.mean_file}",
        )
        mean = read_mean(transform.mean_file)
        offset = (mean.shape[2] - crop) // 2
        middle = mean[:, offset : offset + crop, offset : offset + crop]
        if offset < 0 or middle.shape != (COLORS, crop, crop):
            raise CheckError(
                f"the mean file {transform.mean_file} has shape {mean.shape}: "
                f"expected 3 channels of at least crop_size {crop}"
            )
        return middle
    values = np.array(transform.mean_value, np.float32)
    if values.size not in {0, 1, COLORS}:
        raise CheckError(
            f"mean_value has {values.size} values: Specify either 1 mean_value or as "
            f"many as channels: {COLORS}"
        )
    return values[:, None, None] if values.size else None

"""Batches of images and boxes from a database of AnnotatedDatum messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffe.dialects.ssd import pictures, sampling
from caffe.dialects.ssd.noise import noisy
from caffe.dialects.ssd.pixels import inside
from caffe.engine.sources.databases import image_of
from caffe.engine.sources.datums import RecordBatches, stacked
from caffe.engine.sources.prefetch import draws
from caffe.engine.transformer import DataTransformer, read_mean
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2

Floats = NDArray[np.float32]
_CLOSE = 1e-2  # an expansion that is nearer to 1 is none


class AnnotatedBatches(RecordBatches):
    """Images and their boxes.

    Parameters
    ----------
    database, batch, seed, share, log
        See `RecordBatches`; `seed` is that of all that is left to chance.
    augmentation : Augmentation
    boxes : bool or None
        Tops of boxes; False: of the label of each image; None: no such top.
    """

    def __init__(
        self,
        database: Any,
        augmentation: Augmentation,
        *,
        boxes: bool | None,
        **options: Any,
    ) -> None:
        super().__init__(database, **options)
        self._augmentation = augmentation
        self._boxes = boxes

    def tops(self, rows: list[tuple[str, bytes, int]], seed: int) -> list[NDArray[Any]]:
        """Images, and boxes or labels."""
        images, found, labels = [], [], []
        for place, (where, raw, row) in enumerate(rows):
            datum = _parsed(raw, where)
            try:
                image, boxes = self._augmentation.apply(datum, draws(seed, row))
            except CheckError as error:
                raise FileError(f"{where}: {error}") from None
            boxes[:, 0] = place
            images.append(image)
            found.append(boxes)
            labels.append(datum.datum.label)
        data = stacked(images, [where for where, _, _ in rows])
        if self._boxes is None:
            return [data]
        if not self._boxes:
            return [data, np.array(labels, np.float32)]
        boxes = np.concatenate(found)
        if not len(boxes):
            boxes = np.full((1, 8), -1, np.float32)
        return [data, boxes[None, None]]


class Augmentation:
    """What happens to an image and its boxes on their way into a net.

    In this order: colours are distorted, the image is put on a larger one, a window of
    it is cut out, it is brought to a size, noise is added, it is cropped and mirrored,
    the mean is taken off.

    Parameters
    ----------
    param : TransformationParameter
    samplers : sequence of BatchSampler
        Of windows.
    transformer : DataTransformer
        For crop, mirror, mean and scale.
    """

    def __init__(self, param: Any, samplers: Any, transformer: DataTransformer) -> None:
        self._param = param
        self._samplers = list(samplers)
        self._transformer = transformer
        self._mean: Floats | None = None
        if param.HasField("expand_param") and param.HasField("mean_file"):
            self._mean = np.moveaxis(read_mean(param.mean_file), 0, 2)
        self._emit = (
            param.emit_constraint if param.HasField("emit_constraint") else None
        )

    def apply(self, datum: Any, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Image (channels, height, width), and rows (G, 8) of its boxes.

        Parameters
        ----------
        datum : AnnotatedDatum
        """
        param = self._param
        image = image_of(datum.datum, self._transformer.color)
        picture = np.moveaxis(image, 0, 2)
        boxes = _rows(datum)
        if param.HasField("distort_param"):
            picture = pictures.distorted(picture, param.distort_param, rng)
        if param.HasField("expand_param"):
            picture, boxes = self._expanded(picture, boxes, rng)
        if self._samplers:
            picture, boxes = self._sampled(picture, boxes, rng)
        old = picture.shape[:2]
        if param.HasField("resize_param"):
            picture = pictures.resized(picture, param.resize_param, rng)
            boxes = _resized(boxes, old, param.resize_param)
        if param.HasField("noise_param"):
            picture = noisy(picture, param.noise_param, rng)
        return self._cropped(picture, boxes, rng)

    def _expanded(
        self, picture: Any, boxes: Floats, rng: np.random.Generator
    ) -> tuple[Any, Floats]:
        options, channels = self._param.expand_param, picture.shape[2]
        if rng.random() > options.prob or options.max_expand_ratio - 1 < _CLOSE:
            return picture, boxes
        ratio = rng.uniform(1, options.max_expand_ratio)
        fill: Any = np.array(self._param.mean_value or [0.0])
        if self._mean is not None:
            fill = self._mean
            size = tuple(int(side * ratio) for side in picture.shape[:2])
            if fill.shape != (*size, channels):
                fill = fill.mean((0, 1))
        picture, window = pictures.expanded(picture, ratio, fill, rng)
        return picture, sampling.projected(boxes, window.tolist(), self._emit)

    def _sampled(
        self, picture: Any, boxes: Floats, rng: np.random.Generator
    ) -> tuple[Any, Floats]:
        windows = sampling.draw_windows(boxes, self._samplers, rng)
        if not len(windows):
            return picture, boxes
        window = windows[int(rng.integers(len(windows)))].clip(0, 1)
        height, width = picture.shape[:2]
        left, top, right, bottom = (
            window * np.array([width, height] * 2, np.float32)
        ).tolist()
        down, along = int(top), int(left)
        part = picture[
            down : down + max(int(bottom - top), 1),
            along : along + max(int(right - left), 1),
        ]
        return part, sampling.projected(boxes, window.tolist(), self._emit)

    def _cropped(
        self, picture: Any, boxes: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        image = np.moveaxis(picture, 2, 0)
        mirror, down, right = self._transformer.draw(image.shape, rng)
        result = self._transformer.transform_at(image, mirror, down, right)
        height, width = image.shape[1:]
        window = (
            right / width,
            down / height,
            (right + result.shape[2]) / width,
            (down + result.shape[1]) / height,
        )
        boxes = sampling.projected(boxes, window, self._emit)
        if mirror:
            boxes = sampling.mirrored(boxes)
        options = self._param.resize_param
        scales = options.width_scale, options.height_scale
        if options.resize_mode == options.FIT_SMALL_SIZE and all(scales):
            # in parts of one fixed size, as images of this mode are not of one
            factors = result.shape[2] / scales[0], result.shape[1] / scales[1]
            boxes[:, sampling.BOX] *= np.array(factors * 2, np.float32)
        return result, boxes


def _parsed(raw: bytes, where: str) -> Any:
    try:
        return caffe_pb2.AnnotatedDatum.FromString(raw)
    except DecodeError:
        raise FileError(
            f"{where}: {len(raw)} bytes that are no AnnotatedDatum message, or a "
            "damaged one"
        ) from None


def _rows(datum: Any) -> Floats:
    """Annotations of a message, group by group."""
    rows = [
        (
            0,
            group.group_label,
            one.instance_id,
            one.bbox.xmin,
            one.bbox.ymin,
            one.bbox.xmax,
            one.bbox.ymax,
            one.bbox.difficult,
        )
        for group in datum.annotation_group
        for one in group.annotation
    ]
    return np.array(rows, np.float32).reshape(-1, 8)


def _resized(boxes: Floats, old: tuple[int, ...], options: Any) -> Floats:
    """Boxes in a resized image, which may be a part of what it was brought to."""
    boxes = boxes.copy()
    boxes[:, sampling.BOX] = boxes[:, sampling.BOX].clip(0, 1)
    if options.resize_mode == options.FIT_LARGE_SIZE_AND_PAD:
        start, part = inside(old[1] / old[0], options)
        boxes[:, sampling.BOX] *= np.array(part, np.float32)
        boxes[:, sampling.BOX] += np.array(start, np.float32)
    return boxes

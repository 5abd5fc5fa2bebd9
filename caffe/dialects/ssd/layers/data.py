"""SSD's layer over databases of images and boxes."""

from __future__ import annotations

from typing import Any

from caffe.dialects.ssd.annotated import AnnotatedBatches, Augmentation
from caffe.engine.catalogue import register
from caffe.engine.layer import Context
from caffe.engine.sources.databases import open_database
from caffe.engine.sources.prefetch import (
    PrefetchingLayer,
    Reader,
    log_size,
    new_seed,
    share,
)
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("AnnotatedData")
class AnnotatedDataLayer(PrefetchingLayer):
    """Images and boxes from a database of AnnotatedDatum messages, in a circle.

    Options (``annotated_data_param``)
        batch_sampler : how windows are drawn, of which one is cut out; see
            `caffe.dialects.ssd.sampling.draw_windows`.
        anno_type : BBOX. Give boxes; without it the messages of the database say
            whether they have any.
        label_map_file : str. Not read.

    Options (``data_param``)
        source : str. Path of the database.
        backend : LEVELDB (default) or LMDB.
        batch_size : int. Images of a forward.
        prefetch : int, default 4. Batches that are read ahead.

    Options (``transform_param``)
        distort_param, expand_param, resize_param, noise_param, emit_constraint: see
        `caffe.dialects.ssd.annotated.Augmentation`; others:
        `caffe.engine.transformer.DataTransformer`.

    Tops
        0 : (batch_size, channels, height, width), blue, green, red.
        1 : (1, 1, G, 8), all boxes of the batch: image, label, instance, left, top,
            right, bottom in parts of the image, difficult; a row of -1 if there are
            none. Without boxes (batch_size), the labels of the images.

    A distorted image is not made a JPEG again in between, as SSD makes it.
    """

    tops = (1, 2)

    def setup(self, param: Any, context: Context) -> None:
        """Make the reader, wait for its first batch, log its shape."""
        super().setup(param, context)
        shape = self.shapes([])[0]
        log_size(context.log, "annotated_data_layer.cpp:62", shape)

    def reader(self, param: Any, context: Context) -> Reader:
        """Open the database."""
        options, own = param.data_param, param.annotated_data_param
        if options.batch_size < 1:
            raise CheckError("batch_size is 0: expected a number above 0")
        rest = caffe_pb2.TransformationParameter()
        rest.CopyFrom(param.transform_param)
        for name in ("resize_param", "noise_param"):  # the augmentation does it
            rest.ClearField(name)
        transformer = DataTransformer(rest, train=context.train, log=context.log)
        backend = caffe_pb2.DataParameter.DB.Name(options.backend).lower()
        database = open_database(backend, options.source, context.log)
        boxes: bool | None = None
        if len(param.top) > 1:
            _, first = next(database.records())
            datum = caffe_pb2.AnnotatedDatum.FromString(first())
            boxes = own.HasField("anno_type") or datum.HasField("type")
        return AnnotatedBatches(
            database,
            Augmentation(param.transform_param, own.batch_sampler, transformer),
            boxes=boxes,
            batch=options.batch_size,
            seed=new_seed(context),
            share=share(context),
            log=context.log,
        )

"""`caffe.Classifier`: images in, class probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe import io
from caffe.engine.net import Net
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

_CROPS = 10
_AXES = 3


class Classifier(Net):
    """A net in phase TEST that takes images of any size.

    Parameters
    ----------
    model_file, pretrained_file : path
        The net and its weights.
    image_dims : (int, int), optional
        Height and width that images are resized to before crops are taken; default:
        the size of the net's input.
    mean : array, optional
        See `caffe.io.Transformer.set_mean`.
    input_scale, raw_scale : float, optional
        Images are multiplied by these after and before the mean is subtracted.
    channel_swap : sequence of int, optional
        Order of channels; (2, 1, 0) for nets that were trained on BGR.

    Attributes
    ----------
    transformer : caffe.io.Transformer
    crop_dims : array of two int
        Height and width of the net's input.
    image_dims : array of two int
    """

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        image_dims: Sequence[int] | None = None,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file)
        self.transformer = transformer_of(
            self, mean, input_scale, raw_scale, channel_swap
        )
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        no_dims = image_dims is None or len(image_dims) == 0
        self.image_dims = self.crop_dims if no_dims else np.array(image_dims)

    def predict(
        self, inputs: Sequence[NDArray[Any]], oversample: bool = True
    ) -> NDArray[np.float32]:
        """Classify images.

        Parameters
        ----------
        inputs : sequence of arrays of shape (height, width, channels)
            As `caffe.io.load_image` reads them.
        oversample : bool, default True
            Average over the crops of `caffe.io.oversample`. False: the centre alone.

        Returns
        -------
        array of shape (number of images, number of classes)
            The net's first output; without oversampling in the output's own shape.

        Raises
        ------
        CheckError
            If there is no image, an image has other channels than the net's input, or
            a crop does not fit into `image_dims`.
        """
        if len(inputs) == 0:
            raise CheckError("no image to classify; expected one or more")
        for index, image in enumerate(inputs):
            check_channels(self, image, f"image {index}")
        size = tuple(int(value) for value in self.image_dims)
        images = np.array([io.resize_image(image, size) for image in inputs])
        if oversample:
            images = io.oversample(images, self.crop_dims)
        else:
            images = _centres(images, self.crop_dims)
        name = self.inputs[0]
        made = [self.transformer.preprocess(name, image) for image in images]
        values: dict[str, Any] = {name: np.array(made, np.float32)}
        outputs = self.forward_all(**values)
        predictions: NDArray[np.float32] = outputs[self.outputs[0]]
        if not oversample:
            return predictions
        crops = predictions.reshape(len(predictions) // _CROPS, _CROPS, -1)
        mean: NDArray[np.float32] = crops.mean(axis=1)
        return mean


def transformer_of(
    net: Net,
    mean: NDArray[Any] | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """Make the transformer of a net's first input, for images."""
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].data.shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


def check_channels(net: Net, image: NDArray[Any], called: str) -> None:
    """Refuse an image that has not the channels of the net's first input.

    Parameters
    ----------
    net : Net
    image : array of shape (height, width, channels)
    called : str
        What the error calls it.

    Raises
    ------
    CheckError
    """
    name = net.inputs[0]
    wanted = net.blobs[name].shape[1]
    shape = np.shape(image)
    if len(shape) == _AXES and shape[2] == wanted:
        return
    hint = "; caffe.io.load_image(path, color=False) gives one" if wanted == 1 else ""
    raise CheckError(
        f"{called}: has shape {shape}: expected (height, width, {wanted}), since the "
        f"input '{name}' of the net has {wanted} channels{hint}"
    )


def _centres(images: NDArray[Any], crop_dims: NDArray[Any]) -> NDArray[Any]:
    height, width = (int(size) for size in crop_dims)
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    if min(top, left) < 0:
        raise CheckError(
            f"crops of {height} x {width} pixels do not fit into image_dims of "
            f"{images.shape[1]} x {images.shape[2]}"
        )
    return images[:, top : top + height, left : left + width, :]

"""`caffe.Detector`: windows of images in, class scores of each window out.

The way of R. Girshick, J. Donahue, T. Darrell, J. Malik, "Rich feature hierarchies for
accurate object detection and semantic segmentation", CVPR 2014: every window is warped
to the net's input, with some of what is around it if `context_pad` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe import io
from caffe.classifier import check_channels, transformer_of
from caffe.engine.net import Net
from caffe.errors import CaffeError, CheckError
from caffe.proto import caffe_pb2

_SELECTIVE_SEARCH = "selective_search_ijcv_with_python"


class Detector(Net):
    """A net in phase TEST that takes windows of images.

    Parameters
    ----------
    model_file, pretrained_file : path
        The net and its weights.
    mean : array, optional
        See `caffe.io.Transformer.set_mean`.
    input_scale, raw_scale : float, optional
        Images are multiplied by these after and before the mean is subtracted.
    channel_swap : sequence of int, optional
        Order of channels; (2, 1, 0) for nets that were trained on BGR.
    context_pad : int, optional
        Pixels of the net's input, on each side, that show what is around a window;
        where the image ends they are the mean. R-CNN has 16.

    Attributes
    ----------
    transformer : caffe.io.Transformer
    crop_dims : array of three int
        Height, width, channels of the net's input.
    crop_mean : array
        With `context_pad`: the mean as it would be in an image.
    """

    crop_mean: NDArray[Any]

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file)
        self.transformer = transformer_of(
            self, mean, input_scale, raw_scale, channel_swap
        )
        self.configure_crop(context_pad)

    def detect_windows(
        self, images_windows: Iterable[tuple[Any, Iterable[Any]]]
    ) -> list[dict[str, Any]]:
        """Score windows of images.

        Parameters
        ----------
        images_windows : iterable of (path, windows)
            Windows are (ymin, xmin, ymax, xmax) in pixels, counted from 0.

        Returns
        -------
        list of dict
            One a window: `window`, `prediction` (the net's first output) and
            `filename`.

        Raises
        ------
        FileError
            If an image can't be read.
        CheckError
            If a window holds no pixel of its image, or the net takes images of other
            channels.
        """
        found: list[dict[str, Any]] = []
        inputs = []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = io.load_image(filename)
            check_channels(self, image, str(filename))
            for window in windows:
                try:
                    part = self.crop(image, np.asarray(window))
                except CheckError as error:
                    raise CheckError(f"{filename}: {error}") from error
                inputs.append(self.transformer.preprocess(name, part))
                found.append({"window": window, "filename": filename})
        if not found:
            return found
        values: dict[str, Any] = {name: np.array(inputs)}
        outputs = self.forward_all(**values)
        for detection, prediction in zip(found, outputs[self.outputs[0]], strict=True):
            detection["prediction"] = prediction
        return found

    def detect_selective_search(
        self, image_fnames: Iterable[Any]
    ) -> list[dict[str, Any]]:
        """Score the windows that Selective Search proposes; it runs in MATLAB.

        Raises
        ------
        CaffeError
            If the Python module that calls it is not installed.
        """
        try:
            search = import_module(_SELECTIVE_SEARCH)
        except ImportError as error:
            raise CaffeError(
                "detect_selective_search needs MATLAB and the module "
                f"{_SELECTIVE_SEARCH} (github.com/sergeyk/{_SELECTIVE_SEARCH}) on the "
                "Python path; detect_windows takes windows from anywhere"
            ) from error
        # MATLAB runs in another folder
        names = [str(Path(name).absolute()) for name in image_fnames]
        windows = search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(zip(names, windows, strict=True))

    def crop(self, im: NDArray[Any], window: NDArray[Any]) -> NDArray[Any]:
        """Cut a window out of an image, with its surroundings if they are wanted.

        Parameters
        ----------
        im : array of shape (height, width, channels)
        window : (ymin, xmin, ymax, xmax)

        Returns
        -------
        array of shape (height, width, channels)
            The window itself, or `crop_dims` with surroundings.

        Raises
        ------
        CheckError
            If no pixel of the image is in it.
        """
        top, left, bottom, right = (int(value) for value in window)
        if not self.context_pad:
            part = im[top:bottom, left:right]
        else:
            part = self._with_context(im, np.array([top, left, bottom, right]))
        if 0 in part.shape:
            raise CheckError(
                f"window {(top, left, bottom, right)} (ymin, xmin, ymax, xmax) holds "
                f"no pixel of an image of {im.shape[0]} x {im.shape[1]}"
            )
        return part

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much around a window is shown.

        Parameters
        ----------
        context_pad : int or None
            Pixels of the net's input on each side.

        Raises
        ------
        CheckError
            If nothing is left for the window between them.
        """
        name = self.inputs[0]
        to_image = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].data.shape[1:])[to_image]
        if context_pad and not 0 < 2 * context_pad < self.crop_dims[1]:
            raise CheckError(
                f"context_pad {context_pad} leaves nothing of the net's input, "
                f"{self.crop_dims[1]} pixels wide"
            )
        self.context_pad = context_pad
        if not context_pad:
            return
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, np.float32)
            return
        planes = mean.reshape(-1, *mean.shape[-2:])
        crop_mean = planes.transpose(to_image).astype(np.float64)
        swap = self.transformer.channel_swap.get(name)
        if swap is not None:
            crop_mean = crop_mean[:, :, np.argsort(swap)]
        self.crop_mean = crop_mean / self.transformer.raw_scale.get(name, 1)

    def _with_context(self, im: NDArray[Any], window: NDArray[Any]) -> NDArray[Any]:
        """Cut out a window so that it fills the input but for a border around it.

        Numbers are rounded where R-CNN rounds them, to the even one at halves.
        """
        size = int(self.crop_dims[1])  # the net's input is a square
        scale = size / (size - 2.0 * (self.context_pad or 0))
        half = (window[2:] - window[:2] + 1) / 2.0
        centre = window[:2] + half
        box = np.round(np.concatenate([centre - scale * half, centre + scale * half]))
        per_pixel = size / (box[2:] - box[:2] + 1)
        pad = _rounded(np.maximum(0, -box[:2]) * per_pixel)
        inside = np.clip(box, 0, [*im.shape[:2], *im.shape[:2]]).astype(int)
        part = im[inside[0] : inside[2], inside[1] : inside[3]]
        if 0 in part.shape:
            return part
        fills = _rounded((inside[2:] - inside[:2] + 1) * per_pixel)
        (top, left), (height, width) = pad, np.minimum(fills, size - pad)
        crop: NDArray[Any] = np.ones(self.crop_dims, np.float32) * self.crop_mean
        if min(height, width) > 0:
            resized = io.resize_image(part, (int(height), int(width)))
            crop[top : top + height, left : left + width] = resized
        return crop


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    return np.round(values).astype(int)

"""The one place where ``caffe_unet`` builds and runs nets, by pycaffe's names only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet.fiji.devices import load_caffe
from pyunet.fiji.log import CheckFailedError, log
from pyunet.modeldef.definition import ModelDefinition
from pyunet.modeldef.nets import deploy_text
from pyunet.modeldef.shapes import Shape

PLACE = "net.cpp:60"
FloatArray = NDArray[np.float32]


class TileNet:
    """A model's net in phase TEST for one tile at a time.

    Parameters
    ----------
    model : ModelDefinition
    weights : str
        ``.caffemodel.h5`` or ``.caffemodel``; nothing: the fillers' values.
    channels : int
        Channels of the images.
    tile_in : tuple of int
        Pixels of an input tile.

    Raises
    ------
    CheckFailedError
        The model's text does not parse.
    Exception
        Of the engine.

    Attributes
    ----------
    net : caffe.Net
    tile_in : tuple of int
    outputs : list of str
        Blobs that no layer consumes, in alphabetical order.
    """

    def __init__(
        self, model: ModelDefinition, weights: str, channels: int, tile_in: Shape
    ) -> None:
        self.tile_in = tile_in
        self._source = model.input_blob_name
        self._channels = channels
        self.net = _build(deploy_text(model, channels, tile_in), weights)
        self.outputs = sorted(self.net.outputs)
        if weights and h5py.is_hdf5(weights):
            _warn_of_other_shapes(self.net, weights, channels)

    def reshape(self, tile_in: Shape) -> None:
        """Take tiles of another shape from now on."""
        if tile_in != self.tile_in:
            self.net.blobs[self._source].reshape(1, self._channels, *tile_in)
            self.net.reshape()
            self.tile_in = tile_in

    def classes(self, tile_out: Shape) -> dict[str, int]:
        """Give the channels of every output.

        Raises
        ------
        CheckFailedError
            The net has no output, or one of another shape than the model says.
        """
        if not self.outputs:
            raise CheckFailedError("The net produces no output in phase TEST", PLACE)
        shapes = {name: tuple(self.net.blobs[name].shape) for name in self.outputs}
        for name, shape in shapes.items():
            if shape[0] != 1 or shape[2:] != tile_out:
                raise CheckFailedError(
                    f"Output '{name}' has shape {shape} for an input tile of "
                    f"{self.tile_in}; downsampleFactor, padInput and padOutput of the "
                    f"model definition say (1, K, {', '.join(map(str, tile_out))})",
                    PLACE,
                )
        return {name: int(shape[1]) for name, shape in shapes.items()}

    @property
    def tile(self) -> FloatArray:
        """Where the next input tile goes, shape (C, [Z,] Y, X)."""
        tile: FloatArray = self.net.blobs[self._source].data[0]
        return tile

    def forward(self) -> dict[str, FloatArray]:
        """Compute all outputs (K, [Z,] Y, X) of the tile; overwritten by the next."""
        tops = self.net.forward()
        return {name: tops[name][0] for name in self.outputs}


def _build(text: str, weights: str) -> Any:
    caffe = load_caffe()
    _parse(text)
    with _as_file(text) as path:
        try:
            if weights:
                return caffe.Net(path, weights, caffe.TEST)
            return caffe.Net(path, caffe.TEST)
        except (ValueError, OSError) as error:
            if path not in str(error):
                raise
            # the user never saw that file
            raise DataError(str(error).replace(path, "model_prototxt")) from error


def _parse(text: str) -> None:
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2

    try:
        text_format.Parse(text, caffe_pb2.NetParameter())
    except text_format.ParseError as error:
        raise CheckFailedError(
            f"Could not parse prototxt (with an Input layer of 3 lines before it): "
            f"{error}",
            PLACE,
        ) from None


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Give a path to read a text from; where it can be, one that no signal leaves."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("net.prototxt"), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.prototxt")
            path.write_text(text, encoding="utf-8")
            yield str(path)


def _warn_of_other_shapes(net: Any, weights: str, channels: int) -> None:
    """Say in plain words that weights of other shapes were taken only in part."""
    with h5py.File(weights, "r") as file:
        for layer, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                found = file.get(f"data/{layer}/{index}")
                wanted = tuple(blob.shape)
                if found is not None and found.shape != wanted:
                    log(
                        PLACE,
                        f"Warning: {weights} does not fit the model with {channels} "
                        f"channel(s): weights of layer '{layer}' have shape "
                        f"{found.shape}, the model wants {wanted}. What does not fit "
                        "is random, so results are wrong, and differ from run to run",
                        "W",
                    )
                    return

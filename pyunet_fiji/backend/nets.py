"""The one place where ``caffe_unet`` builds and runs nets, by pycaffe's names only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import caffe
from caffe.glog import log, muted
from pyunet.errors import DataError
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.modeldef.definition import ModelDefinition
from pyunet_fiji.modeldef.nets import deploy_text
from pyunet_fiji.modeldef.shapes import Shape

PLACE = "net.cpp:60"
MOST_NAMES, LONGEST = 4, 60  # layers named in a message, characters of a name
_WARNINGS = 1  # level of the log: how caffe builds a net is no news here
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
    complete : bool, default True
        Weights that lack a layer are an error; otherwise, as in the original, the
        layer is random (a finetuning trains it). A warning is all that weights of
        another shape bring: the original takes them, and so the plugin expects.

    Raises
    ------
    CheckFailedError
        The model's text does not parse; weights that lack a layer.
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
        self,
        model: ModelDefinition,
        weights: str,
        channels: int,
        tile_in: Shape,
        *,
        complete: bool = True,
    ) -> None:
        self.tile_in = tile_in
        self._source = model.input_blob_name
        self._channels = channels
        self.net = _build(deploy_text(model, channels, tile_in), weights)
        self.outputs = sorted(self.net.outputs)
        if weights:
            _say_what_lacks(self.net, weights, channels, complete=complete)

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
    _parse(text)
    with _as_file(text) as path, muted(_WARNINGS):
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
    from caffe import CaffeError, parse_net

    try:
        parse_net(text, name="model_prototxt")
    except CaffeError as error:
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


def _say_what_lacks(net: Any, weights: str, channels: int, *, complete: bool) -> None:
    """Say in plain words what of a net is not in a file of weights."""
    gaps = net.missing_weights(weights)
    absent = list(dict.fromkeys(gap.layer for gap in gaps if gap.found is None))
    if absent:
        shown = ", ".join(repr(name[:LONGEST]) for name in absent[:MOST_NAMES])
        text = (
            f"{weights} has no weights for {len(absent)} layer(s) of the model: {shown}"
        )
        if complete:
            raise CheckFailedError(f"{text}; expected weights for all of them", PLACE)
        log(PLACE, f"Warning: {text}. They are random", "W")
    for gap in gaps:
        if gap.found is not None:
            log(
                PLACE,
                f"Warning: {weights} does not fit the model with {channels} "
                f"channel(s): weights of layer '{gap.layer[:LONGEST]}' have shape "
                f"{gap.found}, the model wants {gap.wanted}. What does not fit is "
                "random, so results are wrong, and differ from run to run",
                "W",
            )
            return

"""The layers of a net as OpenCV names and numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.blob import Blob
from caffe.errors import CheckError


class Layer:
    """A layer of a net.

    Attributes
    ----------
    id : int
        Its number; that of the first is 1.
    name : str
        That of the prototxt; of a Convolution the name of its top, as in OpenCV.
    type : str
        As in the prototxt.
    own_name : str
        Name in the prototxt.
    source : str
        Blob that holds its first output; of a layer without tops its first bottom.
    """

    preferableTarget = 0  # DNN_TARGET_CPU

    def __init__(self, number: int, param: Any, blobs: Sequence[Blob]) -> None:
        self.id = number
        self.own_name = str(param.name)
        self.type = str(param.type)
        self.tops, self.bottoms = tuple(param.top), tuple(param.bottom)
        renamed = self.type == "Convolution" and self.tops
        self.name = self.tops[0] if renamed else self.own_name
        self.source = (self.tops or self.bottoms)[0]
        self._param = param
        self._blobs = blobs

    @property
    def blobs(self) -> tuple[NDArray[np.float32], ...]:
        """Copies of its parameters; a vector is a column, InnerProduct's bias a row.

        They can be set, all or the first ones; the others become 0.
        """
        return tuple(self._matrix(blob.values().copy()) for blob in self._blobs)

    @blobs.setter
    def blobs(self, values: Sequence[Any]) -> None:
        if len(values) > len(self._blobs):
            raise CheckError(
                f"layer '{self.name}' ({self.type}) has {len(self._blobs)} parameters, "
                f"{len(values)} are given"
            )
        for i, blob in enumerate(self._blobs):
            self.put(i, values[i] if i < len(values) else np.zeros(blob.shape))

    def put(self, index: int, values: Any) -> None:
        """Set one parameter.

        Raises
        ------
        CheckError
            If there is no such one, or it has another number of values.
        """
        array = np.asarray(values, np.float32)
        blob = self._blob(index)
        if array.size != blob.count:
            raise CheckError(
                f"layer '{self.name}' ({self.type}), parameter {index}: shape "
                f"{array.shape} is given, expected {blob.shape}"
            )
        blob.fill(torch.tensor(array))

    def get(self, index: int) -> NDArray[np.float32]:
        """Give a copy of one parameter."""
        return self._matrix(self._blob(index).values().copy())

    def keep_top_k(self) -> int | None:
        """How many detections of an image an SSD's last layer lists; None: no such."""
        if self.type != "DetectionOutput" or len(self.bottoms) < 3:
            return None
        return int(self._param.detection_output_param.keep_top_k)

    def _blob(self, index: int) -> Blob:
        if not 0 <= index < len(self._blobs):
            raise CheckError(
                f"layer '{self.name}' ({self.type}) has no parameter {index}: it has "
                f"{len(self._blobs)}"
            )
        return self._blobs[index]

    def _matrix(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if values.ndim != 1:
            return values
        return values.reshape((1, -1) if self.type == "InnerProduct" else (-1, 1))


def listed(net: Any, parameters: Any, inputs: Sequence[str]) -> list[Layer]:
    """List the layers of a net but those that only name its inputs.

    Parameters
    ----------
    net : NetParameter
        Filtered by its state.
    parameters : mapping of str to sequence of Blob
        By names of layers.
    inputs : sequence of str
        Blobs that the user fills.
    """
    found: list[Layer] = []
    for param in net.layer:
        if param.bottom or not set(param.top) <= set(inputs):
            blobs = parameters.get(param.name, ())
            found.append(Layer(len(found) + 1, param, blobs))
    return found


def unconnected(layers: Sequence[Layer]) -> list[Layer]:
    """Those of which no other layer takes an output."""
    makers: dict[str, Layer] = {}
    taken: set[int] = set()
    for layer in layers:
        taken.update(makers[name].id for name in layer.bottoms if name in makers)
        makers.update(dict.fromkeys(layer.tops, layer))
    return [layer for layer in layers if layer.id not in taken]


def last_writers(layers: Sequence[Layer]) -> dict[str, Layer]:
    """By blob the layer that writes it last: others write over it in place."""
    return {top: layer for layer in layers for top in layer.tops}

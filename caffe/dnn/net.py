"""A net with the methods of `cv2.dnn.Net`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import caffe
from caffe.dnn.constants import DNN_TARGET_CUDA, DNN_TARGET_CUDA_FP16
from caffe.dnn.detections import by_score
from caffe.dnn.layers import Layer, last_writers, listed, unconnected
from caffe.engine.common import gpu_mode
from caffe.engine.cost import cost
from caffe.engine.graph import filter_net
from caffe.errors import CheckError
from caffe.glog import log, muted

Array = NDArray[Any]
_INPUTS = "_input", "__NetInputLayer__"  # how OpenCV calls what it counts as layer 0


class Net:
    """A net that is read by `caffe.dnn.readNetFromCaffe`.

    Parameters
    ----------
    net : caffe.Net, optional
        None: a net without layers.
    param : NetParameter, optional
        What it was made of.
    """

    def __init__(self, net: Any = None, param: Any = None) -> None:
        self._net = net
        self._layers: list[Layer] = []
        if net is not None:
            kept = filter_net(param, tell=False)
            self._layers = listed(kept, net.params, net.inputs)
        self._numbers: dict[str, int] = {}
        for layer in self._layers:
            self._numbers.setdefault(layer.name, layer.id)
        self._last_writers = last_writers(self._layers)
        self._given: set[str] = set()
        self._on_gpu = False
        self._ticks = 0

    def empty(self) -> bool:
        """Tell whether there are no layers."""
        return not self._layers

    def setInput(
        self,
        blob: Any,
        name: str = "",
        scalefactor: float = 1.0,
        mean: float | Sequence[float] = (),
    ) -> None:
        """Give the net an input; all layers get the shapes that follow from its own.

        Parameters
        ----------
        blob : array
            Of bytes or floats.
        name : str, optional
            Of the blob; default: the first input.
        scalefactor : float, default 1
        mean : float or sequence of float, optional
            The input is ``scalefactor * (blob - mean)``, with one mean a channel.

        Raises
        ------
        CheckError
            If the net has no such input.
        """
        name = name or next(iter(self._running().inputs), "")
        if name not in self._net.inputs:
            raise CheckError(
                f"the net has no input '{name}': it has {', '.join(self._net.inputs)}"
            )
        values = np.asarray(blob, np.float32)
        means = np.ravel(mean).astype(np.float32)
        if means.any():
            channels = values.shape[1]
            means = np.resize(np.pad(means, (0, channels)), channels)
            values = values - means.reshape(-1, *(1,) * (values.ndim - 2))
        if scalefactor != 1:
            values = values * np.float32(scalefactor)
        self._net.blobs[name].reshape(*values.shape)
        self._net.blobs[name].data[...] = values
        self._given.add(name)

    def forward(
        self,
        outputName: str | Sequence[str] | None = None,
        *,
        outBlobNames: Sequence[str] | None = None,
    ) -> Any:
        """Run the net and give outputs of layers.

        Parameters
        ----------
        outputName : str or sequence of str, optional
            Names of layers; default: the last one.
        outBlobNames : sequence of str, optional
            The same.

        Returns
        -------
        array, or tuple of arrays for a sequence of names
            First outputs of the layers. Detections of an SSD are sorted by score and
            filled up with zeros to ``keep_top_k`` an image.

        Raises
        ------
        CheckError
            If there is no such layer, or an input was not given.
        """
        names = outputName if outBlobNames is None else outBlobNames
        if names is None or isinstance(names, str):
            layer = self.getLayer(names) if names else self._last()
            return self._run([layer])[layer.id]
        layers = [self.getLayer(name) for name in names] or [self._last()]
        found = self._run(layers)
        return tuple(found[layer.id] for layer in layers)

    def forwardAndRetrieve(self, outBlobNames: Sequence[str]) -> Any:
        """Run the net and give all outputs of each of some layers.

        Parameters
        ----------
        outBlobNames : sequence of str
            Names of layers.

        Returns
        -------
        tuple of tuples of arrays
        """
        layers = [self.getLayer(name) for name in outBlobNames]
        found: dict[int, tuple[Array, ...]] = {}
        for layer in self._stops(layers):
            blobs = self._net.blobs
            found[layer.id] = tuple(blobs[top].data.copy() for top in layer.tops)
        return tuple(found[layer.id] for layer in layers)

    def getLayerNames(self) -> tuple[str, ...]:
        """Give the names of all layers in order, without inputs."""
        return tuple(layer.name for layer in self._layers)

    def getLayerId(self, layer: str) -> int:
        """Give the number of a layer, from 1; -1: there is none of that name."""
        if layer == _INPUTS[0]:
            return 0
        return self._numbers.get(layer, -1)

    def getLayer(self, layer: str | int) -> Layer:
        """Give a layer by its name or number.

        Raises
        ------
        CheckError
            If there is no such one.
        """
        number = self.getLayerId(layer) if isinstance(layer, str) else int(layer)
        if not 1 <= number <= len(self._layers):
            raise CheckError(
                f"the net has no layer {layer!r}: it has {', '.join(self._numbers)}"
            )
        return self._layers[number - 1]

    def getUnconnectedOutLayers(self) -> NDArray[np.int32]:
        """Give the numbers of the layers whose outputs no layer takes."""
        return np.array([layer.id for layer in unconnected(self._layers)], np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        """Give the names of the layers whose outputs no layer takes."""
        return tuple(layer.name for layer in unconnected(self._layers))

    def getLayerTypes(self) -> tuple[str, ...]:
        """Give the types of layers that the net has, in alphabetical order."""
        return tuple(sorted({_INPUTS[1], *(layer.type for layer in self._layers)}))

    def getLayersCount(self, layerType: str) -> int:
        """Count the layers of a type."""
        return sum(layer.type == layerType for layer in self._layers)

    def getParam(self, layer: str | int, numParam: int = 0) -> NDArray[np.float32]:
        """Give a copy of a parameter of a layer, see `Layer.blobs`."""
        return self.getLayer(layer).get(numParam)

    def setParam(self, layer: str | int, numParam: int, blob: Any) -> None:
        """Set a parameter of a layer.

        Raises
        ------
        CheckError
            If there is no such one, or it has another number of values.
        """
        self.getLayer(layer).put(numParam, blob)

    def setPreferableBackend(self, backendId: int) -> None:
        """Accept any: nets are computed by torch, or as `caffe.set_backend` says."""

    def setPreferableTarget(self, targetId: int) -> None:
        """Compute on the GPU from now on for DNN_TARGET_CUDA and DNN_TARGET_CUDA_FP16.

        For other targets, and without a GPU, where `caffe.set_mode_cpu` or
        `caffe.set_mode_gpu` say.
        """
        wanted = targetId in (DNN_TARGET_CUDA, DNN_TARGET_CUDA_FP16)
        self._on_gpu = wanted and caffe.device_count() > 0
        if wanted and not self._on_gpu:
            log("net.cpp:1", "there is no CUDA device: the CPU computes the net", "W")

    def enableFusion(self, fusion: bool) -> None:
        """Accept both: what can be computed in one step always is."""

    def enableWinograd(self, useWinograd: bool) -> None:
        """Accept both: torch chooses."""

    def getPerfProfile(self) -> tuple[int, NDArray[np.float64]]:
        """Give the nanoseconds of the last forward, and those of each layer.

        Layers are computed together: what they take stands with the last one.
        """
        timings = np.zeros(len(self._layers))
        timings[-1:] = self._ticks
        return self._ticks, timings

    def getFLOPS(self, *args: Any) -> int:
        """Count operations: two for each product with a weight, as `caffe.cost` does.

        Parameters
        ----------
        *args : int, sequence of int
            Number of a layer, to count it alone, and the shape of the input, or a list
            with that of each input. The number can be left out.
        """
        *layer, shapes = args
        if shapes and isinstance(shapes[0], (int, np.integer)):
            shapes = [shapes]
        net = self._running()
        found = cost(net, dict(zip(net.inputs, shapes, strict=False))).layers
        name = self.getLayer(layer[0]).own_name if layer else None
        return 2 * sum(c.multiply_adds for c in found if name in (None, c.name))

    def _running(self) -> Any:
        if self._net is None:
            raise CheckError("the net is empty: expected one of readNetFromCaffe")
        return self._net

    def _last(self) -> Layer:
        self._running()
        return self._layers[-1]

    def _run(self, layers: Sequence[Layer]) -> dict[int, Array]:
        """Run the net; first outputs of layers by their numbers."""
        return {layer.id: self._output(layer) for layer in self._stops(layers)}

    def _stops(self, layers: Sequence[Layer]) -> Iterator[Layer]:
        """Run the net, and stop where the output of one of the layers can be read."""
        missing = [name for name in self._running().inputs if name not in self._given]
        if missing:
            raise CheckError(f"input '{missing[0]}' was not given: call setInput first")
        began = time.perf_counter_ns()
        with self._device(), muted(1):
            if all(self._stays(layer) for layer in layers):
                self._net.forward()
                yield from layers
            else:
                yield from self._in_parts(layers)
        self._ticks = time.perf_counter_ns() - began

    def _stays(self, layer: Layer) -> bool:
        """Whether the first output is there after a forward of the whole net."""
        outputs = self._net.outputs
        return layer.source in outputs and self._last_writers[layer.source] is layer

    def _in_parts(self, layers: Sequence[Layer]) -> Iterator[Layer]:
        """Run from layer to layer: later ones may write over an output in place."""
        start: str | None = None
        names = list(self._net.top_names)
        for layer in sorted(set(layers), key=lambda layer: layer.id):
            self._net.forward(start=start, end=layer.own_name)
            yield layer
            after = names.index(layer.own_name) + 1
            start = names[after] if after < len(names) else None

    @contextmanager
    def _device(self) -> Iterator[None]:
        """Compute on the GPU, if that is wanted for this net alone."""
        if not self._on_gpu or gpu_mode():
            yield
            return
        caffe.set_mode_gpu()
        try:
            yield
        finally:
            caffe.set_mode_cpu()

    def _output(self, layer: Layer) -> Array:
        blobs = self._net.blobs
        values: Array = blobs[layer.source].data.copy()
        most = layer.keep_top_k()
        if most is None:
            return values
        return by_score(values, blobs[layer.bottoms[0]].shape[0], most)

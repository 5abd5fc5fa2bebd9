"""A net by the numbers of its blobs and layers: what pycaffe's own methods stand on.

Their names begin with an underscore, but converters and old scripts call them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from caffe.engine import whole_arrays
from caffe.engine.blob import Blob
from caffe.engine.runner import Runner
from caffe.engine.wiring import Wiring


class Numbered:
    """Base of `caffe.Net` with the members of BVLC's compiled module ``_caffe``."""

    _wiring: Wiring
    _runner: Runner

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self._wiring.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self._wiring.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self._wiring.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self._wiring.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return self._numbers(self._wiring.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._numbers(self._wiring.outputs)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._numbers(self._wiring.nodes[layer].bottom)

    def _top_ids(self, layer: int) -> list[int]:
        return self._numbers(self._wiring.nodes[layer].top)

    def _forward(self, start: int, end: int) -> float:
        return self._runner.forward_layers(start, end)

    def _backward(self, start: int, end: int) -> None:
        self._runner.recompute(grad=True)
        self._runner.backward(end, start)

    def _batch(self, blobs: Mapping[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        return whole_arrays.batches(self._wiring.blobs, blobs)

    def _numbers(self, names: list[str]) -> list[int]:
        number = {name: index for index, name in enumerate(self._wiring.blobs)}
        return [number[name] for name in names]

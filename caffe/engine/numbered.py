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
from caffe.engine.turns import Turns
from caffe.engine.wiring import Wiring


class Numbered:
    """Base of `caffe.Net` with the members of BVLC's compiled module ``_caffe``."""

    _wiring: Wiring
    _runner: Runner
    _turns: Turns

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

    def _run_on(
        self, inputs: Mapping[str, Any], start: str | None, end: str | None
    ) -> list[str]:
        """Run layers on what is given; the names of the outputs."""
        blobs, wiring = self._wiring.blobs, self._wiring
        if inputs and self._turns.changes_hands() and start is None:
            # the last thread may still be reading these
            for name in set(wiring.outputs) - wiring.held:
                blobs[name].data_memory.part()
        for blob, array in whole_arrays.fitting(blobs, inputs, "input", wiring.inputs):
            blob.data[...] = array
        names = self._layer_names
        first = names.index(start) if start is not None else 0
        last = names.index(end) if end is not None else len(names) - 1
        if start is None and end is None:
            self._runner.forward()
        else:
            self._runner.forward_layers(first, last)
        return list(wiring.nodes[last].top if end is not None else wiring.outputs)

    def _batch(self, blobs: Mapping[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        return whole_arrays.batches(self._wiring.blobs, blobs)

    def _numbers(self, names: list[str]) -> list[int]:
        number = {name: index for index, name in enumerate(self._wiring.blobs)}
        return [number[name] for name in names]

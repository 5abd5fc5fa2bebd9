"""Arrays of the user in and out of a net, by the names of its blobs.

More samples than a net's batch run batch after batch, padded at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CheckError

Arrays = dict[str, NDArray[Any]]


class Runs(Protocol):
    """What this module needs of a net."""

    @property
    def blobs(self) -> Any:
        """Blobs by name."""

    def forward(self, blobs: Sequence[str] | None = None, **kwargs: Any) -> Arrays:
        """Run one batch."""

    def backward(self, diffs: Sequence[str] | None = None, **kwargs: Any) -> Arrays:
        """Run the backward of one batch."""


def forward_all(
    net: Runs, names: Iterable[str], blobs: Sequence[str] | None, inputs: Any
) -> Arrays:
    """Run a net over all samples; see `caffe.Net.forward_all`."""
    parts: dict[str, list[Any]] = {name: [] for name in (*names, *(blobs or ()))}
    for batch in batches(net.blobs, inputs):
        for name, values in net.forward(blobs=blobs, **batch).items():
            parts[name].append(values.copy())
    return _joined(parts, _samples(inputs))


def forward_backward_all(
    net: Runs,
    outputs: Sequence[str],
    inputs_of_net: Sequence[str],
    blobs: Sequence[str] | None,
    diffs: Sequence[str] | None,
    values: Mapping[str, Any],
) -> tuple[Arrays, Arrays]:
    """Run forward and backward; see `caffe.Net.forward_backward_all`."""
    fed = {name: value for name, value in values.items() if name in inputs_of_net}
    given = {name: value for name, value in values.items() if name in outputs}
    unknown = set(values) - set(fed) - set(given)
    if unknown:
        raise CheckError(
            f"{', '.join(sorted(unknown))}: the net has neither inputs "
            f"({', '.join(inputs_of_net)}) nor outputs ({', '.join(outputs)}) so called"
        )
    tops: dict[str, list[Any]] = {n: [] for n in (*outputs, *(blobs or ()))}
    bottoms: dict[str, list[Any]] = {n: [] for n in (*inputs_of_net, *(diffs or ()))}
    of_batches = batches(net.blobs, given) if given else _nothing()
    for batch, of_batch in zip(batches(net.blobs, fed), of_batches, strict=False):
        for name, array in net.forward(blobs=blobs, **batch).items():
            tops[name].append(array.copy())
        for name, array in net.backward(diffs=diffs, **of_batch).items():
            bottoms[name].append(array.copy())
    count = _samples(fed)
    return _joined(tops, count), _joined(bottoms, count)


def fitting(
    blobs: Mapping[str, Any], values: Mapping[str, Any], kind: str, names: Sequence[str]
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Blobs that are given values, and these as arrays.

    Parameters
    ----------
    blobs : mapping of str to Blob
    values : mapping of str to array
        For all of the names, or empty.
    kind : {"input", "diff"}
        Whether they are for inputs, or the diffs of outputs.
    names : sequence of str
        The net's inputs or outputs.

    Raises
    ------
    CheckError
        If names or batch sizes are others.
    """
    of_net, what = ("inputs", "input") if kind == "input" else ("outputs", "diff of")
    if values and set(values) != set(names):
        raise CheckError(
            f"{kind}s given: {', '.join(sorted(values))}; "
            f"the net's {of_net} are: {', '.join(names)}"
        )
    for name, value in values.items():
        blob, array = blobs[name], np.asarray(value)
        if blob.shape and (not array.shape or array.shape[0] != blob.shape[0]):
            raise CheckError(
                f"{what} '{name}' has shape {array.shape}: "
                f"its batch size must be {blob.shape[0]}, as in {blob.shape}"
            )
        yield blob, array


def batches(blobs: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Arrays]:
    """Cut samples into batches as large as the blobs', the last filled up with 0."""
    count = _samples(values)
    arrays = {name: np.asarray(value) for name, value in values.items()}
    size = blobs[next(iter(arrays))].shape[0]
    for start in range(0, count, size):
        part = {name: array[start : start + size] for name, array in arrays.items()}
        missing = size - min(size, count - start)
        yield {
            name: np.concatenate(
                [array, np.zeros((missing, *array.shape[1:]), array.dtype)]
            )
            if missing
            else array
            for name, array in part.items()
        }


def _nothing() -> Iterator[Arrays]:
    while True:
        yield {}


def _samples(values: Mapping[str, Any]) -> int:
    counts = {name: len(value) for name, value in values.items()}
    if not counts:
        raise CheckError("no input is given: expected an array for each input")
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise CheckError(f"samples given: {shown}; expected one number for all")
    return next(iter(counts.values()))


def _joined(parts: Mapping[str, Sequence[Any]], count: int) -> Arrays:
    """Put batches together; what has no sample axis is listed batch by batch."""
    joined = {}
    for name, arrays in parts.items():
        values = [np.atleast_1d(array) for array in arrays]
        joined[name] = np.concatenate(values)[:count] if values else np.zeros(0)
    return joined

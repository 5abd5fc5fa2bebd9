"""First values of parameters: Caffe's fillers."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import Any

import torch

from caffe.engine.memory import check_room
from caffe.errors import CheckError

Shape = tuple[int, ...]
_Filler = Callable[[Any, torch.Tensor, torch.Generator], None]


def fill(filler: Any, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    """Make a blob and give it the values that a FillerParameter describes.

    Parameters
    ----------
    filler : FillerParameter or tensor
        ``type`` names the filler; an empty message means constant 0. A tensor has the
        values themselves.
    shape : tuple of int
        Shape of the blob; axis 0 counts the outputs, the others the inputs of one.
    generator : torch.Generator
        Source of random numbers; the blob is made on its device.

    Returns
    -------
    torch.Tensor of float32

    Raises
    ------
    CheckError
        For an unknown type, or options that Caffe refuses.

    Notes
    -----
    With ``fan_in = count / shape[0]``, ``fan_out = count / shape[1]`` and n one of
    them or their mean (``variance_norm``): ``xavier`` is uniform within
    ``sqrt(3 / n)``, ``msra`` Gaussian with standard deviation ``sqrt(2 / n)``.

    Examples
    --------
    >>> from caffe.proto import caffe_pb2
    >>> message = caffe_pb2.FillerParameter(type="constant", value=2)
    >>> fill(message, (3,), torch.Generator()).tolist()
    [2.0, 2.0, 2.0]
    """
    if isinstance(filler, torch.Tensor):
        return filler.reshape(shape).to(generator.device, torch.float32, copy=True)
    if filler.type not in _FILLERS:
        raise CheckError(
            f"unknown filler type '{filler.type}'; known types: "
            + ", ".join(sorted(_FILLERS))
        )
    if filler.sparse != -1 and filler.type != "gaussian":
        raise CheckError(
            f"filler '{filler.type}' has sparse: {filler.sparse}, "
            "which only 'gaussian' accepts"
        )
    check_room(prod(shape))
    blob = torch.empty(shape, device=generator.device)
    if not blob.numel():
        raise CheckError(
            f"filler '{filler.type}' got shape {tuple(shape)}: "
            "expected one element or more"
        )
    _FILLERS[filler.type](filler, blob, generator)
    return blob


def _constant(filler: Any, blob: torch.Tensor, _: torch.Generator) -> None:
    blob.fill_(filler.value)


def _uniform(filler: Any, blob: torch.Tensor, generator: torch.Generator) -> None:
    if not filler.min <= filler.max:
        raise CheckError(
            f"filler 'uniform' has min {filler.min:g} above max {filler.max:g}"
        )
    if not filler.max - filler.min <= torch.finfo(torch.float32).max:
        raise CheckError(
            f"filler 'uniform' has min {filler.min:g} and max {filler.max:g}: "
            "expected a difference within float32"
        )
    blob.uniform_(filler.min, filler.max, generator=generator)


def _gaussian(filler: Any, blob: torch.Tensor, generator: torch.Generator) -> None:
    if not filler.std > 0:
        raise CheckError(
            f"filler 'gaussian' has std {filler.std:g}: expected a value above 0"
        )
    blob.normal_(filler.mean, filler.std, generator=generator)
    if filler.sparse >= 0:
        kept = min(1.0, filler.sparse / _outputs(filler, blob))
        blob.mul_(torch.empty_like(blob).bernoulli_(kept, generator=generator))


def _outputs(filler: Any, blob: torch.Tensor) -> int:
    if not blob.dim():
        raise CheckError(
            f"filler '{filler.type}' got a blob without axes: expected 1 or more"
        )
    return blob.shape[0]


def _positive_unitball(
    filler: Any, blob: torch.Tensor, generator: torch.Generator
) -> None:
    rows = blob.uniform_(0, 1, generator=generator).view(_outputs(filler, blob), -1)
    rows.div_(rows.sum(1, keepdim=True))


def _fan(filler: Any, blob: torch.Tensor) -> float:
    fan_in = blob.numel() / (blob.shape[0] if blob.dim() else 1)
    fan_out = blob.numel() / blob.shape[1] if blob.dim() > 1 else blob.numel()
    if filler.variance_norm == filler.FAN_OUT:
        return fan_out
    if filler.variance_norm == filler.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_in


def _xavier(filler: Any, blob: torch.Tensor, generator: torch.Generator) -> None:
    bound = math.sqrt(3 / _fan(filler, blob))
    blob.uniform_(-bound, bound, generator=generator)


def _msra(filler: Any, blob: torch.Tensor, generator: torch.Generator) -> None:
    blob.normal_(0, math.sqrt(2 / _fan(filler, blob)), generator=generator)


def _bilinear(_: Any, blob: torch.Tensor, __: torch.Generator) -> None:
    if blob.dim() != 4 or blob.shape[2] != blob.shape[3]:
        raise CheckError(
            f"filler 'bilinear' got shape {tuple(blob.shape)}: "
            "expected 4 axes, the last two of one size"
        )
    size = blob.shape[3]
    half = math.ceil(size / 2)
    centre = (size - 1) / (2 * half)
    line = 1 - (torch.arange(size, dtype=torch.float64) / half - centre).abs()
    blob.copy_(line[:, None] * line[None, :])


_FILLERS: dict[str, _Filler] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}

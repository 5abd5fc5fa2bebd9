"""A net as TorchScript: traced from its module, for C++ and other programs."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import torch

from caffe import atomic
from caffe.export.layers import describe
from caffe.export.module import build_module

_FIXED = "TracerWarning"  # of torch.jit: a number of the trace became a constant


def write_torchscript(net: Any, path: str | os.PathLike[str]) -> bool:
    """Write a net as a traced module, for ``torch.jit.load``.

    Parameters
    ----------
    net : caffe.Net
        In phase TEST.
    path : path
        A ``.pt`` file.

    Returns
    -------
    bool
        Whether the file takes inputs of every size that the net takes; else only of
        the net's present one, since a layer's sums depend on it.

    Raises
    ------
    NoCounterpartError
        A layer that torch has no counterpart of; the text names it.
    FileError
        It cannot be written.
    """
    module = build_module(net)
    shapes = describe(net).inputs.values()
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        # torch calls TorchScript deprecated; it is what these programs read
        warnings.simplefilter("always")
        example = tuple(torch.zeros(shape) for shape in shapes)
        traced = torch.jit.trace(module, example, check_trace=False)
        memory = io.BytesIO()
        torch.jit.save(traced, memory)
    with memory.getbuffer() as view:
        atomic.write_parts(path, [view])
    return not any(w.category.__name__ == _FIXED for w in caught)

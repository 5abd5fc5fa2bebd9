"""Weights by name, as torch keeps them: to ``.pt`` files and back into a net.

A layer ``conv`` has ``conv.weight`` and ``conv.bias``. BatchNorm has what torch's has:
``running_mean`` and ``running_var``, divided by the third blob of Caffe's; weights of
an InnerProduct layer with ``transpose`` are turned. Blobs of layers that torch does
not know go by their numbers.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine.torch_code.code import module_name as module_name
from caffe.errors import CheckError, FileError
from caffe.export.layers import Layer, describe

Arrays = dict[str, NDArray[np.float32]]
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_COUNTER = "num_batches_tracked"
_SHOWN = 4


def blob_names(layer: Layer) -> list[str]:
    """Name the blobs of a layer as torch's modules do."""
    count = len(layer.blobs)
    return list(layer.op.torch_names[:count]) or [str(index) for index in range(count)]


def state_dict(net: Any) -> Arrays:
    """Give the weights of a net by name.

    Parameters
    ----------
    net : caffe.Net

    Returns
    -------
    dict of str to ndarray
        float32, but for torch's counters of batches (int64).

    Examples
    --------
    >>> import caffe
    >>> from caffe import layers as L
    >>> n = caffe.NetSpec()
    >>> n.x = L.Input(input_param={"shape": {"dim": [1, 2, 5, 5]}})
    >>> n.y = L.Convolution(n.x, num_output=3, kernel_size=3)
    >>> {name: a.shape for name, a in state_dict(caffe.Net(n.to_proto(), 1)).items()}
    {'y.weight': (3, 2, 3, 3), 'y.bias': (3,)}
    """
    return {
        f"{module_name(layer.name)}.{name}": values
        for layer in describe(net).layers
        for name, values in zip(
            blob_names(layer), layer.op.to_torch_blobs(layer.blobs), strict=True
        )
    }


def fill(net: Any, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Give a net the weights of these names; all of them, or none.

    Parameters
    ----------
    net : caffe.Net
    arrays : mapping of str to array
        As `state_dict` gives them.

    Returns
    -------
    list of str
        Names of arrays that the net has no use for.

    Raises
    ------
    CheckError
        An array is missing, or has another shape.
    """
    layers = [layer for layer in describe(net).layers if layer.blobs]
    names = [
        f"{module_name(layer.name)}.{name}"
        for layer in layers
        for name in blob_names(layer)
    ]
    wanted = [name for name in names if not name.endswith(f".{_COUNTER}")]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise CheckError(
            f"there is no {_listed(missing)}; the net wants {len(wanted)} arrays, "
            f"there are {_listed(list(arrays))}"
        )
    found = {layer.name: _to_caffe(layer, arrays) for layer in layers}
    for name, values in found.items():
        for blob, array in zip(net.params[name], values, strict=True):
            blob.data[...] = array
    return [
        name
        for name in arrays
        if name not in names and not name.endswith(f".{_COUNTER}")
    ]


def write_state_dict(net: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of a net as a file for ``torch.load(..., weights_only=True)``.

    Parameters
    ----------
    net : caffe.Net
    path : path
        A ``.pt`` file.

    Raises
    ------
    FileError
        It cannot be written.
    """
    memory = io.BytesIO()
    tensors = {n: torch.from_numpy(np.array(a)) for n, a in state_dict(net).items()}
    torch.save(tensors, memory)
    with memory.getbuffer() as view:
        atomic.write_parts(path, [view])


def read_state_dict(path: str | os.PathLike[str]) -> Arrays:
    """Read the weights of a ``.pt`` or ``.pth`` file; nothing in it is executed.

    Parameters
    ----------
    path : path
        A state_dict, or a training's checkpoint with one in it. Names that all begin
        with ``module.`` lose it.

    Returns
    -------
    dict of str to ndarray
        float32.

    Raises
    ------
    FileError
        A file that cannot be read, holds more than tensors and plain values, or no
        tensors.
    """
    found = _loaded(path)
    for _ in _WRAPPERS:  # one in the other, but a file may also hold itself
        inner = _wrapped(found) if isinstance(found, Mapping) else None
        found = found if inner is None else inner
    tensors = dict(_tensors(found, path)) if isinstance(found, Mapping) else {}
    if not tensors:
        raise FileError(f"{path}: holds no tensors by name; expected a state_dict")
    if all(name.startswith("module.") for name in tensors):
        tensors = {n.removeprefix("module."): a for n, a in tensors.items()}
    return tensors


def _wrapped(found: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    """Give the state_dict in a training's checkpoint."""
    inner = [found[w] for w in _WRAPPERS if isinstance(found.get(w), Mapping)]
    return inner[0] if inner else None


def _loaded(path: str | os.PathLike[str]) -> Any:
    """Load tensors and plain values; anything else is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is refused just below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FileError(f"{path}: cannot read it: {error.strerror}") from error
    except Exception as error:  # a damaged pickle may raise anything
        if isinstance(error, pickle.PickleError) and _is_zip(path):
            raise FileError(
                f"{path}: holds more than tensors and plain values (Python objects "
                "are not loaded: they could run anything); expected a state_dict: "
                "torch.save(net.state_dict(), ...)"
            ) from error
        raise FileError(
            f"{path}: is no state_dict of torch.save (a TorchScript file, another "
            "kind, or damaged); expected torch.save(net.state_dict(), ...)"
        ) from error


def _is_zip(path: str | os.PathLike[str]) -> bool:
    with contextlib.suppress(zipfile.BadZipFile):
        return zipfile.is_zipfile(path)
    return False


def _tensors(
    found: Mapping[Any, Any], path: str | os.PathLike[str]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            continue
        kind = _lack(value)
        if kind:
            raise FileError(
                f"{path}: tensor '{name}' {kind}; expected plain tensors of real "
                "numbers"
            )
        yield str(name), value.detach().to(torch.float32).numpy()


def _lack(value: torch.Tensor) -> str:
    """Say why a tensor's numbers can't be had; nothing if they can."""
    if value.is_quantized:
        return "is quantized"
    if value.layout != torch.strided or value.is_nested:
        return f"is stored as {value.layout}"
    if value.device.type != "cpu":
        return f"lies on the device '{value.device}'"
    if value.dtype.is_complex:
        return "has complex numbers"
    if value.nelement() * value.element_size() > value.untyped_storage().nbytes():
        return f"has shape {tuple(value.shape)}, more than is stored of it"
    return ""


def _to_caffe(layer: Layer, arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    module = module_name(layer.name)
    values: list[NDArray[Any]] = []
    own = layer.op.to_torch_blobs(layer.blobs)
    for name, like in zip(blob_names(layer), own, strict=True):
        key = f"{module}.{name}"
        if name == _COUNTER:
            values.append(np.asarray(like))
            continue
        value = np.asarray(arrays[key], np.float32)
        if value.shape != like.shape:
            raise CheckError(
                f"'{key}' has shape {value.shape}; layer '{layer.name}' "
                f"({layer.type}) of the net wants {like.shape}"
            )
        values.append(value)
    values = layer.op.from_torch_blobs(values)
    return [v.reshape(b.shape) for v, b in zip(values, layer.blobs, strict=True)]


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

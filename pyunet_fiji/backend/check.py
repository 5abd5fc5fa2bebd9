"""``caffe_unet check_model_and_weights_h5`` (caffe_unet_cli.md, section 3.2)."""

from __future__ import annotations

import math

import h5py

from caffe.glog import log
from pyunet.errors import DataError
from pyunet_fiji.backend.devices import choose_device
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags
from pyunet_fiji.modeldef.definition import (
    IDENT,
    ModelDefinition,
    read_ident,
    read_modeldef,
)
from pyunet_fiji.modeldef.shapes import Shape, input_shape


def run(flags: Flags) -> int:
    """Check whether a model and weights fit together; equal idents are enough.

    Returns
    -------
    int
        0 if they fit; 1 for a model or an ident that cannot be one.

    Raises
    ------
    CheckFailedError, DataError
        A file that cannot be read, other idents.
    Exception
        Of the engine: weights that do not fit.
    """
    if not flags.model:
        raise CheckFailedError("Need a model definition to check.")
    if not flags.weights:
        raise CheckFailedError("Need model weights to check.")
    log(
        "caffe_unet.cpp:172",
        f"Checking model {flags.model} and weights {flags.weights}",
    )
    choose_device(
        flags.gpu, gpu_place="caffe_unet.cpp:179", cpu_place="caffe_unet.cpp:188"
    )
    if not flags.model.endswith(".h5"):
        log("caffe_unet.cpp:194", f"{flags.model}: no name of a .h5 file", "E")
        return 1
    model = _read_model(flags.model)
    if flags.weights.endswith(".h5"):
        try:
            if _have_same_ident(model, flags.weights):
                return 0
        except DataError as error:
            if isinstance(error, CheckFailedError):
                raise
            log("caffe_unet.cpp:252", str(error))
            return 1
    _run_net(model, flags)
    return 0


def smallest_tile(model: ModelDefinition) -> Shape:
    """Give the input tile of the check.

    Examples
    --------
    >>> smallest_tile(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 4), (60, 12),
    ...                               (-124, -28)))
    (188, 44)
    """
    pads = zip(model.pad_output, model.downsample_factor, strict=True)
    return input_shape(model, [1 - math.trunc(pad / factor) for pad, factor in pads])


def _read_model(path: str) -> ModelDefinition:
    log("caffe_unet.cpp:201", f"Reading unet ID from '{path}'")
    _check_file(path)
    ident = read_ident(path)
    if ident is None:
        raise CheckFailedError(f"Could not open '{path}': it has no '{IDENT}'")
    log("caffe_unet.cpp:205", f"  unet ID (model) = '{ident}'")
    return read_modeldef(path)


def _have_same_ident(model: ModelDefinition, path: str) -> bool:
    log("caffe_unet.cpp:240", f"Reading unet ID from '{path}'")
    _check_file(path)
    ident = read_ident(path)
    if ident is None:
        # the original writes the name so
        log("caffe_unet.cpp:271", f"'{path}' does not contain '/.unet_ident'")
        return False
    log("caffe_unet.cpp:258", f"  unet ID (weights) = '{ident}'")
    if ident != model.ident:
        raise CheckFailedError(
            f"Unet IDs do not match. Check failed! The model is '{model.ident}', the "
            f"weights are for '{ident}'",
            "caffe_unet.cpp:264",
        )
    return True


def _check_file(path: str) -> None:
    try:
        h5py.File(path, "r").close()
    except OSError as error:
        reason = " ".join(str(error).split())
        raise CheckFailedError(f"Could not open '{path}': {reason}") from None


def _run_net(model: ModelDefinition, flags: Flags) -> None:
    from pyunet_fiji.backend.nets import TileNet

    if flags.n_channels < 1:
        raise CheckFailedError(f"n_channels is {flags.n_channels}; 1 or more is wanted")
    net = TileNet(
        model, flags.weights, flags.n_channels, smallest_tile(model), complete=False
    )
    net.tile[...] = 0
    net.forward()

"""``caffe_unet tiled_predict`` (caffe_unet_cli.md 3.3, tiled_predict.md)."""

from __future__ import annotations

import math

from caffe.glog import log
from pyunet_fiji.backend.devices import choose_device, free_megabytes
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.files import check_place, read_images, write_scores
from pyunet_fiji.backend.flags import Flags
from pyunet_fiji.backend.memory import needed_bytes
from pyunet_fiji.backend.nets import TileNet
from pyunet_fiji.backend.options import (
    Choice,
    log_choice,
    make_rule,
    pixels_of_memory,
    read_choice,
)
from pyunet_fiji.backend.scoring import Scoring
from pyunet_fiji.backend.tiles import PADDINGS
from pyunet_fiji.backend.tilings import (
    Rule,
    TileGrid,
    TilePixels,
    halve,
    smallest_input,
)
from pyunet_fiji.modeldef.definition import ModelDefinition, read_modeldef
from pyunet_fiji.modeldef.shapes import Shape

PLACE = "tiled_predict.cpp:300"
MEMORY_PLACE = "tiled_predict.cpp:510"
FREE_PART = 0.9  # of the free memory: others use the GPU, too


def run(flags: Flags) -> int:
    """Compute the scores of the images of a file.

    Raises
    ------
    CheckFailedError, DataError
        Flags, a model or images that cannot be used, a place that cannot be written.
    Exception
        Of the engine.
    """
    choice = _check_flags(flags)
    gpu = choose_device(
        flags.gpu, gpu_place="caffe_unet.cpp:315", cpu_place="caffe_unet.cpp:324"
    )
    log_choice(choice)
    log("tiled_predict.cpp:352", f"average_mirror: {flags.average_mirror:d}")
    log("tiled_predict.cpp:353", f"average_rotate: {flags.average_rotate:d}")
    log("tiled_predict.cpp:374", f"Reading model definition from: {flags.model}")
    model = read_modeldef(flags.model)
    _log_model(model)
    rule = make_rule(choice, model) if choice.name else None
    images = read_images(flags.infileH5, model, flags.iterations)
    if not flags.weights:
        log(
            "tiled_predict.cpp:590",
            "Warning: No model weights are given. Net will be initialized without "
            "model weights!",
        )
    if rule is None:
        rule = rule_of_memory(model, images.shape[1:], flags.weights, gpu or 0)
    average = ("mirror" if flags.average_mirror else "") or (
        "rotate" if flags.average_rotate else ""
    )
    scoring = Scoring(model, images, flags.weights, average=average)
    scoring.run(rule)
    write_scores(flags.outfileH5, scoring.scores, source=flags.infileH5)
    return 0


def rule_of_memory(
    model: ModelDefinition, image: Shape, weights: str, gpu: int
) -> Rule:
    """Let the free memory of a GPU decide on the tiles.

    A model's own table goes before an estimate. What is estimated too low is mended
    when memory runs out.

    Parameters
    ----------
    model : ModelDefinition
    image : tuple of int
        Shape (C, [Z,] Y, X).
    weights : str
        File with weights, for the net that the estimate is made on.
    gpu : int
        Number of the GPU.
    """
    whole = TileGrid((1,) * model.dimensions)
    free = free_megabytes(gpu)
    if model.memory_map and model.dimensions == 2:
        pixels = pixels_of_memory(model, free)
        if pixels >= math.prod(smallest_input(model)):
            return TilePixels(pixels)
    rule = _estimated(model, image, weights, free, whole)
    log(
        MEMORY_PLACE,
        f"{free} MB of GPU memory are free: chose tiles as of option {rule}",
    )
    return rule


def _estimated(
    model: ModelDefinition, image: Shape, weights: str, free: int, whole: TileGrid
) -> Rule:
    """Double the number of tiles until one fits, or a smaller one is of no use."""
    channels, extent = image[0], image[1:]
    net = TileNet(model, weights, channels, smallest_input(model))
    rule: Rule = whole
    while True:
        net.reshape(rule.tiling(model, extent).tile_in)
        if needed_bytes(net.net) <= FREE_PART * free * 2**20:
            return rule
        finer = halve(rule, model, extent)
        if finer is None or finer.tiling(model, extent).is_wasteful:
            return rule
        rule = finer


def _check_flags(flags: Flags) -> Choice:
    wanted = (
        (flags.infileH5, "Need an hdf5 input file."),
        (flags.outfileH5, "Need an hdf5 output file."),
        (flags.model, "Need a model definition to score."),
        (flags.iterations >= 0, "Number of iterations must be >= 0."),
    )
    for is_right, text in wanted:
        if not is_right:
            raise CheckFailedError(text, PLACE)
    choice = read_choice(flags)
    if flags.average_mirror and flags.average_rotate:
        raise CheckFailedError(
            "Options average_mirror and average_rotate are mutually exclusive!", PLACE
        )
    if not flags.model.endswith(".h5"):
        raise CheckFailedError(
            "Model file type is not supported. HDF5 file is expected.", PLACE
        )
    check_place(flags.outfileH5)
    return choice


def _log_model(model: ModelDefinition) -> None:
    if model.padding not in PADDINGS:
        raise CheckFailedError(
            f"Supported padding options are 'zero' and 'mirror'. It is "
            f"'{model.padding}'",
            "tiled_predict.cpp:455",
        )

    def vector(values: Shape) -> str:
        return f"({','.join(map(str, values))})"

    for number, text in enumerate(
        (
            "unet parameters",
            f"\t.unet-ident: {model.ident}",
            f"\tinput_blob_name: {model.input_blob_name}",
            f"\tinput_num_spatial_dims: {model.dimensions}",
            f"\tpadding: {model.padding}",
            f"\tdownsampleFactor: {vector(model.downsample_factor)}",
            f"\tpadInput: {vector(model.pad_input)}",
            f"\tpadOutput: {vector(model.pad_output)}",
        ),
        start=461,
    ):
        log(f"tiled_predict.cpp:{number}", text)

"""Which of the four tiling options was given (tiled_predict.md, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from caffe.glog import log
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags
from pyunet_fiji.backend.tilings import Rule, TileCount, TileGrid, TilePixels, TileShape
from pyunet_fiji.modeldef.definition import ModelDefinition

PLACE = "tiled_predict.cpp:320"
MAP = "/unet_param/mapInputNumPxGPUMemMB"
GPU_OPTION = "gpu_mem_available_MB"
OPTIONS = ("mem_available_px", "n_tiles", "tile_size")
_QUOTED = "'mem_available_px', 'n_tiles', or 'tile_size'"
_NUMBER = re.compile(r"\s*([+-]?\d+)")
_AXES = (2, 3)


@dataclass(frozen=True)
class Choice:
    """The option of a command line.

    Attributes
    ----------
    name : str
        One of `OPTIONS`, `GPU_OPTION`, or nothing: free GPU memory decides.
    numbers : tuple of int
        Its value.
    """

    name: str = ""
    numbers: tuple[int, ...] = ()


def read_numbers(text: str) -> tuple[int, ...]:
    """Read numbers with an x between them; what follows a number is ignored.

    Examples
    --------
    >>> read_numbers("2x3"), read_numbers("4 tiles"), read_numbers("two")
    ((2, 3), (4,), (0,))
    """
    found = [_NUMBER.match(part) for part in text.split("x")]
    return tuple(int(match[1]) if match else 0 for match in found)


def read_choice(flags: Flags) -> Choice:
    """Find the tiling option of a command line.

    Raises
    ------
    CheckFailedError
        None or several on the CPU, several on a GPU, numbers below 1.
    """
    given = [name for name in (GPU_OPTION, *OPTIONS) if getattr(flags, name)]
    if flags.gpu and len(given) > 1:
        raise CheckFailedError(
            f"At most one of the alternative options '{GPU_OPTION}', {_QUOTED} has to "
            "be specified in GPU mode!",
            PLACE,
        )
    if not flags.gpu:
        _check_cpu(given)
    if not given:
        return Choice()
    choice = Choice(given[0], read_numbers(getattr(flags, given[0])))
    _check_numbers(choice)
    return choice


def log_choice(choice: Choice) -> None:
    """Log an option as the original does."""
    if choice.name in ("n_tiles", "tile_size"):
        line = 332 if choice.name == "n_tiles" else 342
        value = ",".join(map(str, choice.numbers))
        log(f"tiled_predict.cpp:{line}", f"{choice.name}: ({value})")
    elif choice.name:
        log("tiled_predict.cpp:322", f"{choice.name}: {choice.numbers[0]}")


def make_rule(choice: Choice, model: ModelDefinition) -> Rule:
    """Make the rule of an option for a model.

    Raises
    ------
    CheckFailedError
        Numbers for another dimension than the model's, GPU memory for a model that
        has no table of it.
    """
    if choice.name == "n_tiles" and len(choice.numbers) == 1:
        return TileCount(choice.numbers[0])
    if choice.name in ("n_tiles", "tile_size"):
        if len(choice.numbers) != model.dimensions:
            raise CheckFailedError(
                f"Option '{choice.name}' has {len(choice.numbers)} numbers, the model "
                f"{model.dimensions} dimensions",
                PLACE,
            )
        grid = choice.name == "n_tiles"
        return TileGrid(choice.numbers) if grid else TileShape(choice.numbers)
    if choice.name == GPU_OPTION:
        pixels = pixels_of_memory(model, choice.numbers[0])
        if pixels < 1:
            raise CheckFailedError(
                f"{choice.numbers[0]} MB are too little: {MAP} gives {pixels} pixels",
                PLACE,
            )
        return TilePixels(pixels)
    return TilePixels(choice.numbers[0])


def pixels_of_memory(model: ModelDefinition, megabytes: int) -> int:
    """Look up how many input pixels fit into GPU memory by the model's table.

    The last column wins before the first one that needs more than there is, or the
    first column.

    Parameters
    ----------
    model : ModelDefinition
    megabytes : int
        Memory in MB (2^20 bytes).

    Raises
    ------
    CheckFailedError
        The model has no table.

    Examples
    --------
    >>> model = ModelDefinition("id", "", "data", (1.0, 1.0), (2, 2), (4, 4),
    ...     (-12, -12), memory_map=((0, 100), (324, 178), (676, 179), (784, 190)))
    >>> [pixels_of_memory(model, megabytes) for megabytes in (50, 178, 189)]
    [0, 324, 676]
    """
    if not model.memory_map:
        raise CheckFailedError(
            f"Could not load {MAP}: the model has no such table; give 'n_tiles' or "
            "'tile_size' instead",
            PLACE,
        )
    column = 0
    for number, (_, needed) in enumerate(model.memory_map):
        if needed > megabytes:
            break
        column = number
    pixels, needed = model.memory_map[column]
    log(
        "tiled_predict.cpp:510",
        f"Set memAvailPx: {pixels} (based on map entry [{pixels}, {needed}] from "
        f"{MAP})",
    )
    return pixels


def _check_cpu(given: list[str]) -> None:
    if GPU_OPTION in given:
        raise CheckFailedError(
            f"Option '{GPU_OPTION}' is not supported in CPU mode.", PLACE
        )
    if len(given) != 1:
        raise CheckFailedError(
            f"Exactly one of the alternative options {_QUOTED} has to be specified in "
            "CPU mode!",
            PLACE,
        )


def _check_numbers(choice: Choice) -> None:
    numbers, name = choice.numbers, choice.name
    if min(numbers) < 1:
        raise CheckFailedError(
            f"Option '{name}' is {'x'.join(map(str, numbers))}; numbers of 1 or more "
            "are accepted",
            PLACE,
        )
    if name == "tile_size" and len(numbers) not in _AXES:
        raise CheckFailedError(
            f"Option 'tile_size' has {len(numbers)} numbers; accepted are 2 or 3", PLACE
        )

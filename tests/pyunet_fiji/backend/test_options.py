"""Which tiling option is meant."""

import pytest

from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags
from pyunet_fiji.backend.options import (
    Choice,
    log_choice,
    make_rule,
    pixels_of_memory,
    read_choice,
    read_numbers,
)
from pyunet_fiji.backend.tilings import TileCount, TileGrid, TilePixels, TileShape
from tests.support.tiled_nets import geometry

# tiled_predict.md 9.1: 84 columns, of which the text gives some; MB is not monotone
TABLE = (
    (0, 0), (324, 178), (360, 178), (624, 178), (676, 179), (1156, 179),
    (9216, 200), (10000, 900), (12000, 1001), (14000, 800),
)  # fmt: skip
MODEL = geometry((2, 2), (4, 4), (-12, -12), memory_map=TABLE)
VOLUME = geometry((2, 2, 2), (4, 4, 4), (-12, -12, -12), memory_map=TABLE)


def choice(**flags):
    return read_choice(Flags(**flags))


def rule(model=MODEL, **flags):
    return make_rule(choice(**flags), model)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4", (4,)),
        ("2x3", (2, 3)),
        ("1x2x3", (1, 2, 3)),
        (" 7 wide", (7,)),
        ("x3", (0, 3)),
        ("2X3", (2,)),
        ("-1x+2", (-1, 2)),
    ],
)
def test_numbers_are_read_from_the_beginning_of_each_part(text, wanted):
    assert read_numbers(text) == wanted


def test_each_option_has_its_rule():
    assert rule(n_tiles="4") == TileCount(4)
    assert rule(n_tiles="2x3") == TileGrid((2, 3))
    assert rule(VOLUME, n_tiles="1x2x3") == TileGrid((1, 2, 3))
    assert rule(tile_size="20x30") == TileShape((20, 30))
    assert rule(mem_available_px="900") == TilePixels(900)
    assert rule(gpu="0", gpu_mem_available_MB="200") == TilePixels(9216)


def test_on_a_gpu_nothing_needs_to_be_said():
    assert choice(gpu="0") == Choice()


@pytest.mark.parametrize("flags", [{}, {"n_tiles": "2", "tile_size": "20x20"}])
def test_on_the_cpu_exactly_one_option_is_wanted(flags):
    with pytest.raises(CheckFailedError) as caught:
        choice(**flags)
    assert str(caught.value) == (
        "Exactly one of the alternative options 'mem_available_px', 'n_tiles', or "
        "'tile_size' has to be specified in CPU mode!"
    )


def test_gpu_memory_is_refused_on_the_cpu():
    with pytest.raises(CheckFailedError) as caught:
        choice(gpu_mem_available_MB="200")
    assert str(caught.value) == (
        "Option 'gpu_mem_available_MB' is not supported in CPU mode."
    )


def test_on_a_gpu_two_options_are_refused():
    with pytest.raises(CheckFailedError, match=r"^At most one of the alternative opt"):
        choice(gpu="0", n_tiles="2", mem_available_px="900")


@pytest.mark.parametrize(
    "flags",
    [
        {"n_tiles": "0"},
        {"tile_size": "0x0"},
        {"n_tiles": "2x-1"},
        {"mem_available_px": "many"},
    ],
)
def test_numbers_below_one_are_refused(flags):
    with pytest.raises(CheckFailedError, match="numbers of 1 or more are accepted"):
        choice(**flags)


@pytest.mark.parametrize("size", ["20", "1x2x3x4"])
def test_a_tile_size_has_two_or_three_numbers(size):
    with pytest.raises(CheckFailedError, match="accepted are 2 or 3"):
        choice(tile_size=size)


@pytest.mark.parametrize("flags", [{"n_tiles": "2x3x4"}, {"tile_size": "8x8x8"}])
def test_there_is_one_number_a_dimension(flags):
    with pytest.raises(CheckFailedError, match="has 3 numbers, the model 2 dimensions"):
        rule(**flags)


@pytest.mark.parametrize(
    ("megabytes", "pixels"),
    [(1000, 10000), (200, 9216), (179, 1156), (178, 624), (177, 0), (899, 9216)],
)
def test_the_table_is_read_from_the_left_up_to_the_first_larger_entry(
    megabytes, pixels
):
    assert pixels_of_memory(MODEL, megabytes) == pixels


def test_too_little_memory_for_the_table_is_refused():
    with pytest.raises(CheckFailedError, match="177 MB are too little"):
        rule(gpu="0", gpu_mem_available_MB="177")


def test_gpu_memory_needs_a_table():
    with pytest.raises(CheckFailedError, match="mapInputNumPxGPUMemMB"):
        rule(geometry((2, 2), (4, 4), (-12, -12)), gpu="0", gpu_mem_available_MB="177")


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"n_tiles": "2x3"}, ["tiled_predict.cpp:332] n_tiles: (2,3)"]),
        ({"tile_size": "8x24x32"}, ["tiled_predict.cpp:342] tile_size: (8,24,32)"]),
        ({"mem_available_px": "900"}, ["mem_available_px: 900"]),
        ({"gpu": "0"}, []),
    ],
)
def test_the_option_is_logged(flags, wanted, said):
    log_choice(choice(**flags))
    lines = said()
    assert len(lines) == len(wanted)
    assert all(line.endswith(end) for line, end in zip(lines, wanted, strict=True))

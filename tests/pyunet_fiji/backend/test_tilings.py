"""The tiles of each option, by the original's own answers and by brute force."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.tilings import (
    TileCount,
    TileGrid,
    TilePixels,
    TileShape,
    halve,
    on_grid,
    smallest_input,
)
from pyunet_fiji.modeldef.shapes import border
from tests.support.tiled_nets import geometry

VECTORS = Path(__file__).parents[2] / "reference" / "tile_shape_vectors.tsv"
UNET = geometry((16, 16), (60, 60), (-124, -124))
SMALL = geometry((2, 2), (4, 4), (-12, -12))


def numbers(text):
    return tuple(map(int, text.split("x")))


def vectors():
    with VECTORS.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def rule_of(mode, param):
    values = numbers(param)
    if mode == "size":
        return TileShape(values)
    if mode == "mem":
        return TilePixels(values[0])
    return TileGrid(values) if len(values) > 1 else TileCount(values[0])


@pytest.mark.parametrize(
    "row", vectors(), ids=lambda row: f"{row['mode']}-{row['param']}-{row['data']}"
)
@pytest.mark.reference
def test_tiles_are_those_of_the_original(row):
    model = geometry(*(numbers(row[name]) for name in ("ds", "padIn", "padOut")))
    found = rule_of(row["mode"], row["param"]).tiling(model, numbers(row["data"]))
    assert found.tile_in == numbers(row["in_tile"])
    assert found.tile_out == numbers(row["out_tile"])
    assert found.grid == numbers(row["grid"])
    assert math.prod(found.grid) == int(row["ntiles"])
    assert border(model) == numbers(row["border"])


# tiled_predict.md 9.1, the rows below the table
@pytest.mark.parametrize(
    ("pixels", "tile_in", "grid"),
    [(1156, (26, 34), (2, 1)), (624, (26, 22), (2, 3))],
)
def test_pixels_of_the_gpu_table_give_the_original_tiles(pixels, tile_in, grid):
    found = TilePixels(pixels).tiling(SMALL, (20, 18))
    assert (found.tile_in, found.grid) == (tile_in, grid)


geometries = st.integers(0, 3).map(
    lambda levels: geometry(
        (2**levels,) * 2,
        (4 * (2**levels - 1),) * 2,
        (-4 * (2 ** (levels + 1) - 1),) * 2,
    )
)
images = st.tuples(st.integers(1, 90), st.integers(1, 90))


def tile_by_hand(model, image, grid):
    """Smallest valid tile that covers a part of the image, found by counting up."""
    tile_in, tile_out = [], []
    for factor, before, after, extent, parts in zip(
        model.downsample_factor, model.pad_input, model.pad_output, image, grid,
        strict=True,
    ):  # fmt: skip
        wanted = -(-extent // parts)
        k = next(k for k in range(10**6) if factor * k + after >= wanted)
        tile_in.append(factor * k + before)
        tile_out.append(factor * k + after)
    return tile_in, tile_out


def needed_by_hand(image, tile_out):
    return math.prod(-(-a // b) for a, b in zip(image, tile_out, strict=True))


@given(model=geometries, image=images, count=st.integers(1, 12))
def test_a_number_of_tiles_is_used_up_as_far_as_grids_allow(model, image, count):
    found = TileCount(count).tiling(model, image)
    candidates = []
    for y in range(1, count + 1):
        for x in range(1, count + 1):
            if y * x <= count:
                tile_in, tile_out = tile_by_hand(model, image, (y, x))
                candidates.append(
                    (-needed_by_hand(image, tile_out), math.prod(tile_in), y, x)
                )
    best = min(candidates, key=lambda c: c[:2])  # the first of equals
    assert found.grid == best[2:]
    assert list(found.tile_in) == tile_by_hand(model, image, best[2:])[0]


@given(model=geometries, image=images, share=st.floats(1, 30))
def test_tiles_of_so_many_pixels_fit_and_no_other_grid_costs_less(model, image, share):
    smallest = math.prod(smallest_input(model))
    pixels = int(smallest * share)
    rule = TilePixels(pixels)
    most = rule.largest_grid(model, image)
    found = rule.tiling(model, image)
    costs = {}
    for y in range(1, most[0] + 1):
        for x in range(1, most[1] + 1):
            tile_in, tile_out = tile_by_hand(model, image, (y, x))
            if math.prod(tile_in) <= pixels:
                costs[y, x] = math.prod(tile_in) * needed_by_hand(image, tile_out)
    if not costs:
        assert found.grid == (1, 1)
        return
    assert found.pixels <= pixels
    cheapest = min(costs.values())
    assert found.grid == next(grid for grid, cost in costs.items() if cost == cheapest)


rules = st.one_of(
    st.builds(TileCount, st.integers(1, 20)),
    st.builds(TileGrid, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.builds(TileShape, st.tuples(st.integers(1, 99), st.integers(1, 99))),
    st.builds(TilePixels, st.integers(600, 20000)),
)


@given(model=geometries, image=images, rule=rules)
def test_tiles_are_valid_and_cover_the_image(model, image, rule):
    assume(
        not isinstance(rule, TilePixels)
        or rule.pixels >= math.prod(smallest_input(model))
    )
    found = rule.tiling(model, image)
    for axis in range(2):
        factor = model.downsample_factor[axis]
        before, after = model.pad_input[axis], model.pad_output[axis]
        assert (found.tile_in[axis] - before) % factor == 0
        assert found.tile_in[axis] - found.tile_out[axis] == before - after
        assert found.tile_out[axis] * found.grid[axis] >= image[axis]


@given(model=geometries, image=images, rule=rules)
def test_halving_ends_at_the_smallest_tile_by_the_same_option(model, image, rule):
    assume(
        not isinstance(rule, TilePixels)
        or rule.pixels >= math.prod(smallest_input(model))
    )
    pixels, steps = rule.tiling(model, image).pixels, 0
    while (finer := halve(rule, model, image)) is not None:
        # grids follow where the original has no smaller tile of so many pixels
        assert type(finer) in (type(rule), TileGrid)
        now = finer.tiling(model, image).pixels
        assert now < pixels
        rule, pixels, steps = finer, now, steps + 1
    assert pixels == math.prod(smallest_input(model))
    assert steps < 40


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (TileCount(1), "-n_tiles 2"),
        (TileGrid((1, 1)), "-n_tiles 2x1"),
        (TileGrid((4, 1)), "-n_tiles 4x2"),
        (TileShape((388, 500)), "-tile_size 388x260"),
        (TilePixels(490000), "-mem_available_px 245000"),
    ],
)
def test_halving_keeps_the_option_and_changes_its_number(rule, wanted):
    assert str(halve(rule, UNET, (512, 512))) == wanted


def test_halving_a_tile_of_little_more_than_the_smallest_takes_the_smallest():
    assert halve(TileShape((20, 4)), UNET, (512, 512)) == TileShape((4, 4))
    assert halve(TileShape((4, 4)), UNET, (512, 512)) is None


def test_a_volume_is_halved_along_its_longest_axis():
    model = geometry((1, 8, 8), (4, 44, 44), (-4, -44, -44))
    finer = halve(TileGrid((1, 1, 1)), model, (60, 300, 200))
    assert finer == TileGrid((1, 2, 1))


@pytest.mark.parametrize("rule", [TileCount(4), TilePixels(10**6)])
def test_numbers_of_tiles_and_pixels_are_for_2d_models(rule):
    model = geometry((2, 2, 2), (4, 4, 4), (-12, -12, -12))
    with pytest.raises(CheckFailedError, match=r"only supported for 2D models; .* 3-D"):
        rule.tiling(model, (20, 20, 20))


def test_fewer_pixels_than_the_smallest_tile_are_refused():
    with pytest.raises(CheckFailedError, match=r"35343 pixels .* has 188x188"):
        TilePixels(35343).tiling(UNET, (512, 512))


def test_a_net_that_keeps_the_size_has_tiles_by_memory_too():
    # the original divides by zero here
    model = geometry((16, 16), (0, 0), (0, 0))
    found = TilePixels(256).tiling(model, (100, 100))
    assert found.tile_in == (16, 16)
    assert found.grid == (7, 7)


def test_ratios_are_rounded_to_32_bits_before_they_are_rounded_up():
    # 16777217 is no 32-bit real number; it becomes 16777216
    image = (16777217, 4)
    assert np.float32(image[0]) == 16777216
    assert on_grid(SMALL, image, (2, 1)).tile_out[0] == 8388608

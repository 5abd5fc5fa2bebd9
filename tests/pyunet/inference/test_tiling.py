"""Plans: every pixel once, the same scores as one big tile, the least work."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe import Axis
from pyunet.errors import DataError
from pyunet.inference.tiling import (
    Plan,
    fixed_tiles,
    mirror_index,
    plan_tiles,
    read_tile,
    tile_count,
    tile_sizes,
)

UNET = Axis(factor=16, smallest=188, shrink=184, before=92)


@st.composite
def axis_and_length(draw):
    factor = draw(st.sampled_from([1, 2, 3, 4, 16]))
    smallest = draw(st.integers(1, 40))
    shrink = draw(st.integers(0, smallest - 1))
    first = draw(st.integers(0, 3))
    axis = Axis(factor, smallest, shrink, shrink // 2, first)
    return axis, draw(st.integers(1, 90))


@st.composite
def plans(draw):
    pairs = draw(st.lists(axis_and_length(), min_size=1, max_size=3))
    tile = tuple(draw(st.sampled_from(tile_sizes(*pair))) for pair in pairs)
    return Plan(tuple(a for a, _ in pairs), tuple(n for _, n in pairs), tile)


def area(shape):
    return int(np.prod(shape))


@given(plans())
def test_every_pixel_is_written_exactly_once(plan):
    written = np.zeros(plan.image, int)
    count = 0
    for tile in plan:
        written[tile.target] += 1
        count += 1
    assert (written == 1).all()
    assert count == len(plan)


@given(plans())
def test_tiles_write_only_usable_outputs_and_begin_at_multiples_of_the_factor(plan):
    for tile in plan:
        for axis, size, start, source, target in zip(
            plan.axes, plan.tile, tile.start, tile.source, tile.target, strict=True
        ):
            assert axis.first <= source.start
            assert source.stop <= axis.first + axis.output_of(size)
            assert target.stop - target.start == source.stop - source.start
            assert (start + axis.before) % axis.factor == 0
            assert start + axis.before == target.start


@given(st.integers(-400, 400), st.integers(1, 60), st.integers(2, 30))
def test_the_mirror_is_numpys_reflect_at_any_distance(start, count, length):
    padding = 500
    reflected = np.pad(np.arange(length), padding, mode="reflect")
    expected = reflected[start + padding : start + padding + count]
    if start + count <= length + padding:
        assert mirror_index(start, count, length).tolist() == expected.tolist()


def test_the_mirror_of_a_single_pixel_is_that_pixel():
    assert mirror_index(-3, 7, 1).tolist() == [0] * 7


@pytest.mark.parametrize(
    ("start", "expected"),
    [(1, [1, 2, 3, 4, 5]), (4, [4, 5, 6, 5, 4]), (-3, [3, 2, 1, 0, 1])],
)
def test_the_mirror_is_that_of_the_original(start, expected):
    # tiled_predict.md section 8: source 0..6.
    assert mirror_index(start, 5, 7).tolist() == expected


def test_a_tile_reads_the_mirror_image_beyond_both_ends():
    image = np.arange(6.0).reshape(1, 2, 3)
    axes = (Axis(1, 3, 2, 1), Axis(1, 3, 2, 1))
    plan = fixed_tiles((2, 3), axes, [2, 3])
    (tile,) = plan
    assert read_tile(image, plan, tile)[0].tolist() == [
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
    ]


def test_a_tile_reads_zeros_beyond_both_ends_where_a_model_wants_it():
    image = np.arange(1.0, 7.0).reshape(1, 2, 3)
    axes = (Axis(1, 3, 2, 1), Axis(1, 3, 2, 1))
    plan = replace(fixed_tiles((2, 3), axes, [2, 3]), padding="zero")
    (tile,) = plan
    assert read_tile(image, plan, tile)[0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 2, 3, 0],
        [0, 4, 5, 6, 0],
        [0, 0, 0, 0, 0],
    ]
    assert image.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_a_512_image_is_one_tile_of_700_pixels_if_memory_allows():
    plan = plan_tiles((512, 512), (UNET, UNET), cost=area, memory=area, limit=700 * 700)
    assert plan.tile == (700, 700)
    assert plan.output == (516, 516)
    assert len(plan) == 1


def test_the_plan_is_the_smallest_of_all_that_fit_with_nearly_the_least_work():
    image, limit = (300, 520), 150_000
    plan = plan_tiles(image, (UNET, UNET), cost=area, memory=area, limit=limit)
    sizes = range(188, 188 + 16 * 40, 16)
    works = {
        tile: area(tile) * len(Plan((UNET, UNET), image, tile))
        for tile in product(sizes, sizes)
        if area(tile) <= limit and len(Plan((UNET, UNET), image, tile))
    }
    alike = [t for t, work in works.items() if work <= 1.05 * min(works.values())]
    assert len(alike) > 1
    assert area(plan.tile) == min(map(area, alike))


@given(plans(), st.integers(1, 40_000))
def test_a_plan_never_takes_more_than_its_limit(plan, limit):
    try:
        found = plan_tiles(plan.image, plan.axes, cost=area, memory=area, limit=limit)
    except DataError:
        smallest = [tile_sizes(a, n)[0] for a, n in zip(plan.axes, plan.image)]  # noqa: B905
        assert area(smallest) > limit
    else:
        assert area(found.tile) <= limit


def test_too_little_memory_is_said_with_what_is_needed():
    with pytest.raises(DataError, match=r"smallest tile \(204x204\) needs 1M"):
        plan_tiles((512, 512), (UNET, UNET), cost=area, memory=area, limit=1)


def test_tiles_too_small_to_be_moved_serve_only_images_they_cover():
    assert tile_count(UNET, 4, 188) == 1
    assert tile_count(UNET, 5, 188) == 0
    assert tile_sizes(UNET, 5)[0] == 204


@pytest.mark.parametrize(
    ("size", "tile", "tiles"),
    [([388], (572, 572), 4), ([164, 380], (348, 572), 8), ([1000], (1196, 1196), 1)],
)
def test_a_wanted_tile_size_is_rounded_up(size, tile, tiles):
    # 388 and 164 are valid outputs; 1000 - 4 is no multiple of 16, 1012 is next.
    plan = fixed_tiles((512, 512), (UNET, UNET), size)
    assert plan.tile == tile
    assert len(plan) == tiles


def test_a_wanted_tile_too_small_to_be_moved_is_enlarged():
    assert fixed_tiles((512, 512), (UNET, UNET), [1]).tile == (204, 204)


@pytest.mark.parametrize("size", [[388, 388, 388], [0], [-4, 388]])
def test_an_impossible_tile_size_is_refused(size):
    with pytest.raises(DataError, match="accepted are one number or 2"):
        fixed_tiles((512, 512), (UNET, UNET), size)


def test_an_axis_of_one_pixel_is_repeated():
    assert mirror_index(-3, 7, 1).tolist() == [0] * 7

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_fiji.modeldef import ModelDefinition
from pyunet_fiji.modeldef.shapes import (
    border,
    input_shape,
    net_geometry,
    next_output,
    output_from_input,
    output_shape,
    plugin_minimal_output,
    smallest_k,
)

# tile_shape_vectors.tsv, mode size: tile_size ds padIn padOut in_tile out_tile border
ORIGINAL = """
20x20 2x2 4x4 -12x-12 36x36 20x20 8x8
20x10 2x2 4x4 -12x-12 36x26 20x10 8x8
7x20 2x2 4x4 -12x-12 24x36 8x20 8x8
10x10 2x2 4x4 -12x-12 26x26 10x10 8x8
24x24x24 1x2x2 0x4x4 -4x-12x-12 28x40x40 24x24x24 2x8x8
10x20x20 1x2x2 0x4x4 -4x-12x-12 14x36x36 10x20x20 2x8x8
20x10x10 1x2x2 0x4x4 -4x-12x-12 24x26x26 20x10x10 2x8x8
10x7x5 1x2x2 0x4x4 -4x-12x-12 14x24x22 10x8x6 2x8x8
7x10x14 1x2x2 0x4x4 -4x-12x-12 11x26x30 7x10x14 2x8x8
20x20x20 1x2x2 0x4x4 -4x-12x-12 24x36x36 20x20x20 2x8x8
20x20x20 2x2x2 4x4x4 -12x-12x-12 36x36x36 20x20x20 8x8x8
10x20x20 2x2x2 4x4x4 -12x-12x-12 26x36x36 10x20x20 8x8x8
20x10x10 2x2x2 4x4x4 -12x-12x-12 36x26x26 20x10x10 8x8x8
10x7x5 2x2x2 4x4x4 -12x-12x-12 26x24x22 10x8x6 8x8x8
7x10x14 2x2x2 4x4x4 -12x-12x-12 24x26x30 8x10x14 8x8x8
164x164 16x16 60x60 -124x-124 348x348 164x164 92x92
388x388 16x16 60x60 -124x-124 572x572 388x388 92x92
356x356 16x16 60x60 -124x-124 540x540 356x356 92x92
540x540 16x16 60x60 -124x-124 732x732 548x548 92x92
1x1 16x16 60x60 -124x-124 188x188 4x4 92x92
4x4 16x16 60x60 -124x-124 188x188 4x4 92x92
28x44x44 1x8x8 4x44x44 -4x-44x-44 36x132x132 28x44x44 4x44x44
100x100x100 8x8x8 40x40x40 -48x-48x-48 192x192x192 104x104x104 44x44x44
"""


def model(factor, pad_input, pad_output):
    sizes = (1.0,) * len(factor)
    return ModelDefinition("id", "", "data", sizes, factor, pad_input, pad_output)


@pytest.mark.parametrize("row", ORIGINAL.strip().splitlines())
def test_tile_shapes_are_those_of_the_original(row):
    wanted, factor, before, after, inner, outer, rim = (
        tuple(int(number) for number in word.split("x")) for word in row.split()
    )
    net = model(factor, before, after)
    assert next_output(net, wanted) == outer
    assert output_from_input(net, inner) == outer
    assert border(net) == rim


U_NET = model((16, 16), (60, 60), (-124, -124))


def test_the_smallest_tile_of_caffe_unet_has_a_pixel_of_output():
    assert smallest_k(U_NET) == (8, 8)
    assert input_shape(U_NET, smallest_k(U_NET)) == (188, 188)
    assert output_shape(U_NET, smallest_k(U_NET)) == (4, 4)


def test_the_plugin_begins_with_no_pixel_where_pad_output_is_a_multiple():
    # fiji_observed.md 11: two levels, 40 x 40 pixels of input, none of output
    net = model((4, 4), (12, 12), (-28, -28))
    assert plugin_minimal_output(net) == (0, 0)
    assert output_from_input(net, (40, 40)) == (0, 0)
    assert output_shape(net, smallest_k(net)) == (4, 4)
    assert plugin_minimal_output(U_NET) == (4, 4)


@pytest.mark.parametrize("pads", [(7, 0), (0, -7), (8, 1), (1, 8), (-3, -4)])
def test_half_a_pixel_of_border_is_rounded_up(pads):
    before, after = pads
    wanted = int(np.floor((before - after) / 2 + 0.5))
    assert border(model((1, 1), (before,) * 2, (after,) * 2)) == (wanted, wanted)


@given(st.integers(1, 64), st.integers(-300, 300), st.integers(1, 2000))
def test_the_next_output_is_the_smallest_valid_one_that_covers(factor, pad, wanted):
    net = model((factor,) * 2, (0, 0), (pad, pad))
    found = next_output(net, (wanted, 1))
    assert found[0] >= wanted > found[0] - factor
    assert (found[0] - pad) % factor == 0


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        (0, (1, 0, -4)),
        (1, (2, 4, -12)),
        (2, (4, 12, -28)),
        (4, (16, 60, -124)),
    ],
)
def test_a_u_net_of_so_many_levels_has_the_published_sizes(levels, wanted):
    assert net_geometry((levels, levels)) == tuple((one, one) for one in wanted)


def test_levels_may_differ_by_axis():
    assert net_geometry((1, 2, 2)) == ((2, 4, 4), (4, 12, 12), (-12, -28, -28))


def test_levels_are_not_negative():
    with pytest.raises(DataError, match="accepted are numbers of 0 or more"):
        net_geometry((1, -1))

"""A part of an image is prepared exactly as in the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet.data.images import ImageStack
from pyunet.inference import windows
from pyunet.inference.adapting import adapted_inputs
from pyunet.zoo.manifest import Input
from pyunet_fiji.modeldef.trained import definition_inputs
from tests.support import modeldefs
from tests.support.segmenting import plain_inputs, restored, whole_arrays

KINDS = {
    "uint8": lambda a: a,
    "uint16": lambda a: a.astype(np.uint16) * 100,
    "unit floats": lambda a: a.astype(np.float32) / 300,
    "other floats": lambda a: a.astype(np.float64) - 50,
}
MODELS = {
    "plain": lambda stack, _: plain_inputs(stack, 2),
    "plain volume": lambda stack, _: plain_inputs(stack, 3),
    "of other greys": lambda stack, size: adapted_inputs(
        stack,
        Input(channels=3, take="rgb", pixel_size_um=0.5, mean=0.2, deviation=0.1),
        pixel_size_um=size,
    ),
    "of one grey": lambda stack, size: adapted_inputs(
        stack, Input(pixel_size_um=0.5), pixel_size_um=size
    ),
    "of even contrast": lambda stack, size: adapted_inputs(
        stack,
        Input(normalisation="local contrast", window_px=1.5, pixel_size_um=0.5),
        pixel_size_um=size,
    ),
    "of eyes": lambda stack, _: adapted_inputs(
        stack,
        Input(
            take="green", normalisation="local contrast", window_px=2, inside="eye",
            eye_width_px=17,
        ),
    ),
    **{
        f"defined, normalisation {kind}": lambda stack, size, kind=kind: (
            definition_inputs(
                stack,
                modeldefs.definition(
                    element_size_um=(0.5, 0.5), normalization_type=kind
                ),
                size,
            )
        )
        for kind in range(4)
    },
    "defined volume": lambda stack, size: definition_inputs(
        stack,
        modeldefs.definition(axes=3, element_size_um=(1.5, 0.5, 0.5)),
        (1.0, *size),
    ),
}  # fmt: skip


def eye_stack(seed, shape, values):
    array = np.random.default_rng(seed).integers(60, 200, (2, 3, *shape), np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    array[..., np.hypot(y - shape[0] / 2, x - shape[1] / 2) > min(shape) / 2 - 1] = 0
    return ImageStack(KINDS[values](array), "a", [])


def part_of(data, extent):
    """Draw a part that has pixels along every axis."""
    places = []
    for length in extent:
        start = data.draw(st.integers(0, length - 1))
        places.append(slice(start, data.draw(st.integers(start + 1, length))))
    return tuple(places)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_window_of_every_kind_of_model_is_a_part_of_the_whole_bit_by_bit(model, data):
    shape = data.draw(st.tuples(*2 * [st.integers(16, 40)]))
    size = data.draw(st.tuples(*2 * [st.sampled_from([0.2, 0.37, 0.5, 0.8, 1.3])]))
    values = data.draw(st.sampled_from(list(KINDS)))
    inputs = MODELS[model](eye_stack(data.draw(st.integers(0, 9)), shape, values), size)
    for array, window in zip(whole_arrays(inputs), inputs.windows(), strict=True):
        assert array.dtype == np.float32
        assert array.shape[1:] == inputs.extent
        at = part_of(data, inputs.extent)
        np.testing.assert_array_equal(window(at), array[(slice(None), *at)])
    scores = np.random.default_rng(0).normal(size=(2, *inputs.extent)).astype("f4")
    back, at = restored(inputs, scores), part_of(data, inputs.own)
    part = inputs.restored(windows.of_array(scores), 2)(at)
    np.testing.assert_array_equal(part, back[(slice(None), *at)])
    assert back.shape[1:] == inputs.own


@pytest.mark.parametrize("model", MODELS)
def test_images_made_block_by_block_are_those_made_at_once(model, monkeypatch):
    stack = eye_stack(0, (33, 38), "uint16")
    whole = whole_arrays(MODELS[model](stack, (0.8, 0.37)))
    monkeypatch.setattr(windows, "BLOCK_PX", 500)
    blocks = whole_arrays(MODELS[model](stack, (0.8, 0.37)))
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(1, 60),
)
def test_blocks_cover_a_place_once_and_are_small_but_for_rows(spans, most):
    at = tuple(slice(start, start + length) for start, length in spans)
    covered = np.zeros([one.stop for one in at], int)
    for block in windows.blocks(at, most):
        covered[block] += 1
        rows_alone = all(one.stop - one.start == 1 for one in block[:-1])
        assert windows.pixel_count(block) <= most or rows_alone
    assert (covered[at] == 1).all()
    assert covered.sum() == windows.pixel_count(at)

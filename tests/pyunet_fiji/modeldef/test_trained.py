"""Images on their way into a net, and scores on their way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet_fiji.modeldef.normalisation import normalise
from pyunet_fiji.modeldef.rescaling import Linear, rescale_image
from pyunet_fiji.modeldef.trained import definition_inputs
from tests.support import modeldefs
from tests.support.segmenting import plain_inputs, restored, whole_arrays

RNG = np.random.default_rng(3)


def stack(*shape, dtype=np.uint8):
    return ImageStack(RNG.integers(0, 255, shape).astype(dtype), "cells", [])


def test_slices_of_a_plain_net_are_scaled_by_their_type():
    images = stack(3, 1, 4, 5)
    inputs = plain_inputs(images, 2)
    assert (inputs.count, inputs.extent) == (3, (4, 5))
    np.testing.assert_array_equal(
        np.stack(whole_arrays(inputs)), images.array / np.float32(255)
    )
    scores = np.ones((2, 4, 5), np.float32)
    np.testing.assert_array_equal(restored(inputs, scores), scores)


def test_a_stack_is_one_volume_for_a_plain_3d_net():
    inputs = plain_inputs(stack(3, 2, 4, 5), 3)
    (volume,) = whole_arrays(inputs)
    assert (inputs.count, inputs.extent, volume.shape) == (1, (3, 4, 5), (2, 3, 4, 5))


def test_each_slice_is_rescaled_and_normalised_by_itself():
    images = stack(2, 3, 9, 12)
    model = modeldefs.definition(element_size_um=(0.5, 0.25))
    inputs = definition_inputs(images, model, (0.25, 0.25))
    assert (inputs.count, inputs.extent) == (2, (5, 12))
    for array, image in zip(whole_arrays(inputs), images.array, strict=True):
        scaled = rescale_image(image, (0.25, 0.25), (0.5, 0.25))
        np.testing.assert_array_equal(array, normalise(scaled[None], 1)[0])
        assert (array.min(), array.max()) == (0, 1)


def test_frames_of_volumes_are_told_apart():
    images = stack(6, 1, 4, 5)
    model = modeldefs.definition(axes=3, element_size_um=(1, 1, 1))
    inputs = definition_inputs(images, model, (1, 1, 1), frames=2)
    assert (inputs.count, inputs.extent) == (2, (3, 4, 5))
    second = whole_arrays(inputs)[1]
    expected = images.array[3:, 0].astype(np.float32)
    expected -= expected.min()
    np.testing.assert_allclose(second[0], expected / expected.max(), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "frames", "said"),
    [
        ((1, 1, 4, 5), 1, "cells: has a single slice, and the net is 3-D"),
        ((5, 1, 4, 5), 2, "cells: 5 slices are no 2 frames of one length"),
    ],
)
def test_stacks_that_are_no_volumes_are_refused(shape, frames, said):
    model = modeldefs.definition(axes=3)
    with pytest.raises(DataError, match=said):
        definition_inputs(stack(*shape), model, (1, 1, 1), frames=frames)


def test_an_image_that_vanishes_is_refused_by_name():
    with pytest.raises(DataError, match=r"cells: .* none left"):
        definition_inputs(stack(1, 1, 2, 2), modeldefs.definition(), (0.01, 0.01))


def test_a_flat_slice_is_named():
    images = ImageStack(np.zeros((2, 1, 4, 4), np.uint8), "cells", [])
    inputs = definition_inputs(images, modeldefs.definition(), (0.5, 0.5))
    with pytest.raises(DataError, match="cells, image 0"):
        whole_arrays(inputs)


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(*2 * [st.sampled_from([0.3, 0.5, 0.7, 1.0, 1.5])]),
)
def test_scores_are_read_linearly_at_the_pixels_of_the_image(small, own, scales):
    scores = np.random.default_rng(0).normal(size=(2, *small)).astype(np.float32)
    # the extents of an axis that is not rescaled are those of the image
    own = tuple(n if s == 1 else o for n, o, s in zip(small, own, scales, strict=True))
    places = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(own, scales, strict=True)), indexing="ij"
    )
    expected = [
        ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in scores
    ]
    whole = tuple(slice(0, n) for n in own)
    found = Linear.back(small, own, scales).apply(scores, whole)
    np.testing.assert_allclose(found, expected, atol=1e-5)

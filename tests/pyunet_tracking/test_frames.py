"""The frames of a sequence and their normalisation."""

import numpy as np
import pytest
import tifffile

from pyunet.errors import DataError
from pyunet_tracking.frames import Frames, Normalisation


def save(folder, *frames, axes=None):
    for index, frame in enumerate(frames):
        metadata = {"axes": axes} if axes else None
        path = folder / f"t{index:03d}.tif"
        tifffile.imwrite(path, frame, photometric="minisblack", metadata=metadata)
    return folder


def test_frames_are_all_tif_files_by_their_names(tmp_path):
    for name in ("t10.tif", "t9.tif", "a.tif", "b.png", ".t0.tif"):
        save_one = tmp_path / name
        tifffile.imwrite(save_one, np.zeros((3, 4), np.uint8))
    frames = Frames.of(tmp_path)
    assert [path.name for path in frames.paths] == ["a.tif", "t10.tif", "t9.tif"]
    assert (len(frames), frames.shape) == (3, (1, 3, 4))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 51, 255]], np.uint8), [0, 0.2, 1]),
        (np.array([[0, 13107, 65535]], np.uint16), [0, 0.2, 1]),
        (np.array([[-3, 0.5, 70]], np.float32), [-3, 0.5, 70]),
    ],
)
def test_grey_values_are_those_of_im2double(tmp_path, values, expected):
    frame = Frames.of(save(tmp_path, values)).read(0)
    assert frame.dtype == np.float64
    np.testing.assert_allclose(frame[0, 0], expected, rtol=1e-15)


def test_normalising_takes_the_whole_stack_and_each_frames_median(tmp_path):
    rng = np.random.default_rng(0)
    stack = rng.integers(30, 200, (4, 9, 10)).astype(np.uint8)
    frames = Frames.of(save(tmp_path, *stack))
    whole = stack / 255.0
    whole -= whole.min()
    whole /= whole.max()
    for frame in whole:
        frame -= np.median(frame)
    normalisation = Normalisation(frames)
    for index, expected in enumerate(whole):
        found = normalisation.apply(frames.read(index))
        np.testing.assert_allclose(found[0], expected, atol=1e-15)


def test_channels_are_normalised_by_themselves(tmp_path):
    stack = np.random.default_rng(1).integers(0, 99, (2, 3, 5, 6)).astype(np.uint8)
    stack[:, 1] += 100
    frames = Frames.of(save(tmp_path, *stack, axes="CYX"))
    assert frames.shape == (3, 5, 6)
    found = Normalisation(frames).apply(frames.read(1))
    for channel, plane in enumerate(found):
        values = stack[:, channel] / 255.0
        part = values[1] - np.median(values[1])
        np.testing.assert_allclose(plane, part / np.ptp(values), atol=1e-14)


def test_pages_are_a_volume_for_a_3d_net(tmp_path):
    volume = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    frames = Frames.of(save(tmp_path, volume), volumes=True)
    assert frames.shape == (1, 3, 4, 5)
    np.testing.assert_allclose(frames.read(0)[0], volume / 255)


def test_the_digest_knows_every_grey_value(tmp_path):
    stack = np.zeros((2, 4, 5), np.uint8)
    first = Frames.of(save(tmp_path, *stack)).digest()
    assert Frames.of(tmp_path).digest() == first
    stack[1, 3, 4] = 1
    assert Frames.of(save(tmp_path, *stack)).digest() != first


class TestRefuses:
    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="none: no such folder"):
            Frames.of(tmp_path / "none")
        with pytest.raises(DataError, match=r"has no \*.tif"):
            Frames.of(tmp_path)

    def test_several_pages_for_a_2d_net(self, tmp_path):
        save(tmp_path, np.zeros((3, 4, 5), np.uint8))
        with pytest.raises(
            DataError, match=r"t000.tif: has 3 pages; expected one frame"
        ):
            Frames.of(tmp_path)

    def test_frames_of_different_sizes(self, tmp_path):
        save(tmp_path, np.zeros((4, 5), np.uint8), np.zeros((4, 6), np.uint8))
        with pytest.raises(DataError, match=r"t001.tif: has shape \(1, 4, 6\)"):
            Frames.of(tmp_path).digest()

    def test_other_types(self, tmp_path):
        save(tmp_path, np.zeros((4, 5), np.int32))
        with pytest.raises(DataError, match="values of type int32; expected uint8"):
            Frames.of(tmp_path).read(0)

    def test_nan(self, tmp_path):
        save(tmp_path, np.full((4, 5), np.nan, np.float32))
        with pytest.raises(DataError, match="NaN or infinite"):
            Frames.of(tmp_path).read(0)

    def test_to_normalise_a_constant_sequence(self, tmp_path):
        save(tmp_path, np.full((4, 5), 51, np.uint8))
        with pytest.raises(DataError, match=r"channel 0 is 0.2 in all frames"):
            Normalisation(Frames.of(tmp_path))

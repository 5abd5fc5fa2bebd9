"""``pyunet segment`` with a model definition."""

import h5py
import numpy as np
import pytest
import tifffile

from pyunet.cli import main
from pyunet_fiji.modeldef import write_modeldef
from tests.support import modeldefs


@pytest.fixture
def threshold(tmp_path):
    """Write a net that marks what is brighter than the middle of its range."""

    def write(axes=2, **settings):
        path = tmp_path / "threshold.modeldef.h5"
        write_modeldef(path, modeldefs.threshold(axes=axes))
        modeldefs.threshold_weights(
            tmp_path / "threshold.caffemodel.h5", axes=axes, **settings
        )
        return path

    return write


def save(path, array, axes, **metadata):
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": axes, "unit": "micron", **metadata},
    )
    return path


def call(model, image, *words):
    return main([
        "segment", "--model", str(model), "--out", str(model.parent / "out"),
        "--weights", str(model).replace("modeldef", "caffemodel"),
        "--tile-size", "16", *map(str, words), str(image),
    ])  # fmt: skip


def labels(model, name):
    return tifffile.imread(model.parent / "out" / f"{name}_labels.tif")


def random_image(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)


def middle(image):
    """Say what is above the middle between the smallest and the largest value."""
    return image.astype(int) - image.min() > (int(image.max()) - image.min()) / 2


def test_every_slice_of_a_time_series_is_normalised_by_itself(threshold, tmp_path):
    model = threshold()
    series = random_image(3, 12, 15) // np.uint8([[[1]], [[2]], [[4]]])
    save(tmp_path / "t.tif", series, "TYX")
    assert call(model, tmp_path / "t.tif") == 0
    expected = [middle(frame) for frame in series]
    np.testing.assert_array_equal(labels(model, "t"), expected)


def test_results_have_the_images_own_pixels(threshold, tmp_path, capsys):
    model = threshold()
    blocks = random_image(6, 7)
    save(tmp_path / "a.tif", np.kron(blocks, np.ones((2, 2), np.uint8)), "YX")
    # 0.25 um a pixel is given, the net wants 0.5: it sees every second pixel
    assert call(model, tmp_path / "a.tif", "--element-size-um", "0.25") == 0
    with tifffile.TiffFile(tmp_path / "out" / "a_scores.tif") as tiff:
        scores = tiff.asarray()
        assert tiff.imagej_metadata["unit"] == "micron"
    assert scores.shape == (2, 12, 14)
    unit = (blocks - blocks.min()) / np.ptp(blocks)
    np.testing.assert_allclose(scores[1, ::2, ::2], unit - 0.5, atol=1e-5)
    np.testing.assert_array_equal(labels(model, "a")[::2, ::2], middle(blocks))
    np.testing.assert_array_equal(labels(model, "a"), scores.argmax(axis=0))
    assert "1 slice(s) of 12x14 pixels" in capsys.readouterr().out


def test_the_files_own_pixel_size_is_taken(threshold, tmp_path, capsys):
    model = threshold()
    save(tmp_path / "a.tif", random_image(9, 9), "YX")  # 0.5 um, as the model's
    tifffile.imwrite(tmp_path / "b.tif", random_image(9, 9))
    for name in "ab":
        assert call(model, tmp_path / f"{name}.tif") == 0
    np.testing.assert_array_equal(labels(model, "a"), labels(model, "b"))
    said = capsys.readouterr().err.strip().splitlines()
    sizes = "0.5 x 0.5 um a pixel, the model's are 0.5 x 0.5 um"
    assert said[::2] == [f"{name}: {sizes}" for name in "ab"]
    assert "b.tif: does not say how large its pixels are" in said[1]


def test_averaging_and_softmax_work_as_with_a_prototxt(threshold, tmp_path):
    model = threshold()
    image = random_image(9, 11)
    save(tmp_path / "a.tif", image, "YX")
    assert call(model, tmp_path / "a.tif", "--average", "rotate", "--softmax") == 0
    shares = tifffile.imread(tmp_path / "out" / "a_scores.tif")
    unit = (image - image.min()) / np.ptp(image)
    np.testing.assert_allclose(shares[1], 1 / (1 + np.exp(1 - 2 * unit)), atol=1e-5)


def test_volumes_of_several_frames_are_segmented_one_by_one(threshold, tmp_path):
    model = threshold(axes=3)
    volumes = random_image(2, 4, 6, 8) // np.uint8([1, 3]).reshape(2, 1, 1, 1)
    save(tmp_path / "v.tif", volumes, "TZYX", spacing=0.5)
    assert call(model, tmp_path / "v.tif") == 0
    expected = [middle(volume) for volume in volumes]
    np.testing.assert_array_equal(labels(model, "v").reshape(volumes.shape), expected)


def test_colours_are_channels(threshold, tmp_path):
    model = threshold(channels=3)
    image = random_image(10, 12, 3)
    tifffile.imwrite(tmp_path / "rgb.tif", image, photometric="rgb")
    assert call(model, tmp_path / "rgb.tif", "--element-size-um", "0.5") == 0
    unit = (image.astype(float) - image.min()) / np.ptp(image)
    bright = unit.mean(axis=-1) > 0.5
    np.testing.assert_array_equal(labels(model, "rgb"), bright)


def refused(capsys, *words):
    assert call(*words) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_other_channels_than_those_of_the_weights_are_refused(
    threshold, tmp_path, capsys
):
    tifffile.imwrite(tmp_path / "rgb.tif", random_image(9, 9, 3), photometric="rgb")
    line = refused(capsys, threshold(), tmp_path / "rgb.tif")
    assert line.endswith("threshold.modeldef.h5 takes 1 (blob 'data3')")
    assert "rgb.tif: has 3 channel(s)" in line


def test_slices_of_several_volumes_are_refused(threshold, tmp_path, capsys):
    save(tmp_path / "v.tif", random_image(2, 4, 6, 8), "TZYX", spacing=0.5)
    line = refused(capsys, threshold(axes=3), tmp_path / "v.tif", "--slices", "1:3")
    assert "--slices goes with one volume, this file has 2 frames" in line


def test_a_pixel_size_goes_with_a_definition_only(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", random_image(9, 9))
    assert main([
        "segment", "--model", "unet_demo", "--weights", "w", "--out", str(tmp_path),
        "--element-size-um", "1", str(tmp_path / "a.tif"),
    ]) == 1  # fmt: skip
    assert "--element-size-um: goes with a .modeldef.h5" in capsys.readouterr().err


def test_weights_of_another_model_are_one_line(threshold, tmp_path, capsys):
    model = threshold()
    with h5py.File(tmp_path / "threshold.caffemodel.h5", "a") as file:
        file[".unet-ident"] = np.bytes_(b"snemi_v6")
    tifffile.imwrite(tmp_path / "a.tif", random_image(9, 9))
    assert "weights of the model 'snemi_v6'" in refused(
        capsys, model, tmp_path / "a.tif"
    )

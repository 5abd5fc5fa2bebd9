"""Pictures: sizes, which colour where, what is drawn."""

import numpy as np
from PIL import Image

from pyunet.inference.pictures import CAPTION, GAP, comparison_png, overlay_png

BLACK = (0, 0, 0)


def two_squares():
    labels = np.zeros((1, 40, 60), np.uint8)
    labels[0, 5:35, 5:25] = 1
    labels[0, 5:35, 35:55] = 1
    return labels


def load(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def panels(path, width=60):
    whole = load(path)[CAPTION:]
    return [whole[:, i * (width + GAP) :][:, :width] for i in range(4)]


def colours(panel):
    return {tuple(pixel) for pixel in panel.reshape(-1, 3).tolist()}


def test_objects_of_a_mask_have_colours_of_their_own(tmp_path):
    labels = two_squares()
    comparison_png(tmp_path / "a.png", labels[0] * 100, labels, labels)
    _, truth, prediction, _ = panels(tmp_path / "a.png")
    assert tuple(truth[0, 0]) == BLACK
    assert len(colours(truth)) == 3
    assert tuple(truth[20, 15]) != tuple(truth[20, 45])
    np.testing.assert_array_equal(truth, prediction)


def test_a_prediction_has_the_colours_of_what_it_covers(tmp_path):
    truth, prediction = two_squares(), two_squares()
    prediction[0, 5:35, 5:25] = 0
    comparison_png(tmp_path / "a.png", truth[0], truth, prediction)
    _, true, found, _ = panels(tmp_path / "a.png")
    assert tuple(found[20, 15]) == BLACK
    assert tuple(found[20, 45]) == tuple(true[20, 45])


def test_a_split_object_gets_a_second_colour(tmp_path):
    truth, prediction = two_squares(), two_squares()
    prediction[0, 25:27, 5:25] = 0
    comparison_png(tmp_path / "a.png", truth[0], truth, prediction)
    _, true, found, _ = panels(tmp_path / "a.png")
    assert tuple(found[15, 15]) == tuple(true[15, 15])
    assert tuple(found[30, 15]) not in {BLACK, tuple(true[15, 15]), tuple(true[20, 45])}


def test_an_overlay_shows_the_image_and_outlines(tmp_path):
    labels = two_squares()
    image = np.tile(np.arange(60, dtype=np.float32), (40, 1))[None, None]
    overlay_png(tmp_path / "a.png", image, labels)
    whole = load(tmp_path / "a.png")
    assert whole.shape == (40, 60, 3)
    red, green, blue = whole[2, 30].tolist()
    assert red == green == blue
    assert abs(red - 255 * 30 / 59) < 5
    inside, edge = whole[20, 15].astype(int), whole[20, 5].astype(int)
    assert np.ptp(inside) > 20
    assert np.ptp(edge) > np.ptp(inside)


def test_classes_have_colours_of_their_own(tmp_path):
    labels = two_squares()
    labels[0, :, 30:] *= 2
    labels[0, 5:35, 30:33] = 1
    comparison_png(tmp_path / "a.png", labels[0], labels, labels)
    _, truth, _, _ = panels(tmp_path / "a.png")
    assert tuple(truth[20, 15]) == tuple(truth[20, 31]) != tuple(truth[20, 45])


def test_four_slices_of_a_long_stack_are_shown(tmp_path):
    labels = np.repeat(two_squares(), 9, axis=0)
    images = np.arange(9, dtype=np.uint8).repeat(2400).reshape(9, 1, 40, 60)
    overlay_png(tmp_path / "a.png", images, labels)
    assert load(tmp_path / "a.png").shape == (40, 4 * 60 + 3 * GAP, 3)
    comparison_png(tmp_path / "b.png", images, labels, labels)
    expected = (CAPTION + 4 * 40 + 3 * GAP, 4 * 60 + 3 * GAP, 3)
    assert load(tmp_path / "b.png").shape == expected


def test_colour_images_stay_coloured(tmp_path):
    image = np.zeros((1, 3, 40, 60), np.uint8)
    image[:, 0, :, 30:] = 200
    overlay_png(tmp_path / "a.png", image, np.zeros((1, 40, 60), np.uint8))
    whole = load(tmp_path / "a.png")
    assert whole[20, 50].tolist() == [255, 0, 0]
    assert whole[20, 10].tolist() == [0, 0, 0]


def test_large_images_are_thinned(tmp_path):
    labels = np.zeros((1, 2500, 100), np.uint8)
    overlay_png(tmp_path / "a.png", labels[:, None], labels)
    assert load(tmp_path / "a.png").shape == (834, 34, 3)


def test_captions_stand_above_the_panels(tmp_path):
    labels = two_squares()
    for name, second in (("a.png", "truth"), ("b.png", "")):
        comparison_png(
            tmp_path / name, labels[0], labels, labels, captions=("x", second, "y", "z")
        )
    one, other = (load(tmp_path / name)[:CAPTION] for name in ("a.png", "b.png"))
    differ = np.flatnonzero((one != other).any(axis=(0, 2)))
    assert differ.min() >= 60 + GAP
    assert differ.max() < 2 * 60 + GAP
    assert (other[:, 60 + GAP : 120 + GAP] == 255).all()


def test_a_mapped_image_has_the_picture_of_one_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (1, 1, 900, 2500), np.uint8)
    labels = (rng.random((1, 900, 2500)) > 0.5).astype(np.uint8)
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=image.shape)
    mapped[:] = image
    overlay_png(tmp_path / "a.png", image, labels)
    overlay_png(tmp_path / "b.png", mapped, labels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (834, 300)

import numpy as np
import pytest
from PIL import Image

from pyunet.data.augmentation import Augmentation
from pyunet.data.labels import interpret_labels
from pyunet.data.training_set import Recipe, TileSource
from pyunet.errors import DataError
from pyunet_checks.preview import FRAME, MESH, OUTLINES, SIDE, preview_png
from tests.support import datasets

IMAGES, LABELS = datasets.em(2, 96)
STILL = Augmentation(
    elastic_std=0, rotate=False, mirror=False, shift=False, grey=0,
    interpolation="linear",
)  # fmt: skip


def picture(path, images, labels, recipe):
    source = TileSource(images, labels, recipe)
    preview_png(path, images, labels, list(source.draws()), recipe)
    with Image.open(path) as image:
        return np.asarray(image)


def painted(panel, colour):
    return int((panel == colour).all(axis=-1).sum())


@pytest.fixture
def drawn(tmp_path):
    """Panels of a tile that is not varied: image, tile, outlines, weights."""
    recipe = Recipe((64, 64), (40, 40), samples=1, augmentation=STILL)
    grey = IMAGES[:, None].astype(np.float32) / 255
    whole = picture(tmp_path / "a.png", grey, interpret_labels(LABELS), recipe)
    top = whole.shape[0] - SIDE - 10
    row = whole[top : top + SIDE]
    return [row[:, start : start + SIDE] for start in range(0, 4 * SIDE, SIDE + 10)]


def test_shows_the_grid_and_the_frame_on_image_and_tile(drawn):
    for panel in drawn[:2]:
        assert painted(panel, MESH) > 4 * SIDE
        assert painted(panel, FRAME) > 2 * SIDE


def test_draws_a_straight_grid_where_nothing_is_varied(drawn):
    rows = (drawn[1] == MESH).all(axis=-1).mean(axis=1)
    # nine lines across the whole tile, which the frame may hide in part
    assert np.count_nonzero(rows > 0.9) == 9


def test_outlines_labels_on_the_image_and_on_the_framed_part(drawn):
    for panel in (drawn[0], drawn[2]):
        colours = panel.reshape(-1, 3).astype(int)
        near = np.abs(colours - OUTLINES[1].astype(int)).sum(axis=1) < 60
        assert near.mean() > 0.02
    assert painted(drawn[2], MESH) == 0


def test_shows_heavy_weights_bright(drawn):
    assert drawn[3].max() == 255
    assert drawn[3][40:].min() == 0


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("field", ["paper", "freiburg"])
def test_draws_volumes_of_any_channels(tmp_path, channels, field):
    images, labels = datasets.synthetic_stack(6, 64, rng=0)
    volume = np.stack([images / np.float32(255 + c) for c in range(channels)])[None]
    how = Augmentation(field=field, elastic_std=(0, 4, 4), elastic_spacing=20)
    recipe = Recipe((4, 48, 40), (2, 32, 24), samples=2, augmentation=how)
    whole = picture(
        tmp_path / "a.png",
        volume.astype(np.float32),
        interpret_labels(labels[None] // 255, kind="classes"),
        recipe,
    )
    assert whole.shape[1] == 4 * (SIDE + 10)
    assert painted(whole, MESH) > 1000


def test_gives_every_class_an_outline_of_its_own(tmp_path):
    images, labels = datasets.tissue(1, 64)
    recipe = Recipe((48, 48), (48, 48), samples=1, augmentation=STILL)
    whole = picture(
        tmp_path / "a.png",
        images.astype(np.float32) / 255,
        interpret_labels(labels),
        recipe,
    )
    for colour in OUTLINES[1:3]:
        assert painted(whole, colour) > 20


def test_a_name_of_another_format_is_refused(tmp_path):
    images, labels = datasets.tissue(1, 64)
    recipe = Recipe((48, 48), (48, 48), samples=1, augmentation=STILL)
    with pytest.raises(DataError, match=r"a\.jpg: expected a name in \.png"):
        preview_png(tmp_path / "a.jpg", images, interpret_labels(labels), [], recipe)
    assert list(tmp_path.iterdir()) == []

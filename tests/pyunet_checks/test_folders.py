"""Every kind of mistake, put into a clean data set, is found; clean sets are clean."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from pyunet_checks.folders import Expected, check_images
from tests.support import datasets

EM = datasets.em()
NUCLEI = datasets.nuclei()
TISSUE = datasets.tissue()


class Set:
    """Arrays of a data set and the options of the check, on which a mistake works."""

    def __init__(self, images, labels, folder):
        self.images = [np.array(image) for image in images]
        self.labels = [np.array(label) for label in labels]
        self.weights = None
        self.test = None
        self.folder = folder
        self.options = {}
        self.ending = "png"
        self.images_path = folder / "images"
        self.labels_path = folder / "labels"

    def write(self):
        """Write what is not there yet."""
        write = datasets.write_folder
        if not self.images_path.exists():
            write(self.images_path, self.images, ending=self.ending)
        if not self.labels_path.exists():
            write(self.labels_path, self.labels, ending=self.ending)
        if self.weights is not None:
            self.options["weights"] = write(
                self.folder / "weights", self.weights, ending="tif"
            )
        if self.test is not None:
            images, labels = self.test
            self.options["test"] = (
                write(self.folder / "test" / "images", images),
                write(self.folder / "test" / "labels", labels),
            )

    def check(self):
        """Kinds that are found."""
        self.write()
        found = check_images(self.images_path, self.labels_path, **self.options)
        for finding in found:
            assert "\n" not in finding.what
            assert len(str(finding).splitlines()) == 3
        return {finding.kind for finding in found}


MISTAKES = []


def mistake(kind):
    """Note a function that spoils a set, and the finding that it must give."""

    def note(spoil):
        MISTAKES.append(pytest.param(kind, spoil, id=spoil.__name__))
        return spoil

    return note


@mistake("missing")
def spoil_missing(s):
    datasets.write_folder(s.images_path, s.images)
    s.options["weights"] = Path("no-such-folder")


@mistake("empty")
def spoil_empty(s):
    s.labels_path.mkdir()


@mistake("empty")
def spoil_empty_other_files(s):
    s.images_path.mkdir()
    (s.images_path / "notes.txt").write_text("hello")


@mistake("unreadable")
def spoil_unreadable(s):
    datasets.write_folder(s.images_path, s.images)
    (s.images_path / "02.png").write_bytes(b"no picture")


@mistake("unreadable")
def spoil_unreadable_cut_off(s):
    datasets.write_folder(s.images_path, s.images)
    whole = (s.images_path / "02.png").read_bytes()
    (s.images_path / "02.png").write_bytes(whole[: len(whole) // 2])


@mistake("count")
def spoil_count(s):
    del s.labels[-1]


@mistake("stack")
def spoil_stack(s):
    s.images_path = s.folder / "images.tif"
    tifffile.imwrite(s.images_path, np.stack(s.images), photometric="minisblack")
    s.labels = s.labels[:1]


@mistake("names")
def spoil_names(s):
    datasets.write_folder(s.images_path, s.images)
    for number in range(len(s.labels)):
        s.labels_path.mkdir(exist_ok=True)
        datasets.write(s.labels_path / f"{number + 1:02}.png", s.labels[number])


@mistake("sizes")
def spoil_sizes(s):
    s.labels = [label[:-8] for label in s.labels]


@mistake("sizes")
def spoil_sizes_of_one(s):
    s.labels[3] = s.labels[3][4:-4, 4:-4]


@mistake("axes")
def spoil_axes_rows_and_columns(s):
    s.images = [image[:100] for image in s.images]
    s.labels = [label[:100].T for label in s.labels]


@mistake("axes")
def spoil_axes_slices_last(s):
    s.images_path = s.folder / "images.tif"
    stack = np.ascontiguousarray(np.moveaxis(np.stack(s.images), 0, -1))
    tifffile.imwrite(s.images_path, stack, photometric="minisblack")


@mistake("mixed-sizes")
def spoil_mixed_sizes(s):
    s.images[1], s.labels[1] = s.images[1][:100], s.labels[1][:100]


@mistake("mixed-colour")
def spoil_mixed_colour(s):
    s.images[2] = np.stack([s.images[2], s.images[2] // 2, s.images[2]])


@mistake("mixed-depth")
def spoil_mixed_depth(s):
    s.images[2] = s.images[2].astype(np.uint16) * 257


@mistake("same-as-labels")
def spoil_same_as_labels(s):
    s.images = s.labels


@mistake("too-small")
def spoil_too_small(s):
    s.options["expected"] = Expected(smallest=(388, 388))


@mistake("too-small")
def spoil_too_small_for_any_net(s):
    s.images = [image[:20, :20] for image in s.images]
    s.labels = [label[:20, :20] for label in s.labels]


@mistake("not-finite")
def spoil_not_finite(s):
    s.ending = "tif"
    s.images = [image.astype(np.float32) / 255 for image in s.images]
    s.images[1][5, 7] = np.nan


@mistake("not-finite")
def spoil_not_finite_infinite(s):
    s.ending = "tif"
    s.images = [image.astype(np.float32) / 255 for image in s.images]
    s.images[0][5, 7] = np.inf


@mistake("range")
def spoil_range(s):
    s.ending = "tif"
    s.images = [image.astype(np.float32) for image in s.images]


@mistake("range")
def spoil_range_below_0(s):
    s.ending = "tif"
    s.images = [image.astype(np.float32) / 255 - 0.5 for image in s.images]


@mistake("bits")
def spoil_bits(s):
    s.images = [image.astype(np.uint16) * 16 for image in s.images]


@mistake("bits")
def spoil_bits_8_in_16(s):
    s.images = [image.astype(np.uint16) for image in s.images]


@mistake("constant-image")
def spoil_constant_image_black(s):
    s.images[1][...] = 0


@mistake("constant-image")
def spoil_constant_image_white(s):
    s.images[1][...] = 255


@mistake("constant-image")
def spoil_constant_image_grey(s):
    s.images[4][...] = 77


@mistake("flat-image")
def spoil_flat_image(s):
    s.images[1] = np.clip(s.images[1] // 64 + 100, 0, 255).astype(np.uint8)


@mistake("inverted-image")
def spoil_inverted_image(s):
    s.images[2] = 255 - s.images[2]


@mistake("exposure")
def spoil_exposure(s):
    s.images[3] = (s.images[3].astype(float) * 0.15).astype(np.uint8)


@mistake("exposure")
def spoil_exposure_too_bright(s):
    s.images[3] = (255 - (255 - s.images[3].astype(float)) * 0.15).astype(np.uint8)


@mistake("grey-as-colour")
def spoil_grey_as_colour(s):
    s.images = [np.stack([image] * 3) for image in s.images]


@mistake("dead-channel")
def spoil_dead_channel(s):
    s.images = [np.stack([image, 0 * image, image // 2]) for image in s.images]


@mistake("duplicate")
def spoil_duplicate(s):
    s.images[4], s.labels[4] = s.images[1], s.labels[1]


@mistake("duplicate")
def spoil_duplicate_with_noise(s):
    noise = np.random.default_rng(0).normal(0, 2, s.images[1].shape)
    s.images[4] = np.clip(s.images[1] + noise, 0, 255).astype(np.uint8)
    s.labels[4] = s.labels[1]


@mistake("label-colour")
def spoil_label_colour(s):
    s.labels = [np.stack([x, 255 - x, x // 2]) for x in s.labels]


@mistake("label-fractions")
def spoil_label_fractions(s):
    s.ending = "tif"
    s.labels = [ndimage.zoom(x / 255.0, 1, order=1) * 0.999 for x in s.labels]


@mistake("label-negative")
def spoil_label_negative(s):
    s.ending = "tif"
    s.labels = [x.astype(np.int16) // 255 - 1 for x in s.labels]


@mistake("label-jpeg")
def spoil_label_jpeg(s):
    for number, label in enumerate(s.labels):
        memory = io.BytesIO()
        Image.fromarray(label).save(memory, "JPEG", quality=60)
        s.labels[number] = np.array(Image.open(memory))


@mistake("label-interpolated")
def spoil_label_interpolated(s):
    for number, label in enumerate(s.labels):
        half = Image.fromarray(label[::2, ::2])
        s.labels[number] = np.array(half.resize(label.shape[::-1], Image.BILINEAR))


@mistake("label-constant")
def spoil_label_constant(s):
    s.labels = [0 * label for label in s.labels]


@mistake("label-constant")
def spoil_label_constant_white(s):
    s.labels = [0 * label + 255 for label in s.labels]


@mistake("label-empty")
def spoil_label_empty(s):
    s.labels[2][...] = 0


@mistake("label-values")
def spoil_label_values(s):
    s.labels = [label // 255 + 1 for label in s.labels]


@mistake("label-values")
def spoil_label_values_a_gap(s):
    s.labels = [np.where(label > 0, 3, 0).astype(np.uint8) for label in s.labels]


@mistake("label-mixed")
def spoil_label_mixed(s):
    s.labels[1] //= 255


@mistake("label-stray")
def spoil_label_stray(s):
    s.labels[0][10, 10:13] = 128


@mistake("polarity")
def spoil_polarity(s):
    s.labels = [255 - label for label in s.labels]


@mistake("polarity")
def spoil_polarity_of_classes(s):
    s.labels = [1 - label // 255 for label in s.labels]


@mistake("mixed-polarity")
def spoil_mixed_polarity(s):
    s.labels[2] = 255 - s.labels[2]


@mistake("label-shifted")
def spoil_label_shifted(s):
    s.labels = [np.roll(label, (9, -5), (0, 1)) for label in s.labels]


@mistake("label-shifted")
def spoil_label_shifted_one(s):
    s.labels[1] = np.roll(s.labels[1], (0, 14), (0, 1))


@mistake("label-turned")
def spoil_label_turned_transposed(s):
    s.labels = [label.T for label in s.labels]


@mistake("label-turned")
def spoil_label_turned_flipped(s):
    s.labels = [label[::-1] for label in s.labels]


@mistake("label-turned")
def spoil_label_turned_one(s):
    s.labels[3] = np.rot90(s.labels[3])


@mistake("label-foreign")
def spoil_label_foreign(s):
    s.labels[1], s.labels[2] = s.labels[2], s.labels[1]


@mistake("label-foreign")
def spoil_label_foreign_off_by_one(s):
    s.labels = s.labels[1:] + s.labels[:1]


def weighted(s):
    """Weights as the paper's: more on the border between cells."""
    s.weights = [
        (1 + 9 * ndimage.gaussian_filter((label == 0) * 1.0, 1)).astype(np.float32)
        for label in s.labels
    ]


@mistake("weights-zero")
def spoil_weights_zero(s):
    weighted(s)
    s.weights = [0 * weight for weight in s.weights]


@mistake("weights-zero")
def spoil_weights_zero_of_one(s):
    weighted(s)
    s.weights[2][...] = 0


@mistake("weights-class-zero")
def spoil_weights_class_zero(s):
    s.weights = [(label > 0).astype(np.float32) for label in s.labels]


@mistake("weights-negative")
def spoil_weights_negative(s):
    weighted(s)
    s.weights[1] -= 2


@mistake("weights-huge")
def spoil_weights_huge(s):
    weighted(s)
    s.weights[1] *= 1e6


@mistake("weights-foreign")
def spoil_weights_foreign(s):
    weighted(s)
    s.weights = s.weights[1:] + s.weights[:1]


@mistake("weights-foreign")
def spoil_weights_foreign_transposed(s):
    weighted(s)
    s.weights = [weight.T for weight in s.weights]


@mistake("sizes")
def spoil_sizes_of_weights(s):
    weighted(s)
    s.weights = [weight[:-2] for weight in s.weights]


@mistake("count")
def spoil_count_of_weights(s):
    weighted(s)
    del s.weights[0]


@mistake("not-finite")
def spoil_not_finite_weights(s):
    weighted(s)
    s.weights[0][3, 3] = np.nan


def with_test_set(s, change):
    """A test set of two new sections and a changed one of the training set."""
    images, labels = datasets.em(2, seed=5)
    s.test = (
        [*images, change(s.images[1])],
        [*labels, change(s.labels[1])],
    )


@mistake("leak-equal")
def spoil_leak_equal(s):
    with_test_set(s, lambda array: array)


@mistake("leak-similar")
def spoil_leak_similar_noise(s):
    rng = np.random.default_rng(0)
    with_test_set(s, lambda array: array)
    noise = rng.normal(0, 8, s.images[1].shape)
    s.test[0][2] = np.clip(s.images[1] + noise, 0, 255).astype(np.uint8)


@mistake("leak-similar")
def spoil_leak_similar_contrast(s):
    with_test_set(s, lambda a: a)
    s.test[0][2] = (s.test[0][2] * 0.8 + 20).astype(np.uint8)


@mistake("leak-similar")
def spoil_leak_similar_mirrored(s):
    with_test_set(s, lambda a: a[:, ::-1])


@mistake("leak-similar")
def spoil_leak_similar_turned(s):
    with_test_set(s, np.rot90)


@mistake("leak-similar")
def spoil_leak_similar_shifted(s):
    with_test_set(s, lambda a: np.pad(a, ((0, 30), (0, 16)), mode="reflect")[30:, 16:])


@mistake("test-differs")
def spoil_test_differs(s):
    images, labels = datasets.em(3, seed=5)
    s.test = ([image.astype(np.uint16) * 257 for image in images], labels)


@mistake("bits")
def spoil_bits_of_the_test_set(s):
    images, labels = datasets.em(3, seed=5)
    s.test = ([image.astype(np.uint16) * 16 for image in images], labels)


@mistake("count")
def spoil_count_of_the_test_set(s):
    images, labels = datasets.em(3, seed=5)
    s.test = (images, labels[1:])


@pytest.mark.parametrize(("kind", "spoil"), MISTAKES)
def test_mistake_is_found_in_electron_micrographs(kind, spoil, tmp_path):
    spoilt = Set(*EM, tmp_path)
    spoil(spoilt)
    assert kind in spoilt.check()


class TestObjects:
    def spoil(self, tmp_path, change):
        s = Set(*NUCLEI, tmp_path)
        for label in s.labels:
            change(label)
        return s.check()

    def test_grown_together_are_found(self, tmp_path):
        def grow(label):
            label[...] = ndimage.label(
                ndimage.binary_dilation(label > 0, iterations=5)
            )[0]

        assert "objects-merged" in self.spoil(tmp_path, grow)

    def test_grown_together_are_found_in_masks(self, tmp_path):
        def grow(label):
            label[...] = 255 * ndimage.binary_dilation(label > 0, iterations=5)

        s = Set(NUCLEI[0], NUCLEI[1].astype(np.uint8), tmp_path)
        for label in s.labels:
            grow(label)
        assert "objects-merged" in s.check()

    def test_with_one_number_for_two_are_found(self, tmp_path):
        def reuse(label):
            label[label == 2] = 1

        assert "id-reused" in self.spoil(tmp_path, reuse)

    def test_inverted_are_found(self, tmp_path):
        s = Set(NUCLEI[0], [np.where(x > 0, 0, 255).astype("u1") for x in NUCLEI[1]],
                tmp_path)  # fmt: skip
        assert s.check() == {"polarity"}

    def test_shifted_are_found(self, tmp_path):
        s = Set(
            NUCLEI[0], [np.pad(x, ((8, 0), (0, 0)))[:-8] for x in NUCLEI[1]], tmp_path
        )
        assert "label-shifted" in s.check()

    def test_inverted_image_among_others_is_found(self, tmp_path):
        s = Set(*NUCLEI, tmp_path)
        s.images[2] = 255 - s.images[2]
        assert "inverted-image" in s.check()


class TestClasses:
    def test_missing_in_one_label_are_found(self, tmp_path):
        s = Set(*TISSUE, tmp_path)
        s.labels[1][s.labels[1] == 2] = 1
        assert "class-missing" in s.check()

    def test_beyond_the_nets_are_found(self, tmp_path):
        s = Set(*TISSUE, tmp_path)
        s.options["expected"] = Expected(classes=2)
        assert s.check() == {"label-beyond"}

    def test_with_gaps_are_found(self, tmp_path):
        s = Set(*TISSUE, tmp_path)
        for label in s.labels:
            label[label == 2] = 7
        assert s.check() == {"label-values"}

    def test_interpolated_are_found(self, tmp_path):
        s = Set(*TISSUE, tmp_path)
        s.labels = [ndimage.zoom(100 * x[::2, ::2], 2, order=1) for x in s.labels]
        assert "label-interpolated" in s.check()

    def test_of_transposed_labels_are_found(self, tmp_path):
        s = Set(*TISSUE, tmp_path)
        s.labels = [label.T for label in s.labels]
        assert "label-turned" in s.check()


CLEAN = {
    "sections": EM,
    "sections with labels 0 and 1": (EM[0], EM[1] // 255),
    "few sections": datasets.em(1, 96, 3),
    "two sections": datasets.em(2, 200, 4),
    "large sections": datasets.em(3, 300, 8),
    "sections of 16 bit": (EM[0].astype(np.uint16) * 257, EM[1]),
    "numbered nuclei": NUCLEI,
    "masks of nuclei": (NUCLEI[0], (NUCLEI[1] > 0).astype(np.uint8)),
    "masks of nuclei, white": (NUCLEI[0], (255 * (NUCLEI[1] > 0)).astype(np.uint8)),
    "dark nuclei": (255 - NUCLEI[0], NUCLEI[1]),
    "many nuclei": datasets.nuclei(8, 256, 3),
    "coloured tissue": TISSUE,
    "one of coloured tissue": datasets.tissue(1, 128, 2),
}


@pytest.mark.parametrize("name", CLEAN)
def test_clean_set_gives_no_complaint(name, tmp_path):
    assert Set(*CLEAN[name], tmp_path).check() == set()


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_clean_stack_of_neighbouring_slices_gives_no_complaint(seed, tmp_path):
    images, labels = datasets.synthetic_stack(8, 160, rng=seed)
    s = Set(images[:5], labels[:5], tmp_path)
    s.test = (images[5:], labels[5:])
    assert s.check() == set()


def test_clean_weights_give_no_complaint(tmp_path):
    s = Set(*EM, tmp_path)
    weighted(s)
    assert s.check() == set()


def test_weights_of_1_give_no_complaint(tmp_path):
    s = Set(*EM, tmp_path)
    s.weights = [np.ones(x.shape, np.float32) for x in s.labels]
    assert s.check() == set()


def test_more_than_thirty_kinds_are_tested():
    assert len(MISTAKES) > 60
    assert len({kind for kind, _ in (mistake.values for mistake in MISTAKES)}) > 40


def test_slices_of_a_volume_may_be_without_labels(tmp_path):
    s = Set(*EM, tmp_path)
    s.labels[4][...] = 0
    s.options["expected"] = Expected(volume=True)
    assert s.check() == set()


def test_polarity_that_is_told_is_not_doubted(tmp_path):
    s = Set(EM[0], 255 - EM[1], tmp_path)
    s.options["expected"] = Expected(polarity_told=True)
    assert s.check() == set()


def test_slices_can_be_chosen(tmp_path):
    s = Set(*EM, tmp_path)
    s.images[4][...] = 0
    s.options["part"] = slice(0, 4)
    assert s.check() == set()

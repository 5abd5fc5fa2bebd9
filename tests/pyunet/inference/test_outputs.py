"""What is written, read back by other means."""

import weakref

import numpy as np
import pytest
import tifffile

from pyunet.data.images import Resolution, read_stack
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference import outputs as outputs_module
from pyunet.inference.mapped import is_mapped
from pyunet.inference.outputs import Outputs, write_parts, write_tiff
from pyunet.inference.predict import Part
from tests.support.segmenting import write_stacks

SCORES = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)


def test_scores_and_labels_of_a_stack_are_imagej_stacks(tmp_path):
    out = Outputs.of(tmp_path, "cells")
    labels = write_stacks(out, iter(SCORES), SCORES.shape)
    with tifffile.TiffFile(out.scores) as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(tiff.asarray(), SCORES)
        assert tiff.imagej_metadata["pyunet_values"] == "scores"
    with tifffile.TiffFile(out.labels) as tiff:
        assert tiff.series[0].axes == "ZYX"
        assert tiff.asarray().dtype == np.uint8
        np.testing.assert_array_equal(tiff.asarray(), SCORES.argmax(axis=1))
    np.testing.assert_array_equal(labels, SCORES.argmax(axis=1))


def test_only_one_slice_is_taken_before_the_last_is_written(tmp_path):
    alive = []

    def slices():
        for scores in SCORES:
            alive.append(len(alive))
            yield scores.copy()
        raise RuntimeError("the net broke")

    with pytest.raises(RuntimeError, match="the net broke"):
        write_stacks(Outputs.of(tmp_path, "a"), slices(), (4, *SCORES.shape[1:]))
    assert alive == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_the_earlier_results(tmp_path):
    out = Outputs.of(tmp_path, "a")
    write_stacks(out, iter(SCORES), SCORES.shape)
    before = out.scores.read_bytes()

    def broken():
        yield SCORES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"a_\w+\.tif: .*No space left on device"):
        write_stacks(out, broken(), SCORES.shape)
    assert out.scores.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a_labels.tif",
        "a_scores.tif",
    ]


def test_the_pixel_size_of_the_input_is_kept(tmp_path):
    source = tmp_path / "in.tif"
    tifffile.imwrite(
        source, np.zeros((3, 5, 6), np.uint8), imagej=True, resolution=(4.0, 2.5),
        metadata={"axes": "ZYX", "unit": "micron", "spacing": 0.75},
    )  # fmt: skip
    out = Outputs.of(tmp_path, "a")
    write_stacks(
        out, iter(SCORES), SCORES.shape, resolution=read_stack(source).resolution
    )
    expected = Resolution(4.0, 2.5, 1, "micron", 0.75)
    for path in (out.labels, out.scores):
        assert read_stack(path).resolution == expected


def test_centimetres_are_kept_too(tmp_path):
    out = Outputs.of(tmp_path, "a")
    write_stacks(out, iter(SCORES), SCORES.shape, resolution=Resolution(300, 200, 3))
    with tifffile.TiffFile(out.labels) as tiff:
        tags = tiff.pages.first.tags
        assert tags["XResolution"].value == (300, 1)
        assert tags["YResolution"].value == (200, 1)
        assert tags["ResolutionUnit"].value == 3


def test_more_than_256_classes_need_16_bits(tmp_path):
    scores = np.zeros((1, 300, 1, 2), np.float32)
    scores[0, 299, 0, 1] = 1
    out = Outputs.of(tmp_path, "a")
    labels = write_stacks(out, iter(scores), scores.shape)
    assert labels.dtype == np.uint16
    assert tifffile.imread(out.labels).ravel().tolist() == [0, 299]


@pytest.mark.parametrize(
    ("values", "expected"), [("scores", [0, 1, 1]), ("probabilities", [0, 0, 1])]
)
def test_a_single_class_is_cut_where_it_is_more_likely_than_not(
    tmp_path, values, expected
):
    scores = np.array([-0.2, 0.3, 0.7], np.float32).reshape(1, 1, 1, 3)
    labels = write_stacks(
        Outputs.of(tmp_path, "a"), iter(scores), scores.shape, values=values
    )
    assert labels.ravel().tolist() == expected


def test_what_imagej_cannot_hold_becomes_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs_module, "IMAGEJ_LIMIT", 100)
    out = Outputs.of(tmp_path, "a")
    write_stacks(out, iter(SCORES), SCORES.shape, values="probabilities")
    with tifffile.TiffFile(out.scores) as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].axes == "ZCYX"
        assert tiff.shaped_metadata[0]["pyunet_values"] == "probabilities"
        np.testing.assert_array_equal(tiff.asarray(), SCORES)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "a.tif"
    with (
        pytest.raises(DataError, match=r"missing/a\.tif: cannot be written: No such"),
        atomic_path(path) as temporary,
    ):
        temporary.write_text("x")


class TestParts:
    """Rectangles of slices, in any order, are the whole stack."""

    def parts(self):
        cuts = [(slice(0, 2), slice(0, 6)), (slice(2, 5), slice(3, 6)),
                (slice(2, 5), slice(0, 3))]  # fmt: skip
        for number in range(3):
            for rows, columns in cuts:
                values = SCORES[number][:, rows, columns]
                yield Part(number, (rows, columns), values.copy())

    @pytest.mark.parametrize("limit", [100, 2**32])
    def test_files_of_parts_are_those_of_whole_slices(
        self, tmp_path, monkeypatch, limit
    ):
        monkeypatch.setattr(outputs_module, "IMAGEJ_LIMIT", limit)
        settings = {"values": "probabilities", "resolution": Resolution(300, 200, 3)}
        whole, parted = (Outputs.of(tmp_path, name) for name in ("a", "b"))
        expected = write_stacks(whole, iter(SCORES), SCORES.shape, **settings)
        found = write_parts(parted, self.parts(), SCORES.shape, **settings)
        np.testing.assert_array_equal(found, expected)
        assert parted.scores.read_bytes() == whole.scores.read_bytes()
        assert parted.labels.read_bytes() == whole.labels.read_bytes()

    def test_labels_of_large_stacks_stay_on_the_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(outputs_module, "LARGE", 10)
        found = write_parts(Outputs.of(tmp_path, "a"), self.parts(), SCORES.shape)
        assert is_mapped(found)
        np.testing.assert_array_equal(found, SCORES.argmax(axis=1))

    def test_three_parts_are_held_at_most(self, tmp_path):
        alive, gone = [], []

        def parts():
            for number, part in enumerate(self.parts()):
                alive.append(number)
                weakref.finalize(part, gone.append, number)
                yield part
                del part
                assert len(alive) - len(gone) <= 3

        write_parts(Outputs.of(tmp_path, "a"), parts(), SCORES.shape)

    def test_a_full_disk_names_the_file(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(outputs_module, "_write_all", full)
        with pytest.raises(DataError, match=r"a_\w+\.tif: .*No space left on device"):
            write_parts(Outputs.of(tmp_path, "a"), self.parts(), SCORES.shape)
        assert list(tmp_path.iterdir()) == []


def test_planes_of_any_iterator_are_one_stack(tmp_path):
    write_tiff(
        tmp_path / "a.tif", (plane for one in SCORES for plane in one), SCORES.shape,
        SCORES.dtype, "ZCYX", None, note="x",
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        np.testing.assert_array_equal(tiff.asarray(), SCORES)
        assert tiff.imagej_metadata["note"] == "x"

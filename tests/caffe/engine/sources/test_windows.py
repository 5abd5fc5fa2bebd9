"""Geometry by hand; pixels by OpenCV."""

import re

import cv2
import numpy as np
import pytest

from caffe.engine.sources import images
from caffe.engine.sources.windows import (
    Window,
    WindowBatches,
    WindowList,
    WindowOptions,
    fit,
    read_windows,
)
from caffe.errors import CheckError, FileError

TEXT = """
# 0
a.png
3
20
30
3
5 0.9 1 2 11 12
5 0.5 0 0 4 4
2 0.1 3 3 9 9
# 1
b.png 3 20 30
1
1 0.4 2 2 8 8
"""


def window(*corners):
    return Window(0, 1, *corners)


class TestReadWindows:
    def read(self, tmp_path, text, foreground=0.5, background=0.3):
        (tmp_path / "w.txt").write_text(text)
        lines = []
        found = read_windows(
            str(tmp_path / "w.txt"),
            "root/",
            foreground,
            background,
            lambda *line: lines.append(line),
        )
        return found, lines

    def test_sorts_windows_by_their_overlap(self, tmp_path):
        found, lines = self.read(tmp_path, TEXT)
        assert found.names == ["root/a.png", "root/b.png"]
        assert found.foreground == [(0, 5, 1, 2, 11, 12), (0, 5, 0, 0, 4, 4)]
        assert found.background == [(0, 0, 3, 3, 9, 9)]
        assert [text for _, text in lines] == [
            "num: 0 root/a.png 3 20 30 windows to process: 3",
            "Number of images: 2",
            "class 0 has 1 samples",
            "class 5 has 2 samples",
        ]

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "Window file is empty"),
            ("a.png", "image 1 of the list: 'a.png': expected #"),
            ("# 0 a.png 3 20 30 2 5 0.9 1 2 3 4", "image 1 .*the file ends before"),
            ("# x", "'x': expected a whole number"),
            ("# 0 a.png 3 20 30 1 5 y", "'y': expected a number"),
            ("# 0 a.png 1 20 30 0", "root/a.png: has 1 channels: expected 3"),
            (
                "# 0 a.png 3 20 30 1 0 0.9 1 2 3 4",
                "an object of label 0: expected above 0",
            ),
        ],
    )
    def test_refuses(self, tmp_path, text, match):
        with pytest.raises(FileError, match=f"w.txt: .*{match}"):
            self.read(tmp_path, text)

    def test_a_missing_file_is_named(self):
        for name, reason in (("no", "No such"), ("a\0b", "embedded null byte")):
            shown = name.replace("\0", "\\x00")
            match = re.escape(f"{shown}: Failed to open window file: {reason}")
            with pytest.raises(FileError, match=match):
                read_windows(name, "", 0.5, 0.5, lambda *line: None)


class TestFit:
    def test_a_window_alone_fills_the_crop(self):
        found = fit(window(2, 3, 11, 5), 20, 30, crop=8)
        assert found == (slice(3, 6), slice(2, 12), (8, 8), 0, 0)

    def test_padding_shows_what_is_around_the_window(self):
        # twice as wide around its middle (10, 12): 8 / (8 - 2 * 2) = 2
        found = fit(window(8, 10, 11, 13), 40, 40, crop=8, pad=2)
        assert found == (slice(8, 17), slice(6, 15), (8, 8), 0, 0)

    def test_what_is_outside_of_the_image_stays_empty(self):
        # -2..6 are 9 pixels, of which 0..6 are there: round(7 * 8 / 9) = 6, left: 2
        found = fit(window(0, 0, 3, 3), 20, 20, crop=8, pad=2)
        assert found == (slice(0, 7), slice(0, 7), (6, 6), 2, 2)

    def test_mirroring_brings_the_right_empty_side_to_the_left(self):
        # 14..22 are 9 pixels, of which 14..19 are there: round(5.33) = 5, right: 3
        found = fit(window(16, 0, 19, 3), 20, 20, crop=8, pad=2, mirror=True)
        assert found == (slice(0, 7), slice(14, 20), (6, 5), 2, 3)
        straight = fit(window(16, 0, 19, 3), 20, 20, crop=8, pad=2)
        assert straight.right == 0

    def test_the_square_around_a_window_is_as_large_as_its_longer_side(self):
        # 8 high, 2 wide, middle (11, 14): 4 to each side
        found = fit(window(10, 10, 11, 17), 40, 40, crop=9, square=True)
        assert found == (slice(10, 19), slice(7, 16), (9, 9), 0, 0)

    def test_rounding_never_reaches_out_of_the_crop(self):
        rng = np.random.default_rng(0)
        for _ in range(2000):
            height, width, crop = rng.integers(8, 40, 3)
            x1, y1 = rng.integers(0, width - 2), rng.integers(0, height - 2)
            x2, y2 = rng.integers(x1, width), rng.integers(y1, height)
            pad = rng.integers(0, crop // 2)
            found = fit(
                window(*(int(v) for v in (x1, y1, x2, y2))),
                int(height),
                int(width),
                crop=int(crop),
                pad=int(pad),
                square=bool(rng.integers(2)),
                mirror=bool(rng.integers(2)),
            )
            assert 0 <= found.rows.start < found.rows.stop <= height
            assert 0 <= found.columns.start < found.columns.stop <= width
            assert found.down + found.size[0] <= crop
            assert found.right + found.size[1] <= crop

    @pytest.mark.parametrize("corners", [(0, 0, 20, 5), (-1, 0, 5, 5), (5, 5, 4, 9)])
    def test_refuses_a_window_that_reaches_out_of_the_image(self, corners):
        match = r"window \(.*\) is not inside the image of 20 x 10 pixels"
        with pytest.raises(CheckError, match=match):
            fit(window(*corners), 10, 20, crop=8)

    @pytest.mark.parametrize("corners", [(50, 0, 60, 5), (9, 9, 3, 3)])
    def test_refuses_a_window_without_a_pixel(self, corners):
        with pytest.raises(CheckError, match="has no pixel in the image of 20 x 10"):
            fit(window(*corners), 10, 20, crop=8, pad=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        cv2.imwrite(name, rng.integers(0, 256, (20, 30, 3), np.uint8))
    return tmp_path


def batches(options=None, *, cache=False, rank=0, **changes):
    lists = WindowList(
        ["a.png", "b.png"],
        [Window(0, 5, 1, 2, 11, 12), Window(1, 6, 0, 0, 4, 4)],
        [Window(1, 0, 3, 3, 9, 9)],
    )
    given = {
        "batch": 4,
        "foreground": 1,
        "crop": 8,
        "pad": 0,
        "square": False,
        "mirror": False,
        "scale": 1.0,
        "mean": None,
    }
    found = WindowOptions(**{**given, **changes})
    return WindowBatches("w.txt", lists, found, seed=3, rank=rank, cache=cache)


def crop_of(name, rows, columns, size=(8, 8)):
    part = cv2.imread(name)[rows, columns]
    return cv2.resize(part, (size[1], size[0])).transpose(2, 0, 1).astype(np.float32)


@pytest.mark.usefixtures("folder")
class TestWindowBatches:
    def test_objects_come_last(self):
        one = batches()
        (data, labels), _ = one.read(one.first_state())
        assert labels[:3].tolist() == [0, 0, 0]
        want = crop_of("b.png", np.s_[3:10], np.s_[3:10])
        np.testing.assert_array_equal(data[0], want)
        objects = {
            5: crop_of("a.png", np.s_[2:13], np.s_[1:12]),
            6: crop_of("b.png", np.s_[0:5], np.s_[0:5]),
        }
        np.testing.assert_array_equal(data[3], objects[int(labels[3])])

    def test_mean_and_scale(self):
        mean = np.random.default_rng(2).normal(100, 5, (3, 8, 8)).astype(np.float32)
        one = batches(foreground=0, mean=mean, scale=0.5)
        (data, _), _ = one.read(one.first_state())
        want = crop_of("b.png", np.s_[3:10], np.s_[3:10])
        np.testing.assert_array_equal(data[0], (want - mean) * np.float32(0.5))

    def test_the_mean_is_that_of_the_place_and_empty_sides_are_zero(self):
        mean = np.arange(192, dtype=np.float32).reshape(3, 8, 8)
        one = batches(foreground=4, pad=2, mean=mean, mirror=True)
        lists = one._windows
        lists.foreground[:] = [Window(1, 1, 26, 0, 29, 3)]
        state, seen = one.first_state(), set()
        # 24..32 are 9 columns of which 24..29 are there: round(5.33) = 5, right: 3
        part = crop_of("b.png", np.s_[0:7], np.s_[24:30], (6, 5))
        for _ in range(4):
            (data, _), state = one.read(state)
            for values in data:
                mirror = not values[:, :, 0].any()
                seen.add(mirror)
                want = np.zeros((3, 8, 8), np.float32)
                place = np.s_[:, 2:8, 3:8] if mirror else np.s_[:, 2:8, 0:5]
                shown = part[:, :, ::-1] if mirror else part
                want[place] = shown - mean[place]
                np.testing.assert_array_equal(values, want)
        assert seen == {True, False}

    def test_a_state_gives_its_batch_whenever_it_is_read(self):
        one, other = batches(), batches(cache=True)
        (_, _), state = one.read(one.first_state())
        for left, right in zip(one.read(state)[0], other.read(state)[0], strict=True):
            np.testing.assert_array_equal(left, right)

    def test_processes_draw_windows_of_their_own(self):
        labels = []
        for rank in (0, 1):
            one = batches(rank=rank, batch=40, foreground=40)
            labels.append(one.read(one.first_state())[0][1].tolist())
        assert labels[0] != labels[1]

    def test_cached_files_are_not_read_again(self, folder):
        one = batches(cache=True)
        for file in folder.iterdir():
            file.unlink()
        one.read(one.first_state())
        with pytest.raises(FileError, match=r"b.png: Could not load it"):
            batches().read(one.first_state())

    def test_a_damaged_image_is_named(self, folder):
        (folder / "b.png").write_text("text")
        one = batches()
        with pytest.raises(FileError, match=r"b.png: is no image"):
            one.read(one.first_state())

    @pytest.mark.parametrize("kind", ["foreground", "background"])
    def test_refuses_a_list_without_windows_of_a_kind(self, kind):
        lists = WindowList(["a.png"], [window(0, 0, 1, 1)], [window(0, 0, 1, 1)])
        getattr(lists, kind).clear()
        with pytest.raises(FileError, match=f"w.txt: has no {kind} windows"):
            WindowBatches(
                "w.txt", lists, batches()._options, seed=0, rank=0, cache=False
            )


def test_the_witness_reads_what_we_read(folder):
    np.testing.assert_array_equal(images.read(folder / "a.png"), cv2.imread("a.png"))

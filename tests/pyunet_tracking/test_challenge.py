"""Files of the Cell Tracking Challenge, read by its own tools."""

import contextlib
import io

import numpy as np
import pytest
import tifffile

from pyunet.errors import DataError
from pyunet_tracking import challenge
from pyunet_tracking.challenge import Track, read_mask, read_tracks, write_mask
from pyunet_tracking.release import GreedyTracker


def moving_disks(rng, *, count=8, frames=12, side=120):
    """Disks that drift; some leave the image, some touch."""
    place = rng.uniform(0, side, (count, 2))
    speed = rng.uniform(-4, 4, (count, 2))
    y, x = np.ogrid[:side, :side]
    for time in range(frames):
        frame = np.zeros((side, side), bool)
        for cy, cx in place + time * speed:
            frame |= (y - cy) ** 2 + (x - cx) ** 2 < 81
        yield frame


def write_result(folder, masks, tracks):
    folder.mkdir()
    for index, mask in enumerate(masks):
        write_mask(folder / challenge.mask_name(index), mask)
    (folder / challenge.TRACKS).write_text(challenge.format_tracks(tracks))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("border", [0, 15])
def test_results_pass_the_challenges_validator(tmp_path, seed, border):
    validate = pytest.importorskip("ctc_metrics.scripts.validate")
    tracker = GreedyTracker(min_area_px=20, foi_border_px=border)
    rng = np.random.default_rng(seed)
    masks = [tracker.update(frame) for frame in moving_disks(rng)]
    assert masks[0].any()
    write_result(tmp_path / "01_RES", masks, tracker.tracks)
    with contextlib.redirect_stdout(io.StringIO()):
        found = validate.validate_sequence(str(tmp_path / "01_RES"), threads=1)
    assert found == {"Valid": 1}


def test_masks_are_plain_tiff_files_of_16_bits(tmp_path):
    mask = np.arange(12, dtype=np.uint16).reshape(3, 4)
    write_mask(tmp_path / "mask000.tif", mask)
    with tifffile.TiffFile(tmp_path / "mask000.tif") as file:
        page = file.pages.first
        assert (page.dtype, page.compression.name) == (np.uint16, "NONE")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask000.tif"), mask)


def test_volumes_are_stacks_of_pages(tmp_path):
    volume = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    write_mask(tmp_path / "mask000.tif", volume)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask000.tif"), volume)


def test_masks_are_found_by_their_numbers(tmp_path):
    for name in ("mask1000.tif", "mask999.tif", "binmask000.tif", "mask.tif", "t0.tif"):
        (tmp_path / name).touch()
    names = [path.name for path in challenge.mask_paths(tmp_path)]
    assert names == ["mask999.tif", "mask1000.tif"]


def test_masks_of_a_truth_are_found_too(tmp_path):
    (tmp_path / "man_track001.tif").touch()
    (tmp_path / "man_track.txt").touch()
    names = [path.name for path in challenge.mask_paths(tmp_path)]
    assert names == ["man_track001.tif"]


def test_tracks_survive_writing_and_reading(tmp_path):
    tracks = [Track(1, 0, 9, 0), Track(12, 3, 3, 1)]
    path = tmp_path / "res_track.txt"
    path.write_text(challenge.format_tracks(tracks) + "\n")
    assert read_tracks(path) == tracks


@pytest.mark.parametrize("line", ["1 2 3", "1 2 3 x", "1 2 3 4 5", "-1 2 3 4"])
def test_a_line_that_is_not_four_numbers_is_refused(tmp_path, line):
    path = tmp_path / "res_track.txt"
    path.write_text(f"1 0 0 0\n{line}\n")
    with pytest.raises(DataError, match=r"res_track.txt, line 2: .* four numbers"):
        read_tracks(path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.txt: cannot be read: No such file"):
        read_tracks(tmp_path / "none.txt")
    with pytest.raises(DataError, match="no such folder"):
        challenge.mask_paths(tmp_path / "none")
    with pytest.raises(DataError, match=r"has no mask000\.tif"):
        challenge.mask_paths(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_mask(tmp_path / "none.tif")


def test_what_is_no_table_or_mask_is_refused(tmp_path):
    binary = tmp_path / "res_track.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text of UTF-8"):
        read_tracks(binary)
    with pytest.raises(DataError, match="is no TIFF image"):
        read_mask(binary)
    floats = tmp_path / "mask000.tif"
    tifffile.imwrite(floats, np.zeros((3, 4), np.float32))
    with pytest.raises(DataError, match="values of type float32"):
        read_mask(floats)

"""Large TIFF files: mapped or unpacked, they are the same images."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from pyunet.data.images import read_stack
from pyunet.errors import DataError
from pyunet.inference import mapped
from pyunet.inference.mapped import forget, is_mapped, open_stack

LAYOUTS = [
    ((70, 90), {}),
    ((4, 70, 90), {"imagej": True, "resolution": (4.0, 2.5)}),
    ((70, 90), {"byteorder": ">"}),
    ((70, 90), {"tile": (32, 48), "compression": "zlib"}),
    ((3, 70, 90), {"rowsperstrip": 16, "compression": "zlib"}),
    (
        (3, 70, 90),
        {"tile": (32, 48), "photometric": "rgb", "planarconfig": "separate"},
    ),
    ((70, 90, 3), {"tile": (32, 48), "photometric": "rgb", "compression": "zlib"}),
    ((20, 70, 90), {"tile": (16, 32, 48), "volumetric": True, "compression": "zlib"}),
]


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 100)
    monkeypatch.setattr(mapped, "OFTEN", 3000)


@pytest.mark.parametrize(("shape", "layout"), LAYOUTS)
def test_every_layout_is_mapped_as_it_is_read(tmp_path, shape, layout):
    image = np.random.default_rng(0).integers(0, 999, shape, np.uint16)
    extra = {} if "photometric" in layout else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", image, **layout, **extra)
    read = read_stack(tmp_path / "a.tif")
    found = open_stack(tmp_path / "a.tif", tmp_path)
    assert is_mapped(found.array)
    assert (found.name, found.paths) == (read.name, read.paths)
    assert found.resolution == read.resolution
    for _ in range(2):
        np.testing.assert_array_equal(found.array, read.array)
        forget(found.array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


CUT = """
import os, sys
from pyunet.inference import mapped
mapped.LARGE = 100
path, folder = sys.argv[1:]
array = mapped.open_stack(path, folder).array
os.truncate(path, 10)
mapped.forget(array)
print(array.sum())
"""


@pytest.mark.parametrize(("shape", "layout"), LAYOUTS[2:4])
def test_a_file_that_is_cut_short_while_it_is_used_is_the_same_image(
    tmp_path, shape, layout
):
    image = np.random.default_rng(0).integers(0, 999, shape, np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, **layout)
    done = subprocess.run(
        [sys.executable, "-c", CUT, path, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == image.sum()


def test_a_file_that_is_cut_short_while_it_is_read_is_one_error(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((300, 400), np.uint16))
    real = mapped._room

    def cut(*arguments):
        os.truncate(path, 60_000)
        return real(*arguments)

    monkeypatch.setattr(mapped, "_room", cut)
    with pytest.raises(
        DataError, match=r"a\.tif: is cut short: its pixels take 240000"
    ):
        open_stack(path, tmp_path)


def test_a_folder_without_room_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((30, 40), np.uint16))
    with pytest.raises(DataError, match="out: cannot be written: No space left"):
        open_stack(path, tmp_path / "out")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_floats_are_mapped_too(tmp_path, byteorder):
    image = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image, byteorder=byteorder)
    array = open_stack(tmp_path / "a.tif", tmp_path).array
    assert is_mapped(array)
    np.testing.assert_array_equal(array[0, 0], image)


def test_other_files_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "bits.tif", np.zeros((300, 40), bool))
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((5, 5), np.uint8))
    for path in (tmp_path / "bits.tif", tmp_path / "small.tif"):
        array = open_stack(path, tmp_path).array
        assert not is_mapped(array)
        forget(array)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.tif: no such file or folder"):
        open_stack(tmp_path / "none.tif", tmp_path)


@pytest.mark.parametrize("layout", [{}, {"tile": (32, 48), "compression": "zlib"}])
def test_a_truncated_file_is_one_error_that_names_it(tmp_path, layout):
    path = tmp_path / "a.tif"
    image = np.random.default_rng(0).integers(0, 999, (300, 400), np.uint16)
    tifffile.imwrite(path, image, **layout)
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(DataError, match=r"a\.tif: is cut short"):
        open_stack(path, tmp_path)


def test_what_is_no_tiff_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(DataError, match=r"a\.tif: is no TIFF image"):
        open_stack(tmp_path / "a.tif", tmp_path)


@pytest.mark.parametrize("layout", ["", "tile=(256, 256), compression='zlib'"])
@pytest.mark.skipif(not hasattr(mapped.mmap, "MADV_DONTNEED"), reason="Linux")
def test_reading_a_large_file_takes_little_memory(tmp_path, layout):
    program = (
        "import sys, numpy as np, tifffile\n"
        "from pyunet.inference.mapped import forget, open_stack\n"
        "from pyunet.memory import peak_bytes\n"
        "path, scratch = sys.argv[1:]\n"
        "if not sys.stdin.read():\n"
        "    image = np.zeros((10_000, 9_000), np.uint8)\n"
        f"    tifffile.imwrite(path, image, {layout})\n"
        "    sys.exit()\n"
        "before = peak_bytes()\n"
        "array = open_stack(path, scratch).array\n"
        "for row in range(0, 10_000, 500):\n"
        "    array[0, 0, row:row + 500].sum()\n"
        "    forget(array)\n"
        "print(peak_bytes() - before)\n"
    )
    words = [sys.executable, "-c", program, tmp_path / "a.tif", tmp_path]
    for text in ("", "read"):
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, check=True
        )
    assert int(done.stdout) < 50 * 2**20

import io
import logging
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from pyunet.data.images import read_image_file
from pyunet.errors import DataError
from pyunet.inference.calibration import frame_count
from pyunet.inference.mapped import open_stack
from pyunet_fiji.finetuning.images import read_hyperstack
from pyunet_tracking.challenge import read_mask

PLANE = (np.arange(15 * 20).reshape(15, 20) % 251).astype(np.uint8)
WIDTH, BITS, SAMPLES, STRIPS, ROWS, COUNTS = 256, 258, 277, 273, 278, 279


def tiff(array=PLANE, **settings):
    memory = io.BytesIO()
    settings = {"metadata": None, "photometric": "minisblack", **settings}
    tifffile.imwrite(memory, array, **settings)
    return bytearray(memory.getvalue())


def entry(data, tag, page=0):
    """Place of a tag's entry in a classic little-endian file."""
    at = struct.unpack_from("<I", data, 4)[0]
    for _ in range(page):
        at = struct.unpack_from("<I", data, at + 2 + 12 * count(data, at))[0]
    tags = [at + 2 + 12 * number for number in range(count(data, at))]
    return next(place for place in tags if word(data, place) == tag)


def word(data, at):
    return struct.unpack_from("<H", data, at)[0]


def count(data, at):
    return word(data, at)


def put(data, tag, value, form="<I"):
    struct.pack_into(form, data, entry(data, tag) + 8, value)
    return data


def typed(data, tag, kind, code=None):
    struct.pack_into("<HH", data, entry(data, tag), code or tag, kind)
    return data


def circle(pages):
    """Pages of which the last one is followed by the second."""
    data = tiff(np.stack([PLANE[:3, :5]] * pages))
    starts, at = [], struct.unpack_from("<I", data, 4)[0]
    while at:
        starts.append(at)
        link = at + 2 + 12 * count(data, at)
        at = struct.unpack_from("<I", data, link)[0]
    struct.pack_into("<I", data, link, starts[1])
    return data


READERS = {
    "image": read_image_file,
    "hyperstack": read_hyperstack,
    "frames": frame_count,
    "mask": read_mask,
    "mapped": lambda path: open_stack(path, path.parent),
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("pages", [2, 3, 30])
def test_pages_that_follow_themselves_end(tmp_path, read, pages):
    path = tmp_path / "a.tif"
    path.write_bytes(circle(pages))
    with pytest.raises(DataError, match=r"a\.tif: its page at byte \d+ follows itself"):
        READERS[read](path)


DAMAGED = {
    "32771 channels": (
        put(tiff(np.stack([PLANE] * 3, -1), photometric="rgb"), SAMPLES, 32771, "<H"),
        "says that a pixel has 32771 samples, and gives the types of 3",
    ),
    "32769 channels of one type": (
        put(tiff(), SAMPLES, 32769, "<H"),
        "is cut short: its pixels reach to byte",
    ),
    "240 GiB": (
        put(put(tiff(), WIDTH, 2**31), 257, 120),
        "says that it holds 245760M, in a file of",
    ),
    "tiles without end": (
        put(put(tiff(tile=(16, 16), compression="zlib"), WIDTH, 2**25), 257, 2),
        "says that it holds|has 2 strips or tiles of a page's",
    ),
    "a strip beyond the end": (
        put(tiff(compression="zlib"), STRIPS, 10**6),
        "is cut short: its pixels reach to byte",
    ),
    "a strip of gigabytes": (
        put(tiff(compression="zlib"), COUNTS, 2**32 - 1),
        "is cut short: its pixels reach to byte",
    ),
    "strips that are not there": (
        put(tiff(compression="zlib"), ROWS, 5, "<H"),
        "has 1 strips or tiles of a page's 3",
    ),
    "an unknown compression": (put(tiff(), 259, 4242, "<H"), "4242"),
    "a page beyond the end": (
        struct.pack("<4sI", b"II*\0", 10**6),
        "is cut short: page 1 begins at byte 1000000, the file has 8",
    ),
    "a negative width": (
        typed(put(tiff(metadata={}), WIDTH, 0x7FFFFFFF), WIDTH, 6),
        "tag 256, a size, is of type 6",
    ),
    "a page within itself": (
        put(typed(put(tiff(), ROWS, 8), ROWS, 4, 330), 330, 8),
        "its page at byte 8 follows itself",
    ),
    "no pages": (struct.pack("<4sI", b"II*\0", 0), "without images"),
    "nothing": (b"", "is no TIFF image"),
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", DAMAGED)
def test_what_a_file_claims_and_has_not_is_one_line(tmp_path, capfd, read, name):
    data, text = DAMAGED[name]
    path = tmp_path / "a\n.tif"
    path.write_bytes(data)
    if read == "frames" and "page" not in name and "negative" not in name:
        return  # looks at no pixels
    with pytest.raises(DataError, match=rf"a\\n\.tif: .*({text})") as caught:
        READERS[read](path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "packing", ["lzw", "zlib", "zstd", "packbits", "jpeg", "jpeg2000", "lzma", "webp"]
)
def test_packed_images_are_read(tmp_path, packing):
    smooth = np.repeat(np.arange(64, dtype=np.uint8)[None] * 2, 64, axis=0)
    colour = np.stack([smooth, smooth[::-1], smooth.T], axis=-1)
    path = tmp_path / "a.tif"
    settings = {"compressionargs": {"lossless": True}} if packing == "webp" else {}
    tifffile.imwrite(path, colour, compression=packing, photometric="rgb", **settings)
    array, _ = read_image_file(path)
    away = np.abs(array[0].transpose(1, 2, 0).astype(int) - colour)
    assert away.max() <= (8 if packing == "jpeg" else 0)


WITHOUT_CODECS = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from pyunet.data.images import read_image_file
try:
    read_image_file(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("packing", ["lzw", "zstd", "jpeg2000"])
def test_a_codec_that_is_missing_is_one_line(tmp_path, packing):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(compression=packing))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CODECS, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"DataError {path}: ")
    assert "package" in line


def test_tifffiles_log_stays_silent(tmp_path, capfd):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff())
    logging.getLogger("tifffile").error("odd")
    read_image_file(path)
    assert capfd.readouterr() == ("", "")

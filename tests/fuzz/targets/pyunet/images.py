"""Images: TIFF by its tags, PNG by its chunks, and what else Pillow reads."""

from __future__ import annotations

import io
import logging
import random
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from pyunet.data.images import read_image_file, read_volumes
from pyunet.inference import mapped
from pyunet.inference.calibration import find_element_size, frame_count
from pyunet_fiji.finetuning.images import read_hyperstack
from pyunet_tracking.challenge import read_mask
from tests.fuzz.mutation import LARGEST, mutate_bytes
from tests.fuzz.target import Target, refusing

# what the package itself says of a file is no library's warning
logging.getLogger("pyunet").addHandler(logging.NullHandler())
_NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 9, 16, 255, 256, 1000, 4096, 32768, 32771, 65535, 65536),
    *(2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1),
)
_TYPES = (*range(14), 16, 17, 18, 255)
_TAGS = (
    *(254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 282, 283, 284),
    *(296, 305, 306, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 530, 32997),
    *(33628, 33629, 34412, 37724, 42112, 42113, 50838, 50839, 51023),
)
_COMPRESSIONS = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    32773,
    32946,
    34887,
    34925,
    34933,
    50000,
    50001,
)
_TEXTS = (
    b"ImageJ=1.54f\nimages=%d\nchannels=%d\nslices=%d\nframes=%d\nhyperstack=true\n",
    b'{"shape": [%d, %d, %d, %d]}',
    b"<OME><Image><Pixels SizeX='%d' SizeY='%d' SizeZ='%d' SizeC='%d'/></Image></OME>",
)
_SCRATCH = "scratch"


def _tiff_seeds() -> dict[str, bytes]:
    grey = (np.arange(17 * 19).reshape(17, 19) % 251).astype(np.uint8)
    colour = np.stack([grey] * 3, -1)
    stack = np.stack([grey] * 6)
    found: dict[str, bytes] = {}

    def add(name: str, array: Any, **settings: Any) -> None:
        memory = io.BytesIO()
        tifffile.imwrite(memory, array, **settings)
        found[name] = memory.getvalue()

    add("plain", grey, metadata=None)
    add("colour", colour, photometric="rgb", rowsperstrip=5)
    add("big", stack.astype(np.uint16), bigtiff=True, byteorder=">")
    for packing in ("lzw", "zlib", "packbits", "lzma", "zstd", "jpeg", "jpeg2000"):
        add(packing, colour, compression=packing, photometric="rgb", rowsperstrip=8)
    add("predictor", stack, compression="zlib", predictor=True)
    add("tiles", colour, tile=(16, 16), compression="lzw", photometric="rgb")
    add("volume_tiles", stack, tile=(2, 16, 16), volumetric=True)
    add("planes", stack[:3], photometric="rgb", planarconfig="separate")
    add("float", grey.astype(np.float32), metadata=None)
    add("half", grey.astype(np.float16), compression="zlib", predictor=True)
    add("bits", grey > 99, compression="packbits", metadata=None)
    add("palette", grey, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    add("stack", stack, metadata=None, resolution=(4, 4), resolutionunit=3)
    hyper = stack.reshape(3, 2, 17, 19).astype(np.uint16)
    add("imagej", hyper, imagej=True, metadata={"axes": "TZYX", "spacing": 2.0,
        "unit": "um"}, resolution=(2, 2))  # fmt: skip
    add("ome", hyper, ome=True, metadata={"axes": "TZYX", "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5})  # fmt: skip
    found["odd_pages_of_two_sizes"] = _two_sizes(grey)
    return found


def _two_sizes(grey: Any) -> bytes:
    memory = io.BytesIO()
    with tifffile.TiffWriter(memory) as file:
        file.write(grey, subifds=1)
        file.write(grey[::2, ::2], subfiletype=1)
        file.write(grey[:9])
    return memory.getvalue()


def mutate_tiff(sound: list[bytes], rng: random.Random) -> bytes:
    """Change entries of the pages of a TIFF file, and the links between them."""
    data = bytearray(rng.choice(sound))
    places = _entries(data)
    if not places:
        return mutate_bytes(sound, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind, at, order, big = rng.choice(places)
        if kind == "next":
            _put_next(data, at, order, big, rng, places)
        else:
            _change_entry(data, at, order, big, rng)
    return bytes(data[:LARGEST])


def _entries(data: bytearray) -> list[tuple[str, int, str, bool]]:
    """Places of entries and of links to the next page."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 16:
        return []
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    found: list[tuple[str, int, str, bool]] = []
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen and at + 8 < len(data):
        seen.add(at)
        count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
        first, size = at + (8 if big else 2), 20 if big else 12
        end = first + count * size
        if count > 100 or end + 8 > len(data):
            break
        found += [("entry", first + i * size, order, big) for i in range(count)]
        found.append(("next", end, order, big))
        at = struct.unpack_from(order + ("Q" if big else "I"), data, end)[0]
    return found


def _put_next(
    data: bytearray, at: int, order: str, big: bool, rng: random.Random, places: Any
) -> None:
    pages = [place - 2 for kind, place, *_ in places if kind == "entry"]
    value = rng.choice((*_NUMBERS, *pages[:1], rng.choice(pages), rng.randrange(2000)))
    struct.pack_into(
        order + ("Q" if big else "I"), data, at, value % 2 ** (64 if big else 32)
    )


def _change_entry(
    data: bytearray, at: int, order: str, big: bool, rng: random.Random
) -> None:
    count, where, wide = (at + 4, at + 12, "Q") if big else (at + 4, at + 8, "I")
    most = 2 ** (64 if big else 32)
    tag, kind = struct.unpack_from(f"{order}HH", data, at)
    change = rng.randrange(6)
    if change == 0:
        struct.pack_into(f"{order}H", data, at, rng.choice(_TAGS))
    elif change == 1:
        struct.pack_into(f"{order}H", data, at + 2, rng.choice(_TYPES))
    elif change == 2:
        struct.pack_into(order + wide, data, count, rng.choice(_NUMBERS) % most)
    elif tag == 270 and change < 5:
        text = rng.choice(_TEXTS) % tuple(rng.choice(_NUMBERS) for _ in range(4))
        struct.pack_into(order + wide, data, count, len(text))
        struct.pack_into(order + wide, data, where, len(data))
        data += text
    elif tag == 259:
        struct.pack_into(f"{order}H", data, where, rng.choice(_COMPRESSIONS))
    elif kind == 3 and rng.random() < 0.8:
        struct.pack_into(f"{order}H", data, where, rng.choice(_NUMBERS) % 2**16)
    else:
        struct.pack_into(order + wide, data, where, rng.choice(_NUMBERS) % most)


def _tiff(data: bytes, folder: Path) -> None:
    path = folder / "a.tif"
    path.write_bytes(data)
    with refusing():
        array, resolution = read_image_file(path)
        assert array.size * array.itemsize <= max(1 << 26, len(data) << 15)
        find_element_size(resolution, (1.0, 0.5, 0.5))
    with refusing():
        read_volumes(path)


def _labels(data: bytes, folder: Path) -> None:
    path = folder / "a.tif"
    path.write_bytes(data)
    with refusing():
        read_hyperstack(path, labels=True)
    with refusing():
        read_hyperstack(path)
    with refusing():
        frame_count(path)


def _mask(data: bytes, folder: Path) -> None:
    path = folder / "a.tif"
    path.write_bytes(data)
    with refusing():
        read_mask(path)


def _mask_seeds() -> dict[str, bytes]:
    found = _tiff_seeds()
    kinds = ("plain", "big", "predictor", "volume_tiles", "palette", "stack")
    return {name: found[name] for name in kinds}


def _mapped(data: bytes, folder: Path) -> None:
    """A file whose images are mapped, however small they are."""
    path = folder / "a.tif"
    path.write_bytes(data)
    large, mapped.LARGE = mapped.LARGE, 0
    try:
        with refusing():
            mapped.open_stack(path, folder / _SCRATCH).array.max()
    finally:
        mapped.LARGE = large


def _png_seeds() -> dict[str, bytes]:
    grey = Image.fromarray((np.arange(300).reshape(15, 20) % 251).astype(np.uint8))
    deep = Image.fromarray(np.arange(300, dtype=np.uint16).reshape(15, 20))
    modes = {mode: grey.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")}
    found = {
        name: _stored(image, "PNG") for name, image in {**modes, "deep": deep}.items()
    }
    found["odd_interlaced"] = _interlaced(found["L"])
    return found


def _interlaced(png: bytes) -> bytes:
    """Mark a picture as interlaced; then it lacks pixels."""
    head = bytearray(png)
    head[28] = 1
    head[29:33] = struct.pack(">I", zlib.crc32(bytes(head[12:29])))
    return bytes(head)


def _stored(image: Image.Image, kind: str, **settings: Any) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **settings)
    return memory.getvalue()


def mutate_png(sound: list[bytes], rng: random.Random) -> bytes:
    """Change chunks of a PNG file, and give them the right sums."""
    data = rng.choice(sound)
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not chunks:
            break
        number = rng.randrange(len(chunks))
        name, content = chunks[number]
        change = rng.randrange(6)
        if change == 0:
            chunks.insert(rng.randrange(len(chunks) + 1), chunks[number])
        elif change == 1:
            del chunks[number]
        elif change == 2:
            chunks[number] = (rng.choice(_PNG_CHUNKS), content)
        elif change == 3:
            chunks.insert(
                number,
                (rng.choice(_PNG_CHUNKS), rng.randbytes(rng.choice((0, 1, 4, 9, 26)))),
            )
        elif name == b"IHDR":
            chunks[number] = (name, _head(content, rng))
        else:
            chunks[number] = (name, mutate_bytes([content or b"\0"], rng))
    return data[:8] + b"".join(map(_chunk, chunks))


_PNG_CHUNKS = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"),
    *(b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"AbCd"),
)


def _head(content: bytes, rng: random.Random) -> bytes:
    fields = list(struct.unpack(">IIBBBBB", content[:13].ljust(13, b"\0")))
    at = rng.randrange(7)
    fields[at] = rng.choice(_NUMBERS) % (2**32 if at < 2 else 256)
    return struct.pack(">IIBBBBB", *fields)


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, content = chunk
    total = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + total


def _jpeg_seeds() -> dict[str, bytes]:
    grey = Image.fromarray((np.arange(1200).reshape(30, 40) % 251).astype(np.uint8))
    return {
        "grey": _stored(grey, "JPEG"),
        "colour": _stored(grey.convert("RGB"), "JPEG", comment=b"a comment"),
        "progressive": _stored(grey.convert("RGB"), "JPEG", progressive=True),
        "cmyk": _stored(grey.convert("CMYK"), "JPEG"),
        "exif": _stored(grey, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    }


def mutate_jpeg(sound: list[bytes], rng: random.Random) -> bytes:
    """Change what stands between the markers of a JPEG file."""
    data = bytearray(rng.choice(sound))
    markers = [
        i for i in range(len(data) - 4) if data[i] == 0xFF and data[i + 1] > 0xBF
    ]
    at = rng.choice(markers or [0])
    change = rng.randrange(4)
    if change == 0:
        data[at + 1] = rng.randrange(0xC0, 0x100)
    elif change == 1:
        struct.pack_into(">H", data, at + 2, rng.choice(_NUMBERS) % 2**16)
    elif change == 2:
        place = min(at + 4 + rng.randrange(16), len(data) - 2)
        struct.pack_into(">H", data, place, rng.choice(_NUMBERS) % 2**16)
    else:
        data[at:at] = data[at : at + rng.choice((4, 20, 200))] * rng.choice((1, 2, 40))
    return bytes(data[:LARGEST])


def _other_seeds() -> dict[str, bytes]:
    grey = Image.fromarray((np.arange(300).reshape(15, 20) % 251).astype(np.uint8))
    turned = grey.rotate(90)
    return {
        "gif": _stored(grey, "GIF"),
        "gif_moving": _stored(grey, "GIF", save_all=True, append_images=[turned]),
        "bmp": _stored(grey.convert("RGB"), "BMP"),
        "bmp_palette": _stored(grey.convert("P"), "BMP"),
        "pnm_grey": _stored(grey, "PPM"),
        "pnm_colour": _stored(grey.convert("RGB"), "PPM"),
        "pnm_bits": _stored(grey.convert("1"), "PPM"),
        "pnm_text": b"P2\n# comment\n3 2\n255\n1 2 3\n4 5 6\n",
        "pnm_float": b"Pf\n3 2\n-1.0\n" + bytes(24),
    }


def _seeds_of(kind: str) -> dict[str, bytes]:
    found = _other_seeds().items()
    return {name: data for name, data in found if name.startswith(kind)}


def _picture(data: bytes, folder: Path, ending: str) -> None:
    path = folder / f"a{ending}"
    path.write_bytes(data)
    for index in (False, True):
        with refusing():
            read_image_file(path, palette_as_index=index)


def _kind(ending: str) -> Callable[[bytes, Path], None]:
    return partial(_picture, ending=ending)


TARGETS = (
    Target("tiff", _tiff, _tiff_seeds, mutate_tiff),
    Target("tiff_labels", _labels, _tiff_seeds, mutate_tiff),
    Target("tiff_mask", _mask, _mask_seeds, mutate_tiff),
    Target("tiff_mapped", _mapped, _tiff_seeds, mutate_tiff),
    Target("png", _kind(".png"), _png_seeds, mutate_png),
    Target("jpeg", _kind(".jpg"), _jpeg_seeds, mutate_jpeg),
    Target("gif", _kind(".gif"), lambda: _seeds_of("gif")),
    Target("bmp", _kind(".bmp"), lambda: _seeds_of("bmp")),
    Target("pnm", _kind(".pnm"), lambda: _seeds_of("pnm")),
)

"""Archives of published weights, ImageJ's ROIs, packages of other programs."""

from __future__ import annotations

import io
import logging
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import roifile
import tifffile

from pyunet.zoo.archives import member_names, take_out
from pyunet_fiji.finetuning.roi_files import read_overlay
from pyunet_fiji.finetuning.rois import RoiMarks
from tests.fuzz.mutation import INTEGERS, LARGEST, WORDS, mutate_bytes
from tests.fuzz.target import Target, refusing

logging.getLogger("pyunet").addHandler(logging.NullHandler())
_WANTED = "net.caffemodel"
_SIGNS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7")
_SHAPE = (1, 2, 20, 30)


def _zip_seeds() -> dict[str, bytes]:
    found = {}
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", packing) as file:
            file.writestr("release/net.caffemodel", b"weights" * 50)
            file.writestr("release/\u00e9.txt", b"more", zipfile.ZIP_BZIP2)
        found[f"packed_{packing}"] = memory.getvalue()
    memory = io.BytesIO()
    with (
        zipfile.ZipFile(memory, "w") as file,
        file.open("net.caffemodel", "w", force_zip64=True) as member,
    ):
        member.write(b"weights")
    found["large"] = memory.getvalue()
    return found


def mutate_zip(sound: list[bytes], rng: random.Random) -> bytes:
    """Change fields of the headers of a zip file."""
    data = bytearray(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 2, 3))):
        signs = [(data.find(sign), sign) for sign in _SIGNS]
        signs += [(data.rfind(sign), sign) for sign in _SIGNS]
        at, _ = rng.choice([found for found in signs if found[0] >= 0] or [(0, b"")])
        place = at + 4 + rng.randrange(44)
        form = rng.choice("BHI")
        if place + 4 < len(data):
            value = rng.choice(INTEGERS) % 256 ** struct.calcsize(form)
            struct.pack_into(f"<{form}", data, place, value)
    return bytes(data[:LARGEST])


def _tar_seeds() -> dict[str, bytes]:
    found = {}
    for packing in ("", "gz", "bz2", "xz"):
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode=f"w:{packing}") as file:
            for name in ("release/net.caffemodel", "n" * 150, "\u00e9.txt"):
                info = tarfile.TarInfo(name)
                info.size = 300
                file.addfile(info, io.BytesIO(bytes(300)))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "release/net.caffemodel"
            file.addfile(link)
        found[f"tar_{packing}"] = memory.getvalue()
    return found


_FIELDS = ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100),
           (257, 8), (345, 155), (386, 12), (482, 1), (483, 12))  # fmt: skip


def mutate_tar(sound: list[bytes], rng: random.Random) -> bytes:
    """Change fields of a tar file's headers, and give them the right sums."""
    plain = [data for data in sound if data[257:262] == b"ustar"]
    if not plain or rng.random() < 0.2:
        return mutate_bytes(sound, rng)
    data = bytearray(rng.choice(plain))
    heads = [
        at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"
    ]
    for at in rng.sample(heads, min(len(heads), rng.choice((1, 1, 2)))):
        start, length = rng.choice(_FIELDS)
        value = rng.choice(
            (
                b"%o" % rng.choice((0, 1, 512, 2**31, 8**11 - 1)),
                b"\x80" + rng.randbytes(11),
                b"\xff" * 12,
                rng.choice(WORDS).encode(errors="replace"),
                rng.choice((b"L", b"x", b"g", b"S", b"K", b"1", b"5", b"7")),
            )
        )
        field = value[:length].ljust(length, b"\0")
        data[at + start : at + start + length] = field
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data[:LARGEST])


def _archive(data: bytes, folder: Path) -> None:
    path = folder / "archive"
    path.write_bytes(data)
    with refusing():
        member_names(path)
    with refusing():
        take_out(path, {_WANTED: folder / "out"})


def _rois() -> list[bytes]:
    corners = np.array([[1, 1], [9, 1], [9, 9.5], [2, 12]], np.float32)
    plain = roifile.ImagejRoi.frompoints(corners, name="cell#3-1")
    points = roifile.ImagejRoi.frompoints(corners, name="a", position=1)
    points.roitype = roifile.ROI_TYPE.POINT
    oval = roifile.ImagejRoi.frompoints(corners, name="ignore")
    oval.roitype = roifile.ROI_TYPE.OVAL
    return [one.tobytes() for one in (plain, points, oval)]


def _roi_seeds() -> dict[str, bytes]:
    return {str(number): roi for number, roi in enumerate(_rois())}


def mutate_roi(sound: list[bytes], rng: random.Random) -> bytes:
    """Change fields of the head of a ROI."""
    data = bytearray(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 2, 3))):
        form = rng.choice("bhif")
        place = rng.randrange(4, max(5, min(len(data), 132) - 4))
        if place + 4 >= len(data):
            continue
        if form == "f":
            value = rng.choice((float("nan"), float("inf"), 1e30, -1e9, 0.5))
            struct.pack_into(">f", data, place, value)
        else:
            value = rng.choice(INTEGERS) % 256 ** struct.calcsize(form)
            struct.pack_into(f">{form.upper()}", data, place, value)
    return bytes(data)


def _draw(path: Path) -> None:
    with refusing():
        overlay = read_overlay(path)
        if overlay is None or overlay.picture is not None:
            return
        marks = RoiMarks(overlay.rois, path.name)
        names = ("background", *marks.class_names)
        marks.drawn(_SHAPE, 2, names if len(names) > 1 else (*names, ""))


def _roi(data: bytes, folder: Path) -> None:
    path = folder / "a.roi"
    path.write_bytes(data)
    _draw(path)


def _roi_zip(data: bytes, folder: Path) -> None:
    path = folder / "a.zip"
    path.write_bytes(data)
    _draw(path)


def _roi_zip_seeds() -> dict[str, bytes]:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        for number, roi in enumerate(_rois()):
            file.writestr(f"{number}.roi", roi)
    return {"rois": memory.getvalue()}


def _mutate_roi_zip(sound: list[bytes], rng: random.Random) -> bytes:
    """Change the headers, or the ROIs in a sound zip file."""
    if rng.random() < 0.5:
        return mutate_zip(sound, rng)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for number in range(rng.randrange(4)):
            file.writestr(f"{number}.roi", mutate_roi(_rois(), rng))
    return memory.getvalue()


def _overlay_seeds() -> dict[str, bytes]:
    memory = io.BytesIO()
    plane = np.zeros(_SHAPE[-2:], np.uint8)
    tifffile.imwrite(memory, plane, imagej=True, metadata={"Overlays": _rois()})
    return {"overlay": memory.getvalue()}


def _overlay(data: bytes, folder: Path) -> None:
    path = folder / "a.tif"
    path.write_bytes(data)
    _draw(path)


TARGETS = (
    Target("zip", _archive, _zip_seeds, mutate_zip),
    Target("tar", _archive, _tar_seeds, mutate_tar),
    Target("roi", _roi, _roi_seeds, mutate_roi),
    Target("roi_zip", _roi_zip, _roi_zip_seeds, _mutate_roi_zip),
    Target("roi_overlay", _overlay, _overlay_seeds),
)

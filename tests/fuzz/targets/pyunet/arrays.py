"""Files of published data sets: numpy, MATLAB, NIfTI, MetaImage, HDF5, Aperio's XML."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from scipy import io as matlab

from pyunet.data.ome import ome_pixel_size
from pyunet_reproduce.formats import read_array
from tests.fuzz.mutation import INTEGERS, LARGEST, mutate_bytes, mutate_lines
from tests.fuzz.target import Target, refusing
from tests.fuzz.targets.pyunet.weights import hdf5_of, mutate_hdf5

PLANE = (np.arange(300).reshape(15, 20) % 251).astype(np.uint8)
VOLUME = np.stack([PLANE, PLANE, PLANE]).astype(np.int16)
_SHAPES = (
    "()",
    "(1099511627776,)",
    "(-1, 2)",
    "(0,)",
    "(300,)",
    "(15, 20, 1)",
    "(3,) * 9",
)
_KINDS = (
    "|O",
    "<f4",
    ">i8",
    "|S4",
    "|V2",
    "<U3",
    "|b1",
    "[('a', '<f4')]",
    "x",
    "<m8[s]",
)


def _read(data: bytes, folder: Path, ending: str) -> None:
    path = folder / f"a{ending}"
    path.write_bytes(data)
    for indices in (False, True):
        with refusing():
            read_array(path, indices=indices)


def _kind(ending: str) -> Callable[[bytes, Path], None]:
    return partial(_read, ending=ending)


def _npy_seeds() -> dict[str, bytes]:
    found = {}
    for name, array in {"plane": PLANE, "volume": VOLUME.T}.items():
        memory = io.BytesIO()
        np.save(memory, array)
        found[name] = memory.getvalue()
    return found


def mutate_npy(sound: list[bytes], rng: random.Random) -> bytes:
    """Give an array of numpy another head."""
    data = rng.choice(sound)
    head = (
        f"{{'descr': {rng.choice(_KINDS)!r}, 'fortran_order': {rng.random() < 0.5}, "
        f"'shape': {rng.choice(_SHAPES)}, }}"
    ).encode()
    version = rng.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\xff\0"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(head))
    return b"\x93NUMPY" + version + length + head + data[128:]


def _npz_seeds() -> dict[str, bytes]:
    memory = io.BytesIO()
    np.savez_compressed(memory, only=PLANE)
    return {"npz": memory.getvalue()}


def _mutate_npz(sound: list[bytes], rng: random.Random) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(rng.choice((1, 1, 1, 0, 2))):
            name = rng.choice((f"{number}.npy", f"{number}", f"{number}.npy.npy"))
            file.writestr(name, mutate_npy(list(_npy_seeds().values()), rng))
    return (
        mutate_bytes([memory.getvalue()], rng)
        if rng.random() < 0.3
        else memory.getvalue()
    )


def _mat_seeds() -> dict[str, bytes]:
    found = {}
    for name, packed, version in (
        ("plain", False, "5"),
        ("packed", True, "5"),
        ("old", False, "4"),
    ):
        memory = io.BytesIO()
        matlab.savemat(
            memory, {"inst_map": PLANE}, do_compression=packed, format=version
        )
        found[name] = memory.getvalue()
    return found


def mutate_words(sound: list[bytes], rng: random.Random) -> bytes:
    """Change whole numbers of 32 bits of a binary head."""
    data = bytearray(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 2, 3))):
        most = max(4, min(len(data) - 8, 360))
        at = rng.randrange(0, most, rng.choice((2, 4)))
        form = rng.choice("HIf")
        if form == "f":
            value = rng.choice((float("nan"), float("inf"), -1.0, 1e30))
            struct.pack_into("<f", data, at, value)
        else:
            size = struct.calcsize(form)
            struct.pack_into(f"<{form}", data, at, rng.choice(INTEGERS) % 256**size)
    return bytes(data[:LARGEST])


def _nifti_seeds() -> dict[str, bytes]:
    image = nibabel.Nifti1Image(VOLUME.T.copy(), np.eye(4))
    return {"nifti": image.to_bytes()}


def _packed(data: bytes, folder: Path) -> None:
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress(data, 1))
    with refusing():
        read_array(path)


def _meta_seeds() -> dict[str, bytes]:
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = False\n"
        "CompressedData = {}\nDimSize = 20 15 3\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    return {
        "plain": head.format(False).encode() + VOLUME.tobytes(),
        "packed": head.format(True).encode() + zlib.compress(VOLUME.tobytes()),
    }


def mutate_meta(sound: list[bytes], rng: random.Random) -> bytes:
    """Change lines of the head of a MetaImage."""
    data = rng.choice(sound)
    at = data.find(b"LOCAL\n")
    return mutate_lines([data[:at]], rng) + data[at:]


def _fill(file: Any) -> None:
    file.create_dataset("only", data=VOLUME, compression="gzip")


_XML = b"""<?xml version="1.0"?><Annotations><Annotation><Regions>
<Region Id="1"><Vertices>
<Vertex X="1.5" Y="2" />
<Vertex X="9" Y="2.25" />
<Vertex X="7" Y="12" />
</Vertices></Region></Regions></Annotation></Annotations>
"""
_NUMBERS = (b"nan", b"inf", b"-5", b"1e12", b"65000", b"1e400", b"", b"x", b"9" * 5000)


def mutate_xml(sound: list[bytes], rng: random.Random) -> bytes:
    """Change numbers in quotes, and lines."""
    data = rng.choice(sound)
    if rng.random() < 0.3:
        return mutate_lines(sound, rng)
    parts = data.split(b'"')
    if len(parts) > 2:
        parts[rng.randrange(1, len(parts), 2)] = rng.choice(_NUMBERS)
    return b'"'.join(parts)


_OME = b"""<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels
PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2" PhysicalSizeXUnit="nm"
/></Image></OME>
"""


def _ome(data: bytes, folder: Path) -> None:
    ome_pixel_size(data.decode(errors="replace"))


def _gz(data: bytes, folder: Path) -> None:
    path = folder / "a.pgm.gz"
    path.write_bytes(data)
    with refusing():
        read_array(path)


def _gz_seeds() -> dict[str, bytes]:
    memory = io.BytesIO()
    Image.fromarray(PLANE).save(memory, "PPM")
    return {"pgm": gzip.compress(memory.getvalue())}


TARGETS = (
    Target("npy", _kind(".npy"), _npy_seeds, mutate_npy),
    Target("npz", _kind(".npz"), _npz_seeds, _mutate_npz),
    Target("mat", _kind(".mat"), _mat_seeds, mutate_words, structured=0.5),
    Target("nifti", _kind(".nii"), _nifti_seeds, mutate_words),
    Target("nifti_gz", _packed, _nifti_seeds, mutate_words),
    Target("metaimage", _kind(".mha"), _meta_seeds, mutate_meta),
    Target("array_hdf5", _kind(".h5"), lambda: {"h5": hdf5_of(_fill)}, mutate_hdf5),
    Target("aperio", _kind(".xml"), lambda: {"xml": _XML}, mutate_xml),
    Target("ome_xml", _ome, lambda: {"ome": _OME}, mutate_xml),
    Target("gzipped", _gz, _gz_seeds),
)

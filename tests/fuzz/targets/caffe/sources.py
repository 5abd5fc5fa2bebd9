"""What data layers read: databases, lists of images, windows, means, images."""

from __future__ import annotations

import io
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

import caffe
from caffe.engine.sources import images
from caffe.engine.sources.databases import new_database, parse_datum
from caffe.engine.transformer import read_mean
from caffe.proto import caffe_pb2
from caffe.proto.blobs import to_proto
from caffe.proto.text import parse_text
from tests.fuzz.mutation import WORDS, mutate_bytes, mutate_lines, mutate_message
from tests.fuzz.target import Target, refusing
from tests.fuzz.targets.caffe.messages import in_binary
from tests.fuzz.targets.pyunet.images import mutate_tiff

_LIST = """layer { name: "d" type: "ImageData" top: "x" top: "y" image_data_param {
  source: "list.txt" batch_size: 2 new_height: 3 new_width: 4 } }"""
_WINDOWS = """layer { name: "d" type: "WindowData" top: "x" top: "y"
  transform_param { crop_size: 6 mirror: true mean_value: 3 }
  window_data_param { source: "windows.txt" batch_size: 4 context_pad: 1 } }"""
_DATABASE = """layer { name: "d" type: "Data" top: "x" top: "y"
  data_param { source: "db" backend: %s batch_size: 2 } }"""
_SEPARATOR = b"\xff--the-next-file--\xff"


def _forward(text: str) -> None:
    """Read two batches through a net of one layer."""
    with refusing():
        net = caffe.Net(parse_text(text, caffe_pb2.NetParameter()), caffe.TRAIN)
        net.forward()
        net.forward()


def _image_list(data: bytes, folder: Path) -> None:
    _put_images()
    Path("list.txt").write_bytes(data)
    _forward(_LIST)


def _window_file(data: bytes, folder: Path) -> None:
    _put_images()
    Path("windows.txt").write_bytes(data)
    _forward(_WINDOWS)


def _put_images() -> None:
    if not Path("a.png").exists():
        Path("a.png").write_bytes(image("PNG", "RGB"))
        Path("a b.png").write_bytes(image("PNG", "L"))


def _image(data: bytes, folder: Path) -> None:
    """As many channels as it has, as data layers decode it; colour; grey."""
    path = folder / "input"
    path.write_bytes(data)
    for color in (None, True, False):
        with refusing():
            images.read(path, color)


def _load_image(ending: str) -> Callable[[bytes, Path], None]:
    """Give a target: as scripts for pycaffe read images."""

    def run(data: bytes, folder: Path) -> None:
        path = folder / f"input{ending}"
        path.write_bytes(data)
        for color in (True, False):
            with refusing():
                caffe.io.load_image(str(path), color)

    return run


def _mean(data: bytes, folder: Path) -> None:
    path = folder / "mean.binaryproto"
    path.write_bytes(data)
    with refusing():
        read_mean(str(path))


def _lmdb(data: bytes, folder: Path) -> None:
    shutil.rmtree("db", ignore_errors=True)
    Path("db").mkdir()
    Path("db/data.mdb").write_bytes(data)
    _forward(_DATABASE % "LMDB")


def _leveldb(data: bytes, folder: Path) -> None:
    shutil.rmtree("db", ignore_errors=True)
    Path("db").mkdir()
    for part in data.split(_SEPARATOR):
        name, _, content = part.partition(b"\n")
        place = Path("db", Path(name.decode(errors="replace").replace("\0", "0")).name)
        with suppress(OSError):  # a name that can't be
            place.write_bytes(content)
    _forward(_DATABASE % "LEVELDB")


def image(kind: str, mode: str) -> bytes:
    """Bytes of an image file of 7 by 9 pixels."""
    file = io.BytesIO()
    pixels = np.arange(7 * 9 * 4, dtype=np.uint8).reshape(7, 9, 4)
    made = Image.fromarray(pixels, "RGBA").convert(mode)
    made.save(file, kind)
    return file.getvalue()


def _images() -> dict[str, bytes]:
    wanted = [
        *(("PNG", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("TIFF", mode) for mode in ("L", "RGB", "RGBA", "1")),
        *(("BMP", "RGB"), ("GIF", "P"), ("PPM", "RGB"), ("WEBP", "RGB")),
    ]
    # data layers want 8 bits where they are not told to make colour or grey of it
    return {
        f"{'odd-' if mode in ('I;16',) else ''}{kind}-{mode.strip(';16')}-{i}": image(
            kind, mode
        )
        for i, (kind, mode) in enumerate(wanted)
    }


def _tiffs() -> dict[str, bytes]:
    return {mode: image("TIFF", mode) for mode in ("L", "RGB", "RGBA")}


def _lists() -> dict[str, bytes]:
    return {
        "two": b"a.png 0\na b.png 7\n",
        "windows": b"\xef\xbb\xbfa.png 1 \r\na b.png -3\r\n\r\na.png 2",
    }


def _windows() -> dict[str, bytes]:
    one = "# 0\na.png\n3\n7\n9\n3\n1 0.9 0 0 5 5\n2 0.7 2 1 8 6\n0 0.1 0 0 3 3\n"
    two = "# 1\na.png 3 7 9 2 3 .6 1 1 4 4 0 0 1 1 2 2\n"
    return {"one": one.encode(), "two": (one + two).encode()}


def _datums(count: int = 5) -> list[Any]:
    rng = np.random.default_rng(3)
    made = []
    for label in range(count):
        raw = rng.integers(0, 255, 3 * 4 * 5, np.uint8).tobytes()
        made.append(
            caffe_pb2.Datum(channels=3, height=4, width=5, data=raw, label=label)
        )
    return made


def _kept(kind: str, records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Files of a database, in one row of bytes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "db")
        if kind == "lmdb":
            with (
                lmdb.open(str(place), map_size=1 << 24, sync=False) as environment,
                environment.begin(write=True) as transaction,
            ):
                for key, value in records:
                    transaction.put(key, value)
            return (place / "data.mdb").read_bytes()
        with new_database(kind, str(place), lambda *_: None) as writer:
            writer.write(list(records))
        return _SEPARATOR.join(
            path.name.encode() + b"\n" + path.read_bytes()
            for path in sorted(place.iterdir())
            if path.name != "LOG"
        )


def _databases(kind: str) -> Callable[[], dict[str, bytes]]:
    def make() -> dict[str, bytes]:
        plain = [datum.SerializeToString() for datum in _datums()]
        floats = caffe_pb2.Datum(channels=1, height=1, width=2, float_data=[0.5, 2])
        coded = caffe_pb2.Datum(encoded=True, data=image("PNG", "RGB"), label=1)
        several = {
            "plain": plain,
            "floats": [floats.SerializeToString()] * 2,
            "coded": [coded.SerializeToString()] * 3,
        }
        return {
            name: _kept(kind, ((b"%05d" % i, raw) for i, raw in enumerate(raws)))
            for name, raws in several.items()
        }

    return make


def _records(kind: str) -> Callable[[list[bytes], random.Random], bytes]:
    """Give a mutation: a sound database of odd records."""

    def mutate(sound: list[bytes], rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return mutate_bytes(sound, rng)
        records: dict[bytes, bytes] = {}
        for number, datum in enumerate(_datums(rng.choice((1, 2, 5)))):
            if rng.random() < 0.5:
                mutate_message(datum, rng)
            raw = datum.SerializeToString()
            if rng.random() < 0.1:
                raw = mutate_bytes([raw], rng)
            key = b"%05d" % number
            if rng.random() < 0.3:
                key = rng.choice(WORDS).encode(errors="replace")[:500] or b"?"
            records[key] = raw
        return _kept(kind, sorted(records.items()))

    return mutate


def _means() -> dict[str, bytes]:
    values = np.linspace(0, 1, 3 * 4 * 5, dtype=np.float32).reshape(1, 3, 4, 5)
    old = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=2, data=[1, 2, 3, 4])
    made = {"new": to_proto(values), "rows": to_proto(values[0]), "old": old}
    return {name: blob.SerializeToString() for name, blob in made.items()}


def _vector(data: bytes, folder: Path) -> None:
    with refusing():
        caffe.io.blobprotovector_str_to_arraylist(data)


def _vectors() -> dict[str, bytes]:
    arrays = [np.ones((2, 3)), np.zeros(()), np.arange(3)]
    return {"three": caffe.io.arraylist_to_blobprotovecor_str(arrays)}


def _datum(data: bytes, folder: Path) -> None:
    with refusing():
        caffe.io.datum_to_array(parse_datum(data, "here"))


def _leveldb_is_here() -> bool:
    try:
        import plyvel  # noqa: F401
    except ImportError:
        return False
    return True


TARGETS = (
    Target("image_list", _image_list, _lists, mutate_lines),
    Target("window_file", _window_file, _windows, mutate_lines),
    Target("image", _image, _images),
    Target("load_image", _load_image(".png"), _images),
    Target("load_tiff", _load_image(".tif"), _tiffs, mutate_tiff),
    Target("mean_file", _mean, _means, in_binary(caffe_pb2.BlobProto)),
    Target("blob_vector", _vector, _vectors, in_binary(caffe_pb2.BlobProtoVector)),
    Target(
        "datum",
        _datum,
        lambda: {"plain": _datums(1)[0].SerializeToString()},
        in_binary(caffe_pb2.Datum),
    ),
    Target("lmdb", _lmdb, _databases("lmdb"), _records("lmdb")),
    *(
        [Target("leveldb", _leveldb, _databases("leveldb"), _records("leveldb"))]
        if _leveldb_is_here()
        else []
    ),
)

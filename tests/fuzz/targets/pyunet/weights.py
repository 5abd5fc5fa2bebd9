"""Weights and models: safetensors, .pt, model definitions, what the list keeps."""

from __future__ import annotations

import io
import json
import logging
import random
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors.numpy
import torch

from caffe.export import read_safetensors, read_state_dict
from caffe.proto import caffe_pb2
from pyunet.data.hdf5 import read_training_set
from pyunet.zoo.half import half_precision
from pyunet.zoo.renaming import rename_layers
from pyunet_checks.hdf5 import check_training_set
from pyunet_fiji.backend.files import read_images
from pyunet_fiji.modeldef import (
    ModelDefinition,
    read_ident,
    read_modeldef,
    write_modeldef,
)
from pyunet_fiji.modeldef.checks import check_modeldef
from pyunet_fiji.modeldef.definition import LossWeights
from pyunet_fiji.modeldef.weights import stored_shapes
from pyunet_reproduce.report.training_files import describe_training_set
from tests.fuzz.mutation import FLOATS, INTEGERS, LARGEST, WORDS, mutate_bytes
from tests.fuzz.target import Target, refusing

logging.getLogger("pyunet").addHandler(logging.NullHandler())
_TYPES = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "X", "", "C64")
_NET = """
name: 'tiny' layer { name: 'data' type: 'HDF5Data' top: 'data' include { phase: TRAIN }
  hdf5_data_param { source: 'train.txt' batch_size: 1 } }
layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'score'
  convolution_param { num_output: 2 kernel_size: 3 } }
"""


def _safetensors(data: bytes, folder: Path) -> None:
    path = folder / "a.safetensors"
    path.write_bytes(data)
    with refusing():
        read_safetensors(path)


def _safetensors_seeds() -> dict[str, bytes]:
    arrays = {"conv.weight": np.ones((3, 2), np.float32), "b": np.zeros(3, np.float16)}
    return {"net": safetensors.numpy.save(arrays, {"prototxt": "name: 'a'"})}


def mutate_safetensors(sound: list[bytes], rng: random.Random) -> bytes:
    """Change values of the head of a safetensors file."""
    data = rng.choice(sound)
    (length,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    try:
        head = json.loads(data[8 : 8 + length])
        entries = [one for one in head.values() if isinstance(one, dict)]
        entry = rng.choice(entries)
    except (ValueError, AttributeError, IndexError, RecursionError):
        return mutate_bytes(sound, rng)
    key = rng.choice(["dtype", "shape", "data_offsets", "prototxt", "more"])
    entry[key] = rng.choice(
        [
            rng.choice(_TYPES),
            rng.choice(WORDS),
            [rng.choice(INTEGERS) for _ in range(rng.randrange(4))],
            rng.choice(INTEGERS),
            None,
        ]
    )
    if rng.random() < 0.2:
        head[rng.choice(WORDS)] = dict(entry)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _pt(data: bytes, folder: Path) -> None:
    path = folder / "a.pt"
    path.write_bytes(data)
    with refusing():
        read_state_dict(path)


def _pt_seeds() -> dict[str, bytes]:
    plain = {"conv.weight": torch.ones(3, 2), "bias": torch.zeros(3).half()}
    states: dict[str, Any] = {
        "plain": plain,
        "checkpoint": {
            "epoch": 3,
            "state_dict": {f"module.{k}": v for k, v in plain.items()},
        },
        "odd_meta": {"w": torch.empty(2, device="meta")},
        "odd_sparse": {"w": torch.eye(3).to_sparse()},
        "odd_wide": {"w": torch.zeros(1).expand(1 << 30)},
    }
    found = {name: _saved(state) for name, state in states.items()}
    found["old"] = _saved(plain, _use_new_zipfile_serialization=False)
    return found


def _saved(state: Any, **settings: Any) -> bytes:
    memory = io.BytesIO()
    torch.save(state, memory, **settings)
    return memory.getvalue()


def mutate_pt(sound: list[bytes], rng: random.Random) -> bytes:
    """Change members of a .pt file, above all its pickle."""
    data = rng.choice(sound)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError):
        return mutate_bytes(sound, rng)
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = rng.choice(pickles if pickles and rng.random() < 0.8 else sorted(members))
    if rng.random() < 0.1:
        del members[name]
    else:
        members[name] = mutate_bytes([members[name] or b"\0"], rng)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for each, content in members.items():
            file.writestr(each, content)
    return memory.getvalue()[:LARGEST]


def _modeldef(data: bytes, folder: Path) -> None:
    path = folder / "a.modeldef.h5"
    path.write_bytes(data)
    with refusing():
        read_modeldef(path)
    with refusing():
        read_ident(path)
    with refusing():
        check_modeldef(path)


def _modeldef_seeds() -> dict[str, bytes]:
    definition = ModelDefinition(
        ident="tiny", model_prototxt=_NET, input_blob_name="data",
        element_size_um=(0.5, 0.5), downsample_factor=(4, 4), pad_input=(12, 12),
        pad_output=(-28, -28), solver_prototxt="base_lr: 0.1", name="a",
        description="b", class_names=("Background", "cell"), memory_map=((100, 20),),
        loss_weights=LossWeights(), command_line=("caffe", "train"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.modeldef.h5")
        write_modeldef(path, definition)
        return {"tiny": path.read_bytes()}


def mutate_hdf5(sound: list[bytes], rng: random.Random) -> bytes:
    """Put odd values in the place of datasets of an HDF5 file."""
    memory = io.BytesIO(rng.choice(sound))
    try:
        with h5py.File(memory, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            for name in rng.sample(names, min(len(names), rng.choice((1, 1, 2)))):
                if name in file:
                    _change(file, name, rng)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return mutate_bytes(sound, rng)
    return memory.getvalue()[:LARGEST]


def _change(file: Any, name: str, rng: random.Random) -> None:
    old = file[name][()] if isinstance(file[name], h5py.Dataset) else None
    del file[name]
    change = rng.randrange(9)
    if change == 0:
        file.create_group(name)
    elif change == 1:
        file[name] = h5py.SoftLink(rng.choice((f"/{name}", "/gone", "/")))
    elif change == 2:
        file.create_dataset(name, shape=(1 << 40, 2), chunks=(1, 2), dtype="f4")
    elif change == 3:
        file[name] = rng.choice(WORDS).encode(errors="replace") or b" "
    elif change == 4:
        file[name] = np.array([rng.choice(FLOATS) for _ in range(rng.randrange(4))])
    elif change == 5:
        file[name] = np.array(
            [rng.choice(INTEGERS[:-1]) for _ in range(rng.randrange(4))]
        )
    elif change == 6:
        file[name] = np.zeros(
            (2, rng.randrange(3), 2), rng.choice(("i1", "c8", "f8", "S3"))
        )
    elif change == 7:
        file[name] = h5py.Empty(rng.choice(("f4", "S5", "i8")))
    elif old is not None:
        file[name] = np.asarray(old)[..., None]


def _weights(data: bytes, folder: Path) -> None:
    path = folder / "a.caffemodel.h5"
    path.write_bytes(data)
    with refusing():
        stored_shapes(path)
    with refusing():
        half_precision(path, folder / "half.caffemodel.h5")


def _weight_seeds() -> dict[str, bytes]:
    return {"binary": _net().SerializeToString(), "hdf5": hdf5_of(_fill_weights)}


def _net() -> Any:
    net = caffe_pb2.NetParameter()
    for name in ("conv", "a/b"):
        layer = net.layer.add(name=name, type="Convolution")
        layer.blobs.add(data=[0.5] * 6, shape={"dim": [3, 2]})
    return net


def hdf5_of(fill: Any) -> bytes:
    """Bytes of the HDF5 file that `fill` writes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()


def _fill_weights(file: Any) -> None:
    file["data/conv/0"] = np.ones((3, 2), "f4")
    file["data/conv/1"] = np.ones(3, "f4")
    file["data/a/b/0"] = np.ones((2, 2), "f8")


def _mutate_weights(sound: list[bytes], rng: random.Random) -> bytes:
    hdf5 = [data for data in sound if data[:4] == b"\x89HDF"]
    return (mutate_hdf5 if rng.random() < 0.6 else mutate_bytes)(hdf5 or sound, rng)


def _renamed(data: bytes, folder: Path) -> None:
    path = folder / "a.caffemodel"
    path.write_bytes(data)
    with refusing():
        rename_layers(path, {"conv": "conv1"})


def _training_set(data: bytes, folder: Path) -> None:
    path, source = folder / "tiles.h5", folder / "list.txt"
    path.write_bytes(data)
    source.write_text(f"{path}\n")
    with refusing():
        for _ in read_training_set(source):
            pass
    with refusing():
        describe_training_set(source)
    with refusing():
        check_training_set(source)


def _fill_tiles(file: Any) -> None:
    file.create_dataset("data", data=np.ones((2, 1, 8, 8), "f4"), compression="gzip")
    file["label"] = np.ones((2, 1, 4, 4), "u1")
    file["weights"] = np.ones((2, 1, 4, 4), "f2")
    file.attrs["arguments"] = json.dumps({"seed": 1})


def _plugin_images(data: bytes, folder: Path) -> None:
    path = folder / "in.h5"
    path.write_bytes(data)
    model = ModelDefinition("a", "", "x", (1.0, 1.0), (1, 1), (0, 0), (0, 0))
    with refusing():
        read_images(str(path), model, 0)


def _fill_images(file: Any) -> None:
    file.create_dataset("data", data=np.ones((2, 1, 8, 8), "u2"), compression="gzip")


TARGETS = (
    Target(
        "plugin_images",
        _plugin_images,
        lambda: {"images": hdf5_of(_fill_images)},
        mutate_hdf5,
    ),
    Target("safetensors", _safetensors, _safetensors_seeds, mutate_safetensors),
    Target("pt", _pt, _pt_seeds, mutate_pt),
    Target("modeldef", _modeldef, _modeldef_seeds, mutate_hdf5),
    Target("stored_weights", _weights, _weight_seeds, _mutate_weights),
    Target("renamed_weights", _renamed, lambda: {"net": _net().SerializeToString()}),
    Target(
        "training_set",
        _training_set,
        lambda: {"tiles": hdf5_of(_fill_tiles)},
        mutate_hdf5,
    ),
)

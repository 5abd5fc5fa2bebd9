"""What all peers share: weights and an input from a seed, labels, the files of the net.

    PYTHONPATH=benchmarks python -m peers.material unet_isbi2012 FOLDER onnx openvino

makes a folder of it; `run.py` does that by itself. `scores_float64.npz` in it holds the
scores computed in float64 by the plain torch net: they stand for the truth where no
scores of the original Caffe are given. Folders are made in `out/benchmarks`, or where
the variable PYUNET_BENCHMARKS says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from peers.twin import SHAPES, Shape, load_weights, make_net

ROOT = Path(__file__).resolve().parents[2]
PROTOTXT = ROOT / "prototxt"
# git leaves it out
CACHE = Path(os.environ.get("PYUNET_BENCHMARKS", ROOT / "out" / "benchmarks"))
SEED = 0
WHOLE = 700  # pixels of a side of the images that a finetuning reads
EXPORTS = {"onnx": "net.onnx", "openvino": "net.xml"}


def folder_of(model: str) -> Path:
    """Name the folder of a net's material; it changes with the net and this file."""
    texts = [PROTOTXT / model / f"{name}.prototxt" for name in ("deploy", "train")]
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in [*texts, Path(__file__)]))
    return CACHE / f"{model}-{digest.hexdigest()[:8]}"


def fingerprint(folder: Path) -> str:
    """Give what tells these weights and this input from any others."""
    digest = hashlib.sha256()
    for name in ("weights.caffemodel", "input.npy"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def make(model: str, folder: Path, exports: list[str]) -> None:
    """Make what is not there yet.

    Parameters
    ----------
    model : str
        A folder of `prototxt/`.
    folder : Path
    exports : list of str
        Which of `EXPORTS` to write too; their packages must be installed.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            whole = Path(temporary, "whole")
            whole.mkdir()
            _fill(model, whole)
            whole.rename(folder)
    for name in exports:
        if not (folder / EXPORTS[name]).exists():
            _export(name, SHAPES[model], folder)


def _fill(model: str, folder: Path) -> None:
    shape = SHAPES[model]
    rng = np.random.default_rng(SEED)
    sides = (1, 1, shape.tile, shape.tile)
    np.save(folder / "input.npy", rng.random(sides, np.float32))
    labels = rng.integers(0, 2, (1, shape.output, shape.output), np.uint8)
    np.save(folder / "labels.npy", labels)
    _write_weights(model, folder, rng)
    net = _twin(shape, folder).double()
    scores = _scores(net, np.load(folder / "input.npy").astype(np.float64))
    np.savez(
        folder / "scores_float64.npz",
        scores=scores,
        material=fingerprint(folder),
    )
    write_training(model, folder / "training")


def _write_weights(model: str, folder: Path, rng: np.random.Generator) -> None:
    """Write weights under which activations stay of one size, as `msra` has them."""
    import caffe

    net = caffe.Net(str(PROTOTXT / model / "deploy.prototxt"), caffe.TEST)
    kinds = {
        name: layer.type
        for name, layer in zip(net._layer_names, net.layers, strict=True)
    }
    arrays: dict[str, Any] = {}
    for number, (name, (weight, bias)) in enumerate(net.params.items()):
        values = rng.standard_normal(tuple(weight.shape), np.float32)
        summed = (
            values.shape[0]
            if kinds[name] == "Deconvolution"  # of 2 x 2 pixels, which do not overlap
            else values[0].size
        )
        arrays[f"{number:02}.weight"] = values * np.float32((2 / summed) ** 0.5)
        arrays[f"{number:02}.bias"] = 0.1 * rng.standard_normal(
            tuple(bias.shape), np.float32
        )
        weight.data[...] = arrays[f"{number:02}.weight"]
        bias.data[...] = arrays[f"{number:02}.bias"]
    np.savez(folder / "weights.npz", **arrays)
    net.save(str(folder / "weights.caffemodel"))


def _twin(shape: Shape, folder: Path) -> Any:
    net = make_net(shape, channels_last=False)
    load_weights(net, folder / "weights.npz")
    return net.eval()


def _scores(net: Any, image: Any) -> Any:
    import torch

    with torch.inference_mode():
        return net(torch.from_numpy(image)).numpy()


def _export(name: str, shape: Shape, folder: Path) -> None:
    """Write the plain torch net for another program, not by this project's exporter."""
    import torch

    net, image = _twin(shape, folder), torch.from_numpy(np.load(folder / "input.npy"))
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        target = Path(temporary, EXPORTS[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing fixes the sizes: it may
            if name == "onnx":
                torch.onnx.export(
                    net, (image,), str(target), dynamo=False,
                    input_names=["data"], output_names=["score"],
                )  # fmt: skip
            else:
                import openvino

                converted = openvino.convert_model(
                    net, example_input=image, input=list(image.shape)
                )
                openvino.save_model(converted, target, compress_to_fp16=False)
        for file in sorted(Path(temporary).iterdir()):
            shutil.move(file, folder / file.name)


def write_training(model: str, folder: Path) -> None:
    """Write the data that `train.prototxt` names, seen from a folder.

    Also `bvlc_solver.prototxt` and its net for BVLC's Caffe, which has no weights of
    pixels, for the nets that need no layer of Freiburg's besides.
    """
    text = (PROTOTXT / model / "train.prototxt").read_text()
    for source in sorted(set(re.findall(r'source: "([^"]+)"', text))):
        listing = folder / source
        listing.parent.mkdir(parents=True, exist_ok=True)
        file = listing.with_suffix(".h5")
        if '"weights2"' in text:
            write_images(file)
        else:
            write_tiles(file, SHAPES[model])
        listing.write_text(f"{file.relative_to(folder)}\n")
    (folder / "bvlc_train.prototxt").write_text(without_weights(text))
    solver = (PROTOTXT / model / "solver.prototxt").read_text()
    (folder / "bvlc_solver.prototxt").write_text(
        re.sub(r'(?m)^net: ".*"$', 'net: "bvlc_train.prototxt"', solver)
    )


def without_weights(text: str) -> str:
    """Take the weights of pixels out of a training net, as its own comment says.

    Examples
    --------
    >>> without_weights('top: "label" top: "weights" bottom: "weights" x')
    'top: "label" x'
    """
    return re.sub(r'\s*\b(top|bottom): "weights"', "", text)


def write_tiles(file: Path, shape: Shape) -> None:
    """Write four tiles with labels and weights of the scores' size."""
    import h5py

    rng = np.random.default_rng(SEED)
    inside, outside = (4, 1, shape.tile, shape.tile), (4, 1, shape.output, shape.output)
    with h5py.File(file, "w") as stored:
        stored["data"] = rng.random(inside, np.float32)
        stored["label"] = rng.integers(0, 2, outside, np.uint8)
        stored["weights"] = np.ones(outside, np.float32)


def write_images(file: Path) -> None:
    """Write an image, labels, weights and a pdf as a finetuning has them."""
    import h5py

    rng = np.random.default_rng(SEED)
    whole = (1, 1, WHOLE, WHOLE)
    with h5py.File(file, "w") as stored:
        stored["data"] = rng.random(whole, np.float32)
        stored["labels"] = rng.integers(0, 2, whole).astype(np.float32)
        stored["weights"] = stored["weights2"] = np.ones(whole, np.float32)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

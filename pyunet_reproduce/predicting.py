"""Segment the test images of a data set and keep what was found as TIFF files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference.engine import load_model, load_trained
from pyunet.inference.passes import Pass, parse_passes
from pyunet.inference.resize import resize_to
from pyunet.inference.segmenting import Segmenter
from pyunet.inference.windows import FloatArray, Inputs
from pyunet_reproduce.nets import NetFiles
from pyunet_reproduce.readers import Case
from pyunet_reproduce.recipes import Recipe
from pyunet_reproduce.samples import Read

FINEST = 65535
Probabilities = Callable[[FloatArray], FloatArray]


def predict(
    recipe: Recipe,
    cases: Sequence[tuple[str, Case]],
    read: Read,
    *,
    files: NetFiles,
    weights: Path,
    out: Path,
    gpu: int | None = None,
) -> None:
    """Segment cases that have no prediction yet.

    Parameters
    ----------
    recipe : Recipe
    cases : sequence of (str, Case)
    read : callable
        Reads a case of a part.
    files : NetFiles
    weights : Path
    out : Path
        Gets ``PART/NAME.tif``: 65535 times the probability of class 1 (uint16), or
        with more classes than two the most likely one (uint8), at the size of the
        original.
    gpu : int, optional
        Default: the CPU.
    """
    missing = [one for one in cases if not prediction_file(out, *one).is_file()]
    if not missing:
        return
    passes = parse_passes(recipe.average) if recipe.average else (Pass(),)
    how = _by_whole_images if recipe.net.whole else _by_tiles
    probabilities = how(files.deploy, weights, passes, gpu)
    for part, case in tqdm(missing, "segment", unit="image", disable=None):
        example = read(part, case)
        shares = probabilities(example.image)
        path = prediction_file(out, part, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as draft:
            tifffile.imwrite(
                draft, _stored(shares, example.classes.shape), compression="zlib"
            )


def prediction_file(out: Path, part: str, case: Case) -> Path:
    """Give where a prediction is kept."""
    return out / part / f"{case.name}.tif"


def read_predictions(
    out: Path, cases: Sequence[tuple[str, Case]]
) -> Iterator[NDArray[Any]]:
    """Read predictions as they were stored."""
    for part, case in cases:
        yield np.asarray(tifffile.imread(prediction_file(out, part, case)))


def _by_tiles(
    deploy: Path, weights: Path, passes: Sequence[Pass], gpu: int | None
) -> Probabilities:
    model = load_model(deploy, weights, gpu=gpu)

    def probabilities(image: FloatArray) -> FloatArray:
        segmenter = Segmenter.within(
            model, passes=passes, average_of="probabilities"
        )  # asked anew: what is free changes
        (shares,) = segmenter.scores(Inputs.of_array(image))
        return np.asarray(shares)

    return probabilities


def _by_whole_images(
    deploy: Path, weights: Path, passes: Sequence[Pass], gpu: int | None
) -> Probabilities:
    if not all(one.is_exact for one in passes):
        raise DataError(
            f"{deploy}: is run on whole images; expected average = mirror, rotate or "
            "all"
        )
    net = load_trained(deploy, weights, gpu=gpu)

    def probabilities(image: FloatArray) -> FloatArray:
        total = np.zeros(1, np.float32)
        for one in passes:
            data = np.ascontiguousarray(one.apply(image)[np.newaxis], np.float32)
            net.blobs["data"].reshape(*data.shape)
            (scores,) = net.forward(data=data)["score"]
            shares = np.rot90(
                softmax(scores, axis=0), -int(one.degrees // 90), axes=(-2, -1)
            )
            total = total + (shares[..., ::-1] if one.mirror else shares)
        return total / np.float32(len(passes))

    return probabilities


def _stored(shares: FloatArray, size: tuple[int, ...]) -> NDArray[Any]:
    if shares.shape[-2:] != size[-2:]:
        shares = resize_to(shares, size[-2:])
    if len(shares) == 2:
        return np.asarray(np.rint(np.clip(shares[1], 0, 1) * FINEST), np.uint16)
    return np.asarray(shares.argmax(axis=0), np.uint8)

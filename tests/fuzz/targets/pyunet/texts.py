"""Texts: TOML of the model list and of recipes, JSON notes, tables, logs."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import numpy as np
from PIL import Image

from pyunet.notes import read_notes
from pyunet.training_logs.charts import charts_of
from pyunet.training_logs.reader import read_log
from pyunet.zoo.manifest import package_manifest, read_manifest, state
from pyunet_fiji.finetuning.curves import Curves
from pyunet_fiji.finetuning.log_lines import LogReader
from pyunet_reproduce.readers import find_cases, read_case
from pyunet_reproduce.recipes import read_recipe, recipe_names
from pyunet_reproduce.tables import read_measured
from pyunet_tracking.challenge import read_tracks
from tests.fuzz.mutation import INTEGERS, LARGEST, WORDS, mutate_lines
from tests.fuzz.target import Target, refusing

# what the package itself says of a file is no library's warning
logging.getLogger("pyunet").addHandler(logging.NullHandler())
ROOT = Path(__file__).parents[4]
RECIPES = ROOT / "pyunet_reproduce" / "recipes"
VALUES = (
    *("true", "false", "nan", "-inf", "1e400", "[]", "{}", "[[]]", '""', "'a'"),
    *("1979-05-27", "0x7f", "[1, 'a']", '["*", "**/*"]', '["../*"]', '["/*"]', '"["'),
    *('"(("', '"(?P<a>.)"', '"\\u0000"', '"a\\nb"', "9" * 400, "[" * 3000, '"**"'),
)
LOG = b"""\
I0101 00:00:00.000000 1 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.01
I0101 00:00:00.000000 1 solver.cpp:58] Creating training net
I0101 solver.cpp:330] Iteration 0, Testing net (#0)
I0101 solver.cpp:397]     Test net output #0: loss = 0.7 (* 1 = 0.7 loss)
I0101 solver.cpp:397]     Test net output #1: IoU = 0.5
I0101 solver.cpp:218] Iteration 0 (2.5 iter/s, 8s/20 iters), loss = 0.7
I0101 solver.cpp:237]     Train net output #0: loss = 0.7 (* 1 = 0.7 loss)
I0101 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0101 solver.cpp:218] Iteration 20 (2.5 iter/s, 8s/20 iters), loss = 0.3
I0101 layer.cpp:1] IoU intersection: 1 2 union: 3 4
I0101 solver.cpp:447] Snapshotting to binary proto file snapshot_iter_20.caffemodel
"""
SMALL = b"""\
title = 'small'
published_at = 'https://example.org'
terms = 'none'
layout = 'images/*.png'
size = [32, 32]
[files.train]
images = ['images/*.png', 'more/*.png']
labels = ['labels/*.png']
key = '(.)[.]png$'
label_key = '(.)[.]png$'
group = '([a-z])'
[labels]
kind = 'binary'
above = 100.0
names = ['outside', 'inside']
ignore = [7]
[split]
of = 'train'
folds = 2
[preparation]
local_contrast = 4.0
[net]
name = 'unet_isbi2012'
input = [60, 60]
[training]
iterations = 10
samples = 5
base_lr = 1e-4
class_weights = 'balanced'
[[fills]]
dataset = 'DRIVE'
metric = 'AUC'
score = 'ranking.auc'
"""
JSON = {
    "job": {"seed": 1, "images": ["a.tif"], "rate": 1e-4, "tile": [60, 60]},
    "files": {"a.caffemodel": "00"},
    "results": {"prediction": {"iou": 0.5}},
}


def mutate_toml(sound: list[bytes], rng: random.Random) -> bytes:
    """Give keys of a TOML file other values."""
    lines = rng.choice(sound).split(b"\n")
    keys = [at for at, line in enumerate(lines) if b" = " in line]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not keys or rng.random() < 0.2:
            return mutate_lines(sound, rng)
        at = rng.choice(keys)
        name, _, value = lines[at].partition(b" = ")
        change = rng.randrange(5)
        if change == 0:
            lines[at] = lines[rng.choice(keys)]
        elif change == 1:
            value = str(rng.choice(INTEGERS)).encode()
        elif change == 2:
            value = json.dumps(rng.choice(WORDS)).encode()
        else:
            value = rng.choice(VALUES).encode()
        lines[at] = name + b" = " + value
    return b"\n".join(lines)[:LARGEST]


def _recipes() -> dict[str, bytes]:
    names = recipe_names()
    found = {f"odd_{name}": (RECIPES / f"{name}.toml").read_bytes() for name in names}
    return {**found, "small": SMALL}


def _recipe(data: bytes, folder: Path) -> None:
    path = folder / "recipe.toml"
    path.write_bytes(data)
    place = folder / "data"
    if not place.is_dir():
        _make_data(place)
    with refusing():
        recipe = read_recipe(str(path))
        for part in recipe.files:
            with refusing():
                for case in find_cases(recipe, part, place)[:1]:
                    read_case(recipe, part, case)


def _make_data(place: Path) -> None:
    """A folder that some of the recipes take for theirs."""
    plane = (np.arange(64 * 64).reshape(64, 64) % 251).astype(np.uint8)
    for name in ("images/a.png", "labels/a.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(plane).save(place / name)


def _manifest(data: bytes, folder: Path) -> None:
    path = folder / "manifest.toml"
    path.write_bytes(data)
    with refusing():
        for entry in read_manifest(path).values():
            with refusing():
                state(entry)
                _ = entry.object_classes, entry.weights_path, entry.definition_path


def _measured(data: bytes, folder: Path) -> None:
    path = folder / "measured.toml"
    path.write_bytes(data)
    with refusing():
        for one in read_measured(path):
            one.shown()
            one.toml()


def _log(data: bytes, folder: Path) -> None:
    path = folder / "train.log"
    path.write_bytes(data)
    with refusing():
        charts_of([read_log(path)])
    reader = LogReader(classes=2)
    for line in data.decode(errors="replace").splitlines():
        reader.read(line)


def _curves(data: bytes, folder: Path) -> None:
    path = folder / "curves.csv"
    path.write_bytes(data)
    with refusing():
        Curves.read_csv(path, ["a", "b"]).best()


def _curve_seeds() -> dict[str, bytes]:
    header = b"iteration,training_loss,validation_loss," + b",".join(
        f"{measure}_{name}".encode()
        for measure in ("iou", "f1_detection", "f1_segmentation")
        for name in "ab"
    )
    row = b"10,0.5,0.4,0.1,0.2,0.3,0.4,0.5,0.6"
    return {"curves": b"\n".join((header, b"0,1,,,,,,,", row, b""))}


def _tracks(data: bytes, folder: Path) -> None:
    path = folder / "res_track.txt"
    path.write_bytes(data)
    with refusing():
        read_tracks(path)


def _notes(data: bytes, folder: Path) -> None:
    path = folder / "plan.json"
    path.write_bytes(data)
    with refusing():
        read_notes(path)


TARGETS = (
    Target("recipe", _recipe, _recipes, mutate_toml),
    Target(
        "manifest",
        _manifest,
        lambda: {"manifest": package_manifest().read_bytes()},
        mutate_toml,
    ),
    Target(
        "measured",
        _measured,
        lambda: {"measured": (RECIPES.parent / "measured.toml").read_bytes()},
        mutate_toml,
    ),
    Target("training_log", _log, lambda: {"log": LOG}, mutate_lines),
    Target("curves_csv", _curves, _curve_seeds, mutate_lines),
    Target(
        "tracks", _tracks, lambda: {"tracks": b"1 0 3 0\n2 4 9 1\n\n"}, mutate_lines
    ),
    Target("notes", _notes, lambda: {"plan": json.dumps(JSON).encode()}, mutate_lines),
)

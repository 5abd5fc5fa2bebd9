"""How seconds and memory grow with the image, the threads and the processes.

size: `pyunet segment` of one image, from its file to labels, scores and overlay, in
tiles of one size; seconds of the whole command, and the most memory that it held.
threads: a tile and a training step. ranks: images a second that `caffe train -ranks N`
takes, the cores shared among its processes.

Each point is kept in benchmarks/results/scaling.json as soon as it is measured; those
that are there, of the same sources, are not measured again. At the end the tables and
pictures of docs/scaling.md are written.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers import machine
from peers.material import CACHE, PROTOTXT, ROOT, folder_of
from peers.processes import (
    FLOAT,
    PEERS,
    STEP,
    LeftOutError,
    Worker,
    environment,
    make_material,
)
from peers.twin import SHAPES
from scaling_page import PARTS, write_page
from watching import Watched, watch

SIZES = "0.25,1,4,16,64,400"
EXAMPLE = """\
examples:
  python benchmarks/scaling.py
  python benchmarks/scaling.py --part size --sizes 0.25,1,4
"""
BLOCK = 1024  # rows of an image that are made and written at a time
DISPLAYED = 4  # stretches of steps whose pace is read; the first is not counted


class Scaling:
    """One call of this script.

    Parameters
    ----------
    args : argparse.Namespace
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.material = folder_of(args.model)
        make_material(args.model, machine.cores())
        self.result: dict[str, Any] = {part: {} for part in PARTS}
        if args.results.exists():
            self.result.update(json.loads(args.results.read_text()))
        self.result.update(
            command=machine.command(), machine=machine.describe(), model=args.model
        )

    def size(self) -> None:
        """Segment images of growing size."""
        pace = 0.0
        for megapixels in self.args.sizes:
            name = f"{megapixels:g}"
            settings = {
                "megapixels": megapixels,
                "tile": self.args.tile,
                "model": self.args.model,
            }
            if self._known("size", name, settings):
                continue
            about = f", about {pace * megapixels:.0f} s" if pace else ""
            print(f"size: {name} megapixels{about}", flush=True)
            found = self._segment(megapixels)
            point: dict[str, Any] = {"order": megapixels, **settings}
            if found.status:
                point["failed"] = found.output.strip().splitlines()[-1]
            else:
                tiles = re.search(r"(\d+) tile\(s\) of (\S+)", found.output)
                point |= {
                    "seconds": found.seconds,
                    "peak_gib": found.peak_gib,
                    "anonymous_gib": found.anonymous_gib,
                    "tiles": f"{tiles[1]} of {tiles[2]}" if tiles else "-",
                }
                pace = found.seconds / megapixels
            self._keep("size", name, point)

    def _segment(self, megapixels: float) -> Watched:
        side = round((megapixels * 1e6) ** 0.5)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="scaling-") as temporary:
            folder = Path(temporary)
            write_image(folder / "image.tif", side)
            return watch(
                [
                    sys.executable, "-m", "pyunet", "segment",
                    "--model", str(PROTOTXT / self.args.model / "deploy.prototxt"),
                    "--weights", str(self.material / "weights.caffemodel"),
                    "--tile-size", str(self.args.tile),
                    "--out", str(folder / "out"), str(folder / "image.tif"),
                ],
                cwd=folder,
                env=environment(machine.cores(), PYTHONPATH=str(ROOT)),
                log=folder / "log.txt",
            )  # fmt: skip

    def threads(self) -> None:
        """Measure a tile and a training step on numbers of threads that take turns."""
        settings = {"model": self.args.model}
        numbers = [
            n for n in self.args.threads if not self._known("threads", str(n), settings)
        ]
        found: dict[int, dict[str, Any]] = {
            n: {"order": n, "threads": n, **settings} for n in numbers
        }
        for task in (FLOAT, STEP):
            workers = {
                n: Worker(PEERS["ours"], task, model=self.args.model, threads=n)
                for n in numbers
            }
            raw: dict[int, list[list[float]]] = {n: [] for n in numbers}
            for number in range(self.args.rounds if numbers else 0):
                print(
                    f"threads: {task.kind}, round {number + 1} of {self.args.rounds}",
                    flush=True,
                )
                for n, worker in workers.items():
                    raw[n].append(worker.run(self.args.repeats))
            for n, worker in workers.items():
                every = [one for turn in raw[n] for one in turn]
                found[n][task.kind] = {
                    "median_s": statistics.median(every),
                    "seconds": raw[n],
                    "peak_gib": worker.end(),
                }
        for n in numbers:
            self._keep("threads", str(n), found[n])

    def ranks(self) -> None:
        """Train in one process on one core and on all, then in several processes."""
        cores = machine.cores()
        pairs = [(1, 1), *((n, max(1, cores // n)) for n in self.args.ranks)]
        for ranks, threads in dict.fromkeys(pairs):
            name = f"{ranks}x{threads}"
            settings = {"model": self.args.model, "steps": self.args.steps}
            if self._known("ranks", name, settings):
                continue
            print(f"ranks: {ranks} processes of {threads} threads", flush=True)
            found = self._train(ranks, threads)
            paces = [
                float(pace)
                for number, pace in re.findall(
                    r"Iteration (\d+) \((\S+) iter/s", found.output
                )
                if int(number) > self.args.steps
            ]
            if found.status or not paces:
                raise SystemExit(f"caffe train -ranks {ranks}:\n{found.output[-2000:]}")
            self._keep(
                "ranks",
                name,
                {
                    "order": 1000 * ranks + threads,
                    "ranks": ranks,
                    "threads": threads,
                    "paces": paces,
                    "images_per_s": ranks * statistics.median(paces),
                    "seconds": found.seconds,
                    "anonymous_gib": found.anonymous_gib,
                    **settings,
                },
            )

    def _train(self, ranks: int, threads: int) -> Watched:
        steps = self.args.steps
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="scaling-") as temporary:
            folder = Path(temporary)
            shutil.copytree(self.material / "training", folder / "work")
            solver = folder / "solver.prototxt"
            solver.write_text(
                f'net: "{PROTOTXT / self.args.model / "train.prototxt"}" '
                f'type: "Adam" base_lr: 1e-4 lr_policy: "fixed" display: {steps} '
                f"max_iter: {steps * DISPLAYED + 1} snapshot_after_train: false "
                f'snapshot_prefix: "{folder / "snapshot"}" random_seed: 1\n'
            )
            return watch(
                [
                    sys.executable, "-m", "caffe", "train",
                    "-solver", str(solver), "-ranks", str(ranks),
                ],
                cwd=folder / "work",
                env=environment(threads, PYTHONPATH=str(ROOT), GLOG_minloglevel="0"),
                log=folder / "log.txt",
            )  # fmt: skip

    def _known(self, part: str, name: str, settings: dict[str, Any]) -> bool:
        """Tell whether a point was measured already, of these sources."""
        point = self.result[part].get(name, {})
        wanted = {**settings, "sources": self.result["machine"]["sources"]}
        known = all(point.get(key) == value for key, value in wanted.items())
        if known:
            print(f"{part}: {name} is known", flush=True)
        return known

    def say_what_is_older(self) -> None:
        """Name the points that are kept although the sources have changed."""
        now = self.result["machine"]["sources"]
        older = [
            f"{part} {name}"
            for part in PARTS
            for name, point in self.result[part].items()
            if point["sources"] != now
        ]
        if older:
            print(f"measured with other sources: {', '.join(older)}")

    def _keep(self, part: str, name: str, point: dict[str, Any]) -> None:
        point["sources"] = self.result["machine"]["sources"]
        point["date"] = machine.describe()["date"]
        self.result[part][name] = point
        file = self.args.results
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.result, indent=1) + "\n")
        temporary.replace(file)


def write_image(file: Path, side: int) -> None:
    """Write a square image of 8 bits, a stripe at a time: noise that repeats."""
    import tifffile

    stripe = np.random.default_rng(0).integers(0, 256, (BLOCK, side), np.uint8)
    image = tifffile.memmap(file, shape=(side, side), dtype=np.uint8)
    for begin in range(0, side, BLOCK):
        rows = image[begin : begin + BLOCK]
        rows[...] = stripe[: len(rows)]
    image.flush()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _sizes(text: str) -> list[float]:
    return sorted(float(word) for word in text.split(","))


def _doubled() -> str:
    """Give 1, 2, 4, ... up to the number of cores."""
    cores = machine.cores()
    powers = [2**i for i in range(cores.bit_length())]
    return ",".join(map(str, dict.fromkeys([*powers, cores])))


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--part", choices=list(PARTS), help="only this one")
    add(
        "--model", choices=sorted(SHAPES), default="unet_isbi2012_narrow",
        help="default: %(default)s",
    )  # fmt: skip
    add(
        "--sizes", type=_sizes, default=SIZES, metavar="M,M",
        help="megapixels (default: %(default)s)",
    )  # fmt: skip
    add(
        "--tile", type=int, default=500, metavar="PIXELS",
        help="output pixels of a side of a tile (default: %(default)s)",
    )  # fmt: skip
    add(
        "--threads", type=_numbers, default=_doubled(), metavar="N,N",
        help="numbers of threads (default: %(default)s)",
    )  # fmt: skip
    add(
        "--ranks", type=_numbers, default=_doubled(), metavar="N,N",
        help="numbers of processes (default: %(default)s)",
    )  # fmt: skip
    add("--rounds", type=int, default=5, help="turns of each number of threads")
    add("--repeats", type=int, default=3, help="measurements a turn")
    add(
        "--steps", type=int, default=10,
        help=f"training steps of each of {DISPLAYED} stretches (default: %(default)s)",
    )  # fmt: skip
    add(
        "--results", type=Path, metavar="FILE",
        default=ROOT / "benchmarks" / "results" / "scaling.json",
        help="where points are kept (default: benchmarks/results/scaling.json)",
    )  # fmt: skip
    add(
        "--docs", type=Path, default=ROOT / "docs", metavar="FOLDER",
        help="where scaling.md is (default: docs)",
    )  # fmt: skip
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not known yet, and write the page."""
    args = parse()
    scaling = Scaling(args)
    begin = time.monotonic()
    for part in [args.part] if args.part else PARTS:
        getattr(scaling, part)()
    scaling.say_what_is_older()
    write_page(scaling.result, args.docs)
    minutes = (time.monotonic() - begin) / 60
    print(f"written: {args.results}, {args.docs / 'scaling.md'}; {minutes:.1f} min")


if __name__ == "__main__":
    try:
        main()
    except LeftOutError as error:
        sys.exit(f"this project's engine: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same again goes on where it was")

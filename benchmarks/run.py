"""Seconds, memory and errors of this project beside every peer, on one net and input.

A tile and a training step (forward, backward, update), float32 and bfloat16. Every peer
runs in a process of its own on the same number of threads; all are set up and warmed up
first, then take turns, in another order each round. Peers that are not installed are
left out and named. Errors are the relative L2 distance of the scores to those of the
original Caffe, if they are given (--scores) or it is there (--pycaffe), else to scores
computed in float64. Results go to benchmarks/results/NAME.json after every round;
--resume measures only what is missing there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from peers import machine, material
from peers.processes import (
    FLOAT,
    PEERS,
    TASKS,
    LeftOutError,
    Task,
    Worker,
    make_material,
)
from peers.tables import summarise, table
from peers.twin import SHAPES

RESULTS = material.ROOT / "benchmarks" / "results"
EXAMPLE = """\
examples:
  python benchmarks/run.py --quick
  python benchmarks/run.py --model unet_isbi2012 --rounds 7 --repeats 3
  python benchmarks/run.py --task inference --peers ours,openvino,torch-compile
  python benchmarks/run.py --pycaffe ~/caffe/python --name beside_caffe
"""
EXPORTS_OF = {"onnxruntime": "onnx", "openvino": "openvino"}


@dataclass
class Run:
    """One call of this script.

    Attributes
    ----------
    args : argparse.Namespace
    file : Path
        Where results go.
    result : dict
        What is in it.
    """

    args: argparse.Namespace
    file: Path
    result: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Start a result, or take up what an earlier call left.

        Raises
        ------
        SystemExit
            That was measured with other settings.
        """
        args = self.args
        settings = {
            "model": args.model, "seed": material.SEED, "threads": args.threads,
            "rounds": args.rounds, "repeats": args.repeats,
        }  # fmt: skip
        new = {
            "name": args.name,
            "command": machine.command(),
            "machine": machine.describe(),
            "settings": settings,
            "tasks": {},
        }
        if not (args.resume and self.file.exists()):
            self.result = new
            return
        self.result = json.loads(self.file.read_text())
        kept = {**self.result["settings"], "sources": self.result["machine"]["sources"]}
        now = {**settings, "sources": new["machine"]["sources"]}
        differing = [f"{k} {kept[k]}, now {now[k]}" for k in now if kept[k] != now[k]]
        differing = [text for text in differing if not text.startswith("rounds ")]
        if differing:
            raise SystemExit(
                f"{self.file}: measured with {'; '.join(differing)}: "
                "measure anew, without --resume, or under another --name"
            )
        self.result["settings"] = settings

    def save(self) -> None:
        """Write the result, whole or not at all."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.result, indent=1) + "\n")
        temporary.replace(self.file)

    def measure(self, task: Task) -> None:
        """Measure all peers in one task, and print their table."""
        entry = self.result["tasks"].setdefault(
            str(task), {"reference": None, "peers": {}, "left_out": {}}
        )
        done = [len(found["seconds"]) for found in entry["peers"].values()]
        missing = range(min(done, default=0), self.args.rounds)
        if missing:
            entry["left_out"] = {}
            workers = self._start(task, entry)
            try:
                self._rounds(task, entry, workers, missing)
            finally:
                for worker in workers.values():
                    worker.close()
        if entry["peers"]:
            self._report(task, entry)

    def _start(self, task: Task, entry: dict[str, Any]) -> dict[str, Worker]:
        """Set up all peers, one after the other, and compare their scores."""
        args = self.args
        workers: dict[str, Worker] = {}
        try:
            for name in (n for n in args.peers if task in PEERS[n].tasks):
                print(f"{task}: setting up {name}", flush=True)
                try:
                    workers[name] = Worker(
                        PEERS[name], task, model=args.model, threads=args.threads,
                        pycaffe=args.pycaffe,
                    )  # fmt: skip
                except LeftOutError as reason:
                    self._leave_out(name, reason, entry, workers)
            if task.kind == "inference":
                self._compare(task, entry, workers)
        except BaseException:
            for worker in workers.values():
                worker.close()
            raise
        return workers

    def _leave_out(
        self,
        name: str,
        reason: LeftOutError,
        entry: dict[str, Any],
        workers: dict[str, Worker],
    ) -> None:
        print(f"left out: {name}: {reason}", flush=True)
        entry["left_out"][name] = str(reason)
        entry["peers"].pop(name, None)
        if name in workers:
            workers.pop(name).close()

    def _compare(
        self, task: Task, entry: dict[str, Any], workers: dict[str, Worker]
    ) -> None:
        """Note the relative error of every peer's scores."""
        scores = {}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "scores.npy")
            for name in list(workers):
                try:
                    workers[name].scores(file)
                except LeftOutError as reason:
                    self._leave_out(name, reason, entry, workers)
                else:
                    scores[name] = np.load(file)
        if "caffe" in scores and task == FLOAT:
            store_caffe(self.args.model, scores["caffe"])
        entry["reference"], truth = reference(self.args)
        for name, found in scores.items():
            if found.shape != truth.shape:
                raise SystemExit(
                    f"{entry['reference']}: scores of shape {truth.shape}; "
                    f"{name} gives {found.shape}"
                )
            self._of(entry, name)["error_l2"] = relative_error(truth, found)

    @staticmethod
    def _of(entry: dict[str, Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = entry["peers"].setdefault(name, {"seconds": []})
        return found

    def _rounds(
        self,
        task: Task,
        entry: dict[str, Any],
        workers: dict[str, Worker],
        numbers: range,
    ) -> None:
        begin = time.monotonic()
        for name, worker in workers.items():
            self._of(entry, name)["about"] = worker.about
        for number in numbers:
            names = list(workers)
            turn = number % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                try:
                    seconds = workers[name].run(self.args.repeats)
                except LeftOutError as reason:
                    self._leave_out(name, reason, entry, workers)
                else:
                    self._of(entry, name)["seconds"].append(seconds)
            spent = time.monotonic() - begin
            done = number - numbers.start + 1
            left = spent / done * (len(numbers) - done)
            print(
                f"{task}: round {number + 1} of {numbers.stop}, "
                f"about {left:.0f} s to go",
                flush=True,
            )
            summarise(entry["peers"])
            self.save()
        for name, worker in workers.items():
            peers = entry["peers"][name]
            peers["peak_gib"] = max(worker.end(), peers.get("peak_gib", 0.0))
        self.save()

    def _report(self, task: Task, entry: dict[str, Any]) -> None:
        args = self.args
        known = f"; errors against {entry['reference']}" if entry["reference"] else ""
        print(
            f"\n{args.model}, {task}, {args.threads} threads, {args.rounds} rounds of "
            f"{args.repeats}{known}\n{table(entry['peers'])}"
        )
        for name, reason in entry["left_out"].items():
            print(f"left out: {name}: {reason}")
        print(flush=True)


def relative_error(truth: Any, found: Any) -> float:
    """Give the L2 norm of the difference, relative to the truth's.

    Examples
    --------
    >>> relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
    0.1
    """
    exact = truth.astype(np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def reference(args: argparse.Namespace) -> tuple[str, Any]:
    """Give the scores that errors are measured against, and what they are.

    Raises
    ------
    SystemExit
        Stored scores of other weights or another input.
    """
    folder = material.folder_of(args.model)
    by_caffe = folder / "scores_caffe.npz"
    if args.scores:
        file, name = args.scores, f"the stored scores of {args.scores}"
    elif args.pycaffe and by_caffe.exists():
        file, name = by_caffe, "the original Caffe's scores"
    else:
        file, name = folder / "scores_float64.npz", "float64"
    stored = np.load(file)
    if file.suffix == ".npy":
        return name, stored
    if str(stored["material"]) != material.fingerprint(folder):
        raise SystemExit(f"{file}: the scores of other weights or another input")
    return name, stored["scores"]


def store_caffe(model: str, scores: Any) -> None:
    """Keep the original Caffe's scores beside the weights and the input."""
    folder = material.folder_of(model)
    made_of = material.fingerprint(folder)
    np.savez(folder / "scores_caffe.npz", scores=scores, material=made_of)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", choices=sorted(SHAPES), help="default: unet_isbi2012")
    add(
        "--task", choices=["inference", "training"],
        help="only this one",
    )  # fmt: skip
    add("--precision", choices=["float32", "bf16"], help="only this one")
    add(
        "--peers", metavar="A,B",
        help=f"only these, of {', '.join(PEERS)}",
    )  # fmt: skip
    add("--rounds", type=int, help="turns of every peer (default: 7)")
    add("--repeats", type=int, help="measurements a turn (default: 3)")
    add(
        "--threads", type=int, default=machine.cores(),
        help="of every peer (default: all cores, here %(default)s)",
    )  # fmt: skip
    add(
        "--scores", type=Path, metavar="FILE",
        help="stored scores of the original Caffe, .npy or .npz",
    )  # fmt: skip
    add(
        "--pycaffe", default="", metavar="PLACE",
        help="an original pycaffe: its folder, or a Python that has it",
    )  # fmt: skip
    add("--name", help="of the result (default: the model's)")
    add(
        "--results", type=Path, default=RESULTS, metavar="FOLDER",
        help="where results go (default: benchmarks/results)",
    )  # fmt: skip
    add("--resume", action="store_true", help="measure only what the result lacks")
    add(
        "--quick", action="store_true",
        help="a small net, 2 rounds of 2, without torch-compile",
    )  # fmt: skip
    args = parser.parse_args(words)
    quick = args.quick
    names = [n for n in PEERS if not (quick and n == "torch-compile")]
    args.peers = args.peers.split(",") if args.peers else names
    unknown = [name for name in args.peers if name not in PEERS]
    if unknown:
        parser.error(f"--peers {unknown[0]}: expected some of {', '.join(PEERS)}")
    args.model = args.model or ("unet_demo" if quick else "unet_isbi2012")
    args.name = args.name or ("quick" if quick else args.model)
    args.rounds = args.rounds or (2 if quick else 7)
    args.repeats = args.repeats or (2 if quick else 3)
    return args


def main() -> None:
    """Measure all tasks that are asked for."""
    args = parse()
    run = Run(args, args.results / f"{args.name}.json")
    run.begin()
    about = run.result["machine"]
    print(
        f"{about['cpu']}, {args.threads} of {about['cores']} cores, "
        f"load {about['load']}, commit {about['commit'][:7]}",
        flush=True,
    )
    wanted = [
        export
        for package, export in EXPORTS_OF.items()
        if package in args.peers and importlib.util.find_spec(package)
    ]
    make_material(args.model, args.threads, wanted)
    for task in TASKS:
        if args.task in (None, task.kind) and args.precision in (None, task.precision):
            run.measure(task)
    print(f"written: {run.file}")
    failed = [
        f"{task}: {entry['left_out']['ours']}"
        for task, entry in run.result["tasks"].items()
        if "ours" in entry["left_out"]
    ]
    if failed:
        raise SystemExit(f"ours was left out: {'; '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on after the last whole round")

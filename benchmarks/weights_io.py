"""Seconds and memory for loading and saving the 31-million-parameter net's weights.

Each measurement is made in a process of its own: `net` is what making the net costs,
`load` what `copy_from` adds, `save` is `Net.save`, `snapshot` weights, Adam state and
side-car together; `train` is what one that falls due costs a training with small tiles:
how long no step is done, how much later the whole training ends, and when the files are
there. Memory is in shares of the weights file's size: what the process has
grown by since the engine was loaded, the net included, at the end and at the highest.
Given several trees (checkouts), they take turns; printed are medians.

    OMP_NUM_THREADS=1 python benchmarks/weights_io.py --rounds 5
    OMP_NUM_THREADS=1 python benchmarks/weights_io.py --tree ../before --tree .
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "prototxt" / "unet_isbi2012" / "deploy.prototxt"
WEIGHTS, SAVED = "weights.caffemodel", "again.caffemodel"
TASKS = ("load", "save", "snapshot", "train")
STEPS, SNAPSHOT_AT = 12, 4  # of `train`
TILE = 252  # pixels
Found = dict[str, float]


def resident(key: str) -> int:
    """Bytes of memory: VmRSS now, VmHWM at the highest since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def forget_peak() -> None:
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def timed(name: str, work: Callable[[], Any], found: Found) -> Any:
    """Do work; note its seconds, and the memory that it ends with and had at most."""
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    found[f"{name} s"] = time.perf_counter() - wall
    found[f"{name} cpu s"] = time.process_time() - cpu
    found[f"{name} end"] = resident("VmRSS")
    found[f"{name} peak"] = resident("VmHWM")
    return result


def adam_solver(net_file: Path, more: str = "") -> Any:
    """Make a solver of the net, its state filled as after some steps."""
    import caffe

    text = f'net: "{net_file}" type: "Adam" base_lr: 1e-4 lr_policy: "fixed" {more}'
    Path("solver.prototxt").write_text(f'{text} max_iter: 1 snapshot_prefix: "s"')
    solver = caffe.get_solver("solver.prototxt")
    for values in solver.history:
        values.uniform_()
    return solver


def training_net() -> Path:
    """Write the net with a loss, for small tiles, so that a step is short."""
    target = Path("train.prototxt")
    text = MODEL.read_text().replace("dim: 572", f"dim: {TILE}")
    target.write_text(
        text + 'layer { name: "loss" type: "Reduction" bottom: "score" top: "loss" '
        "reduction_param { operation: MEAN } loss_weight: 1 }"
    )
    return target


def timed_training(*, snapshot: bool) -> tuple[float, list[float], float]:
    """Train; seconds in all, between gradients and next step, and until files stand."""
    solver = adam_solver(
        training_net(), f"snapshot: {SNAPSHOT_AT if snapshot else STEPS * 9} "
    )
    starts: list[float] = []
    ends: list[float] = []
    solver.add_callback(
        lambda: starts.append(time.perf_counter()),
        lambda: ends.append(time.perf_counter()),
    )
    last = Path(f"s_iter_{SNAPSHOT_AT}.solverstate.resume.npz")
    last.unlink(missing_ok=True)
    stands: list[float] = []

    def watch() -> None:
        while snapshot and not last.exists():
            time.sleep(0.002)
        stands.append(time.perf_counter())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    solver.step(STEPS)
    whole = time.perf_counter() - begin
    watcher.join()
    pauses = [start - end for start, end in zip(starts[1:], ends[:-1], strict=True)]
    return whole, pauses, stands[0] - ends[SNAPSHOT_AT - 1]


def cost_of_snapshot() -> Found:
    """Compare trainings with a snapshot and without."""
    timed_training(snapshot=False)
    plain, usual, _ = timed_training(snapshot=False)
    whole, pauses, written = timed_training(snapshot=True)
    pause = statistics.median(usual)
    return {
        "stopped s": pauses[SNAPSHOT_AT - 1] - pause,
        "later s": whole - plain,
        "on disk s": written - pause,
        "step s": plain / STEPS,
    }


def child(task: str) -> Found:
    """Measure one task in this process."""
    import caffe

    empty = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
    )
    Path("empty.prototxt").write_text(empty)
    caffe.Net("empty.prototxt", caffe.TEST)  # loads the engine
    if task == "train":
        return cost_of_snapshot()
    found: Found = {}
    start = resident("VmRSS")
    if task == "snapshot":
        solver = adam_solver(MODEL)
        timed("snapshot", solver.snapshot, found)
    else:
        net = timed("net", lambda: caffe.Net(str(MODEL), caffe.TEST), found)
        if task == "load":
            timed("load", lambda: net.copy_from(WEIGHTS), found)
        else:
            timed("save", lambda: net.save(SAVED), found)
    size = Path(SAVED if task == "save" else WEIGHTS).stat().st_size
    for name in [name for name in found if name.endswith(("end", "peak"))]:
        found[name] = (found[name] - start) / size
    return found


def run(tree: Path, task: str, folder: str) -> Found:
    """Measure one task of one tree in a process of its own."""
    env = dict(os.environ, GLOG_minloglevel="2", PYTHONPATH=str(tree))
    command = [sys.executable, __file__, "--child", task]
    done = subprocess.run(
        command, env=env, cwd=folder, check=True, capture_output=True, text=True
    )
    result: Found = json.loads(done.stdout.splitlines()[-1])
    return result


def raw_write(folder: str) -> float:
    """Seconds to write and flush as many bytes: what the disk allows."""
    content = os.urandom(1 << 20) * (Path(folder, WEIGHTS).stat().st_size >> 20)
    begin = time.perf_counter()
    with Path(folder, "raw").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - begin


def main() -> None:
    """Measure all tasks of all trees, or one of them in a child process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, action="append", help="default: this one")
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to write; default: a temporary one")
    parser.add_argument("--child", choices=[*TASKS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child)))
        return
    trees = [tree.resolve() for tree in args.tree or [ROOT]]
    found: dict[tuple[Path, str], list[Found]] = {}
    raw = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run(trees[0], "save", folder)
        Path(folder, SAVED).rename(Path(folder, WEIGHTS))
        for _ in range(args.rounds):
            raw.append(raw_write(folder))
            for task in args.task or TASKS:
                for tree in trees:
                    found.setdefault((tree, task), []).append(run(tree, task, folder))
    print(f"as many bytes written and flushed plainly: {statistics.median(raw):.3f} s")
    for (tree, task), runs in found.items():
        medians = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in medians.items())
        print(f"{tree.name} {task}: {shown}")


if __name__ == "__main__":
    main()

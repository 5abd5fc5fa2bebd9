"""A ``caffe train`` that trains nothing: log, snapshots and signals as Caffe's.

python fake_caffe.py BEHAVIOUR train -solver solver.prototxt [-snapshot STATE] ...
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import h5py

# not by its file: this folder has modules with names of Python's own
START = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.support import fake_caffe
sys.exit(fake_caffe.main(*sys.argv[1:]))
"""


def say(text, level="I"):
    write(f"{level}20261122 14:44:32.0 1 x.cpp:1] {text}")


def write(line):
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def snapshot(iteration):
    for kind, line in (("caffemodel", ""), ("solverstate", "solver state ")):
        name = f"snapshot_iter_{iteration}.{kind}.h5"
        say(f"Snapshotting {line}to HDF5 file {name}")
        with h5py.File(name, "w") as file:
            file["iter"] = iteration


def validate(iteration):
    say(f"Iteration {iteration}, Testing net (#0)")
    say(f"    IoU - Per class intersection: {10 - abs(iteration - 4)} ")
    say("    IoU - Per class union: 10 ")
    say("    Test net output #3: loss_valid = 0.5 (* 1 = 0.5 loss)")


def main(behaviour, *words):
    flags = dict(zip(words[1::2], words[2::2], strict=True))
    write(f"called with {' '.join(words)}")
    text = Path(flags["-solver"]).read_text()
    last, interval = (
        int(re.search(rf"{name}: (\d+)", text)[1]) for name in ("max_iter", "snapshot")
    )
    start = re.search(r"_iter_(\d+)", flags.get("-snapshot", ""))
    asked = []
    signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    for iteration in range(int(start[1]) if start else 0, last):
        if iteration % interval == 0:
            validate(iteration)
        loss = "nan" if behaviour == "nan" and iteration == 3 else 1 / (iteration + 1)
        say(f"Iteration {iteration} (9 iter/s, 0.1s/1 iters), loss = {loss}")
        if behaviour.startswith("fail") and iteration == 3:
            return fail(behaviour)
        if behaviour.startswith("SIG") and iteration == 5 and not start:
            os.kill(os.getppid(), getattr(signal, behaviour))
            while not asked:
                signal.pause()
        if behaviour == "torn" and iteration == 7:
            say("Snapshotting to HDF5 file snapshot_iter_8.caffemodel.h5")
            return 1
        if asked or (iteration + 1) % interval == 0:
            snapshot(iteration + 1)
        if asked:
            return 0
    validate(last)
    return 0


def fail(behaviour):
    if behaviour == "fail-silently":
        return 0
    reason = "CUDA out of memory" if behaviour == "fail-memory" else "disk is full"
    say(f"caffe train: {reason}", "F")
    write("*** Check failure stack trace: ***")
    return 1

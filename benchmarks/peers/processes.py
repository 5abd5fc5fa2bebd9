"""The processes of peers, seen from the one that measures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.material import EXPORTS, ROOT, folder_of

PATIENCE_S = 1800.0  # for an answer; the first one may compile
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


class LeftOutError(Exception):
    """A peer cannot do a task here; the text says why."""


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes
    ----------
    kind : {"inference", "training"}
    precision : {"float32", "bf16"}
    """

    kind: str
    precision: str

    def __str__(self) -> str:
        return f"{self.kind} {self.precision}"


TASKS = tuple(
    Task(k, p) for k in ("inference", "training") for p in ("float32", "bf16")
)


@dataclass(frozen=True)
class Peer:
    """One of those that are compared.

    Attributes
    ----------
    family : str
        The module that sets it up.
    variant : str
        What it is of its family.
    tasks : tuple of Task
        What it can do at all.
    """

    family: str
    variant: str = ""
    tasks: tuple[Task, ...] = TASKS


FLOAT, BF16, STEP, BF16_STEP = TASKS
PEERS = {
    "ours": Peer("ours", "torch"),
    "ours-onnxruntime": Peer("ours", "onnxruntime", (FLOAT, BF16)),
    "ours-openvino": Peer("ours", "openvino", (FLOAT, BF16)),
    "torch-nchw": Peer("plain_torch", "nchw", (FLOAT, STEP)),
    "torch-channels-last": Peer("plain_torch", "channels-last"),
    "torch-bf16-weights": Peer("plain_torch", "bf16-weights", (BF16,)),
    "torch-compile": Peer("plain_torch", "compile"),
    "onnxruntime": Peer("onnx_runtime", tasks=(FLOAT,)),
    "openvino": Peer("open_vino", tasks=(FLOAT, BF16)),
    "opencv": Peer("open_cv", tasks=(FLOAT,)),
    "caffe": Peer("original_caffe", tasks=(FLOAT, STEP)),
}


class Worker:
    """A peer's process, made ready for one task.

    Parameters
    ----------
    peer : Peer
    task : Task
    model : str
        A folder of `prototxt/`.
    threads : int
    pycaffe : str, optional
        The folder of an original pycaffe, or a Python that has one.

    Attributes
    ----------
    about : dict
        What it said of itself: seconds to set up, to compile, of its first run.

    Raises
    ------
    LeftOutError
        It cannot do the task here.
    """

    def __init__(
        self, peer: Peer, task: Task, *, model: str, threads: int, pycaffe: str = ""
    ) -> None:
        python, env = _place(peer, pycaffe)
        material, folder = folder_of(model), ROOT / "prototxt" / model
        request = {
            "family": peer.family,
            "variant": peer.variant,
            "kind": task.kind,
            "precision": task.precision,
            "model": model,
            "threads": threads,
            "material": str(material),
            "deploy": str(folder / "deploy.prototxt"),
            "solver": str(folder / "solver.prototxt"),
            "bvlc_solver": str(material / "training" / "bvlc_solver.prototxt"),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._inductor = tempfile.TemporaryDirectory(prefix="inductor-")
        self._process = subprocess.Popen(
            [python, "-m", "peers", json.dumps(request)],
            cwd=material / "training",
            env=environment(threads, env, TORCHINDUCTOR_CACHE_DIR=self._inductor.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            self.about: dict[str, Any] = self._answer()["about"]
        except LeftOutError:
            self.close()
            raise

    def run(self, repeats: int) -> list[float]:
        """Do the task some times; seconds of each."""
        seconds: list[float] = self._ask(do="run", repeats=repeats)["seconds"]
        return seconds

    def scores(self, file: Path) -> None:
        """Write the scores of the input as `.npy`."""
        self._ask(do="scores", file=str(file))

    def end(self) -> float:
        """End it; the most memory that it ever held, in GiB."""
        peak: float = self._ask(do="end")["peak_gib"]
        self.close()
        return peak

    def close(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._inductor.cleanup()

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise LeftOutError(self._last_words()) from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE_S)[0]:
            raise LeftOutError(f"no answer in {PATIENCE_S:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise LeftOutError(self._last_words())
        found: dict[str, Any] = json.loads(line)
        if "left_out" in found:
            raise LeftOutError(found["left_out"])
        return found

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        status = f"ended with status {self._process.returncode}"
        return ": ".join([status, *lines[-1:]])


def make_material(model: str, threads: int, exports: Sequence[str] = ()) -> None:
    """Make weights, input, reference and exported nets, each in its own process.

    An export that fails is named; the peers that need it are then left out.

    Raises
    ------
    SystemExit
        The rest cannot be made.
    """
    folder = folder_of(model)
    env = environment(threads, PYTHONPATH=str(ROOT / "benchmarks"))
    for export in ["", *exports]:
        ready = folder / EXPORTS.get(export, "")
        if ready.exists():
            continue
        print(f"making {ready}", flush=True)
        words = [model, str(folder), *([export] if export else [])]
        done = subprocess.run(
            [sys.executable, "-m", "peers.material", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = f"{ready}: {done.stderr.strip().splitlines()[-1]}"
            if not export:
                raise SystemExit(reason)
            print(reason, file=sys.stderr)


def environment(
    threads: int, changes: Mapping[str, str] | None = None, **more: str
) -> dict[str, str]:
    """Give what a process of some threads is started with."""
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "GLOG_minloglevel": "2",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else helpers of it stay and wait
        **(changes or {}),
        **more,
    }


def _place(peer: Peer, pycaffe: str) -> tuple[str, dict[str, str]]:
    """Give the Python of a peer, and where that looks for modules."""
    here = str(ROOT / "benchmarks")
    if peer.family != "original_caffe":
        return sys.executable, {"PYTHONPATH": os.pathsep.join([here, str(ROOT)])}
    if not pycaffe:
        raise LeftOutError("no original Caffe: --pycaffe names one")
    place = Path(pycaffe).resolve()
    if place.is_dir():
        return sys.executable, {"PYTHONPATH": os.pathsep.join([str(place), here])}
    return str(Path(pycaffe).absolute()), {"PYTHONPATH": here}

"""Working folders with the small net of the stored solver runs of the original."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = Path(__file__).parents[1] / "reference"
CASES = sorted(p.parent.name for p in REFERENCE.glob("solvers/*/solver.prototxt"))


def case_folder(name: str, folder: Path) -> Path:
    """Copy a stored solver run: net, data, first weights, snapshots at iteration 10."""
    for part in ("common", name):
        shutil.copytree(REFERENCE / "solvers" / part, folder, dirs_exist_ok=True)
    return folder


def logs_folder(folder: Path) -> Path:
    """Copy the stored runs of the commands: net, solver, data, snapshots, logs."""
    shutil.copytree(REFERENCE / "logs", folder, dirs_exist_ok=True)
    return folder


def relative_error(got: Any, want: Any) -> float:
    """Relative L2 distance."""
    got, want = np.asarray(got, float), np.asarray(want, float)
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-6))


def write_solver(folder: Path, text: str, name: str = "solver.prototxt") -> str:
    """Write a solver file and return its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


BASE = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 12
snapshot_prefix: "snap" random_seed: 3 solver_mode: CPU
"""

"""Solvers by Caffe's names.

====================  ========================================================
``SGDSolver`` ...     one class a method; `get_solver` finds it by its name
``solver``            the loop that all share
``nets``, ``state``   the nets of a solver file; the files of a solver's state
====================  ========================================================
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from caffe.engine.solvers.adaptive import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    RMSPropSolver,
)
from caffe.engine.solvers.sgd import NesterovSolver, SGDSolver
from caffe.errors import CheckError
from caffe.proto import files

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
]

_CLASSES: dict[str, type[SGDSolver]] = {
    cls.__name__.removesuffix("Solver"): cls
    for cls in (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
    )
}


def get_solver(source: Any, folder: Path | None = None) -> SGDSolver:
    """Make the solver whose `type` a solver file names.

    Parameters
    ----------
    source : path or SolverParameter
    folder : Path, optional
        Where the solver file lies, if `source` is none.

    Raises
    ------
    CaffeError
        If the type is unknown, or as the solvers themselves.
    """
    param = source
    if isinstance(source, (str, os.PathLike)):
        param, folder = files.read_solver(source), Path(source).parent
    if param.type not in _CLASSES:
        raise CheckError(
            f"Unknown solver type: {param.type} "
            f"(known solver types: {', '.join(sorted(_CLASSES))})"
        )
    return _CLASSES[param.type](param, folder)

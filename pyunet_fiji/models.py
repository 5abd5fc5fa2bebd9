"""Model definitions as one of the kinds of models that pyunet opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.zoo.finding import find_file

if TYPE_CHECKING:
    from pyunet.inference.trained import Trained

ENDING = ".modeldef.h5"


def handles(path: Path) -> bool:
    """Tell a model definition from a prototxt, by the name."""
    return path.suffix.lower() == ".h5"


def open_model(path: Path, weights: Path, *, gpu: int | None = None) -> Trained:
    """Load a model definition with its weights; see `pyunet.zoo.finding.ModelKind`."""
    from pyunet_fiji.modeldef.trained import trained_definition

    return trained_definition(path, weights, gpu=gpu)


def find_definition(model: str | Path) -> Path:
    """Find a model definition, as `find_file` does."""
    return find_file(model, ENDING)

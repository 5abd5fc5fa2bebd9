"""The model that is to be exported: by its name, its folder or its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyunet.errors import DataError
from pyunet.inference.engine import Model, load_model, load_trained
from pyunet.zoo import find_model, kind_of
from pyunet.zoo.fetching import fetch
from pyunet.zoo.manifest import Entry, entries
from pyunet_fiji.modeldef import ModelDefinition
from pyunet_fiji.modeldef.loading import load_definition


@dataclass(frozen=True)
class Source:
    """A net with its weights, and what is known of it.

    Attributes
    ----------
    path : Path
        The prototxt, or the model definition.
    net : caffe.Net
        In phase TEST, on the CPU.
    definition : ModelDefinition or None
    entry : Entry or None
        Of a trained model of ``pyunet zoo list``.
    """

    path: Path
    net: Any
    definition: ModelDefinition | None = None
    entry: Entry | None = None
    weights: Path = Path()

    @property
    def name(self) -> str:
        """What to call the model."""
        if self.entry is not None:
            return self.entry.name
        if self.definition is not None:
            return self.definition.ident
        return str(self.net.name) or self.path.parent.name

    def tiled(self) -> Model:
        """Give the model as ``pyunet segment`` sees it.

        Raises
        ------
        DataError
            A net that cannot be run by tiles.
        """
        if self.definition is not None:
            return load_definition(self.path, self.weights)[0]
        return load_model(self.path, self.weights)


def open_source(model: str, weights: str | None) -> Source:
    """Load a model.

    Parameters
    ----------
    model : str
        A folder with ``deploy.prototxt``, a prototxt, a ``.modeldef.h5``, the name of
        a net that comes with the package, or of a trained model (``pyunet zoo list``).
    weights : str, optional
        ``.caffemodel`` or ``.caffemodel.h5``; a trained model brings its own.

    Raises
    ------
    DataError
        A model or weights that are not there, or do not fit each other.
    """
    entry = None
    if weights is None:
        entry = entries().get(model)
        if entry is None:
            known = ", ".join(entries())
            raise DataError(
                f"{model}: is no trained model, which would bring its weights; give "
                f"--weights, or one of {known} (pyunet zoo list)"
            )
        files = fetch(entry)
        path, given = files.model, files.weights
    else:
        path, given = find_model(model), Path(weights)
    if not given.is_file():
        raise DataError(f"{given}: no such file; the model's weights are wanted")
    if kind_of(path) is not None:
        tiled, definition = load_definition(path, given)
        return Source(path, tiled.net, definition, entry, given)
    return Source(path, load_trained(path, given), None, entry, given)

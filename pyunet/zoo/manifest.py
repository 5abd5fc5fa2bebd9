"""What is known of trained models: ``weights/manifest.toml`` and the user's own list.

A model's weights are a file of the list's own folder, or are downloaded from where
their authors published them. `state` says which; a model whose file is not there is
never taken for one that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from pyunet.errors import DataError
from pyunet.toml import from_table, read_toml
from pyunet.zoo.cache import cache_folder

MANIFEST = "manifest.toml"
FETCHED = "fetched.json"  # written when a download is whole and in its place
Normalisation = Literal[
    "by type", "local contrast", "smallest..largest", "mean and deviation",
    "vector norm", "none",
]  # fmt: skip
Channels = Literal["grey", "green", "rgb", "as stored"]
State = Literal["here", "to fetch", "missing"]


@dataclass(frozen=True)
class Input:
    """What a net was trained to see.

    Attributes
    ----------
    channels : int, default 1
        Of the net.
    take : {"grey", "green", "rgb", "as stored"}
        What of an image they are.
    pixel_size_um : float, default 0
        Side of a pixel in micrometres; 0: images are taken as they are.
    normalisation : str
        ``by type``: 8 bits by 255, 16 bits by 65535, other types from smallest to
        largest; ``local contrast``: that, then the same mean and contrast within
        ``window_px``; the others are those of a model definition, which says it itself.
    mean, deviation : float, default 0
        Of the images that it was trained on, with ``by type``. Images that are far
        from them are brought to them. A deviation of 0: nothing is.
    window_px : float, default 0
        Standard deviation of the Gaussian window of ``local contrast``.
    inside : {"", "eye"}
        ``eye``: only a fundus photograph's field of view counts for contrast.
    eye_width_px : float, default 0
        With ``eye``: pixels that the field of view is wide; images are brought to it.
    """

    channels: int = 1
    take: Channels = "grey"
    pixel_size_um: float = 0.0
    normalisation: Normalisation = "by type"
    mean: float = 0.0
    deviation: float = 0.0
    window_px: float = 0.0
    inside: Literal["", "eye"] = ""
    eye_width_px: float = 0.0

    def __post_init__(self) -> None:
        numbers = (
            self.pixel_size_um, self.mean, self.deviation, self.window_px,
            self.eye_width_px,
        )  # fmt: skip
        if self.channels < 1 or not all(0 <= number < math.inf for number in numbers):
            raise DataError(
                f"{self.channels} channels, and sizes and grey values of {numbers}; "
                "expected numbers from 0, and one channel or more"
            )
        if (self.normalisation == "local contrast") != (self.window_px > 0):
            raise DataError("window_px goes with the normalisation 'local contrast'")
        if self.eye_width_px and not (self.inside and self.window_px):
            raise DataError("eye_width_px goes with inside 'eye' and 'local contrast'")


@dataclass(frozen=True)
class Score:
    """A number that was measured.

    Attributes
    ----------
    metric : str
    value : float
    data : str
        What it was measured on, none of which the net was trained with.
    command : str
        What gave it.
    """

    metric: str
    value: float
    data: str
    command: str = ""


@dataclass(frozen=True)
class Entry:
    """A trained model.

    Attributes
    ----------
    name : str
    what : str
        What it segments, one sentence.
    licence, citation : str
    folder : Path
        Of the list, where ``file`` and ``thumbnail`` are.
    prototxt : str
        Its net: a folder of ``prototxt/``, or a file beside the list. With
        ``definition`` none.
    file : str
        Weights beside the list; or
    urls : list of str
        where they are published, tried one after the other;
    member : str
        the weights' name in the archive there; none: it is the weights themselves.
    definition : str
        Name of a ``.modeldef.h5`` beside ``file`` or in the archive.
    collection : bool
        The archive holds several models, each a ``.modeldef.h5`` and its
        ``.caffemodel.h5``; all become the user's.
    sha256 : str
        Of ``file``, or of what ``urls`` give. Where it is not known the first download
        decides, and later ones must be the same.
    size : int
        Of that in bytes; 0: unknown.
    classes : list of str
        Meaning of the net's outputs, in order.
    objects : str
        The class whose objects are counted. Default: all but the first.
    average : str
        Test-time averaging as in ``pyunet segment --average``; default none.
    rename : dict of str to str
        Layers whose published names differ from the net's.
    thumbnail : str
    input : Input
    scores : list of Score
    """

    name: str
    what: str
    licence: str
    folder: Path = field(default=Path(), compare=False)
    citation: str = ""
    prototxt: str = ""
    file: str = ""
    urls: list[str] = field(default_factory=list)
    member: str = ""
    definition: str = ""
    collection: bool = False
    sha256: str = ""
    size: int = 0
    classes: list[str] = field(default_factory=list)
    objects: str = ""
    average: str = ""
    rename: dict[str, str] = field(default_factory=dict)
    thumbnail: str = ""
    input: Input = field(default_factory=Input)
    scores: list[Score] = field(default_factory=list)

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.urls):
            raise DataError("expected either file or urls")
        nets = [bool(self.prototxt), bool(self.definition), self.collection]
        if sum(nets) != 1:
            raise DataError(
                "expected exactly one of prototxt, definition and collection"
            )
        if self.objects and self.objects not in self.classes:
            raise DataError(f"objects {self.objects!r}: is none of classes")

    @property
    def object_classes(self) -> list[int]:
        """Numbers of the classes whose objects are counted; empty: all but 0."""
        return [self.classes.index(self.objects)] if self.objects else []

    @property
    def cache(self) -> Path:
        """Where its downloaded files lie."""
        return cache_folder() / self.name

    @property
    def weights_path(self) -> Path:
        """Where its weights are, or will be."""
        if self.file:
            return self.folder / self.file
        return self.cache / (Path(self.member).name or f"{self.name}.caffemodel")

    @property
    def definition_path(self) -> Path | None:
        """Where its model definition is, or will be, if it has one."""
        if not self.definition:
            return None
        if self.file:
            return self.folder / self.definition
        return self.cache / Path(self.definition).name


def read_manifest(path: Path) -> dict[str, Entry]:
    r"""Read one list of models.

    Raises
    ------
    DataError
        A file that cannot be read, a key that no model has, one that is missing.

    Examples
    --------
    >>> import tempfile
    >>> text = "[a]\nwhat = 'cells'\nlicence = 'none'\nprototxt = 'n'\nfile = 'w'"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "manifest.toml")
    ...     _ = path.write_text(text)
    ...     read_manifest(path)["a"].what
    'cells'
    """
    models = {}
    for name, table in read_toml(path).items():
        where = f"{path}: [{name}]"
        if not isinstance(table, dict) or {"name", "folder"} & set(table):
            raise DataError(f"{where}: expected a table with the keys of a model")
        if Path(name).name != name or name.startswith("."):
            raise DataError(f"{where}: expected a name without folders")
        entry = from_table(Entry, {"name": name, **table}, where)
        models[name] = replace(entry, folder=path.parent)
    return models


def entries() -> dict[str, Entry]:
    """Give all models that are known: those of the package, then the user's own.

    Examples
    --------
    >>> entries()["phseg_v5"].prototxt
    'phseg_v5'
    """
    own = user_manifest()
    added = read_manifest(own) if own.is_file() else {}
    return {**added, **read_manifest(package_manifest())}


def find_entry(name: str) -> Entry:
    """Find a trained model by its name.

    Raises
    ------
    DataError
        None has it; the text names those that are known.
    """
    models = entries()
    if name not in models:
        raise DataError(
            f"{name}: no trained model of this name; known are {', '.join(models)} "
            "(pyunet zoo list); 'pyunet zoo add' takes in your own"
        )
    return models[name]


def state(entry: Entry) -> State:
    """Say whether a model can be used.

    Returns
    -------
    {"here", "to fetch", "missing"}
        Missing: its list names a file that is not there.
    """
    paths = [entry.cache / FETCHED] if entry.urls else []
    if not entry.collection:
        paths += filter(None, (entry.weights_path, entry.definition_path))
    if all(path.is_file() for path in paths):
        return "here"
    return "to fetch" if entry.urls else "missing"


def package_manifest() -> Path:
    """Where the list of the package is: inside when installed, beside in a clone."""
    package = Path(str(resources.files("pyunet")))
    inside = package / "_weights" / MANIFEST
    return inside if inside.is_file() else package.parent / "weights" / MANIFEST


def user_manifest() -> Path:
    """Where the list of the user's own models is."""
    return cache_folder() / MANIFEST

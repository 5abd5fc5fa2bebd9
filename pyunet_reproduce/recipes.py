"""Recipes: how one published result is reproduced, as data (TOML).

A recipe is a file ``recipes/NAME.toml``; its tables are the classes of this module and
its keys their attributes. A key that is not known is refused.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pyunet.data.augmentation import Augmentation
from pyunet.data.preparation import Preparation
from pyunet.errors import DataError
from pyunet.toml import from_table, read_toml

UNETS = ("U-Net", "UNet", "U-Net (e)")
LabelKind = Literal["binary", "classes", "colours", "instances"]
LABEL_KINDS: tuple[LabelKind, ...] = ("binary", "classes", "colours", "instances")
FAMILIES = (
    "ranking", "overlap", "saliency", "objects", "distance", "isbi2012", "cost"
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """One row of ``published.tsv``.

    Attributes
    ----------
    dataset, metric, model, tasks : str
        As they are listed.
    value : str
        The number as it is written.
    """

    dataset: str
    metric: str
    value: str
    model: str
    tasks: str

    @property
    def net(self) -> str:
        """The row's model as a recipe names it: "" is any U-Net."""
        return "" if self.model in UNETS else self.model


@dataclass(frozen=True)
class Files:
    """Where the files of one part of a data set lie, as patterns within its folder.

    Attributes
    ----------
    images, labels, masks : list of str
        Patterns of ``pathlib`` (``**`` is any folder); the first that finds something
        is taken. ``masks`` are fields of view and may be missing; "eye" finds those
        of fundus photographs in the images.
    key : str
        Regular expression; what its groups match in the path (within the folder)
        must be the same in an image and in its label. Default: the name without
        ending.
    label_key, mask_key : str
        The same for labels and masks, where their names differ. "order" pairs the
        sorted names. An image with several labels has the largest value of them.
    channels_from : list of list
        Pairs [text in the image's path, its replacement]: more files of the same
        picture, whose channels follow those of the image.
    listed_in : str
        A text file within the data set's folder; only the images whose names, without
        ending, are the first word of one of its lines.
    group : str
        Regular expression of what must stay together in a split, such as a patient.
    image_name, label_name : str
        Arrays within ``.npz``, ``.mat`` and HDF5 files.
    """

    images: list[str]
    labels: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    key: str = ""
    label_key: str = ""
    mask_key: str = ""
    channels_from: list[list[str]] = field(default_factory=list)
    listed_in: str = ""
    group: str = ""
    image_name: str = ""
    label_name: str = ""


@dataclass(frozen=True)
class LabelFormat:
    """How labels are stored: what their values mean.

    Attributes
    ----------
    kind : {"binary", "classes", "colours", "instances"}
        binary: values above ``above`` are class 1. classes: values are classes.
        colours: of a picture, one class each. instances: numbered objects, class 1.
    above : float, default 0
        Of binary labels.
    inverted : bool, default False
        Of binary labels: class 1 is what is not above.
    names : list of str
        Of the classes, class 0 first.
    values : list of list of int
        The stored values of each class, where they are not 0, 1, ...
    colours : list of list of int
        ``[red, green, blue]`` of each class; "nearest" decides on others.
    ignore : list of int
        Stored values that count nowhere. With colours: their class numbers.
    """

    kind: LabelKind = "binary"
    above: float = 0.0
    inverted: bool = False
    names: list[str] = field(default_factory=lambda: ["background", "object"])
    values: list[list[int]] = field(default_factory=list)
    colours: list[list[int]] = field(default_factory=list)
    ignore: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in LABEL_KINDS:
            raise DataError(
                f"labels of kind {self.kind!r}: expected one of "
                f"{', '.join(LABEL_KINDS)}"
            )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names)


@dataclass(frozen=True)
class Split:
    """What is trained on and what is tested.

    Attributes
    ----------
    train, test : list of str
        Names of parts. Or, with ``of``:
    of : str
        The part that is split.
    folds : int
        That many contiguous blocks of the sorted images, each tested once.
    train_first : int
        The first so many sorted images train, the rest tests.
    test_share : float
        A random share is tested, drawn once for all with seed 0.
    """

    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    of: str = ""
    folds: int = 1
    train_first: int = 0
    test_share: float = 0.0


@dataclass(frozen=True)
class NetChoice:
    """Which net is trained.

    Attributes
    ----------
    name : str
        Of a model in ``prototxt/``; its files are fitted to channels and classes.
    input : list of int
        Training tile ([Z,] Y, X) in pixels; three numbers make the net 3-D.
    solver : str
        The model whose solver is used; default: the net's own.
    model : str
        The published model that it is, as in ``published.tsv``; default: a U-Net.
    whole : bool, default False
        Its scores depend on the whole image and are as large as it: test images are
        not cut into tiles.
    """

    name: str
    input: list[int]
    solver: str = ""
    model: str = ""
    whole: bool = False


@dataclass(frozen=True)
class Training:
    """How the net is trained; the rest is in the net's solver.

    Attributes
    ----------
    iterations, samples, batch : int
        Steps of the solver, different augmented tiles, tiles a step.
    base_lr : float
        Learning rate; default: the solver's.
    augmentation : Augmentation
    border_weight : float
        w0 of the paper's weight map.
    class_weights : "balanced", "none" or list of float
    """

    iterations: int
    samples: int
    batch: int = 1
    base_lr: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    border_weight: float = 0.0
    class_weights: str | list[float] = "none"


@dataclass(frozen=True)
class Fills:
    """Published rows that a score of this recipe stands beside.

    Attributes
    ----------
    dataset, metric : str
        As in ``published.tsv``; all rows of both are filled.
    score : str
        ``family.name``, see `pyunet_reproduce.scores`.
    part : str
        The test part that is scored; default: all.
    scale : float, default 1
        100 where the published number is a percentage.
    """

    dataset: str
    metric: str
    score: str
    part: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.score.partition(".")[0] not in FAMILIES:
            raise DataError(
                f"score {self.score!r}: expected names that begin with "
                f"{', '.join(FAMILIES)}"
            )


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes
    ----------
    name : str
        The file's, as typed after ``pyunet reproduce``.
    title, published_at, terms, layout, note : str
        For people: the data set, where it is published, under which terms, which
        folder is expected, what is to be known about the comparison.
    files : dict of str to Files
        The parts.
    labels, split, preparation, net, training
    others : list of NetChoice
        Other nets with published rows, to be trained in place of ``net``; at the rate
        of their own solvers.
    size : list of int
        Images are resized to these (Y, X) before all; scores are of the original
        size. Default: as they are.
    average : str
        Test-time averaging: mirror, rotate, all, a number; default none.
    fills : list of Fills
    also : list of str
        Scores without a published number.
    """

    name: str
    title: str
    published_at: str
    terms: str
    layout: str
    files: dict[str, Files]
    split: Split
    net: NetChoice
    training: Training
    fills: list[Fills]
    others: list[NetChoice] = field(default_factory=list)
    labels: LabelFormat = field(default_factory=LabelFormat)
    preparation: Preparation = field(default_factory=Preparation)
    size: list[int] = field(default_factory=list)
    average: str = ""
    also: list[str] = field(default_factory=list)
    note: str = ""

    def with_net(self, name: str) -> Recipe:
        """Give the recipe with one of its nets as the one to be trained.

        Raises
        ------
        DataError
            It has no such net.
        """
        if name == self.net.name:
            return self
        for other in self.others:
            if other.name == name:
                training = replace(self.training, base_lr=0.0)
                return replace(self, net=other, others=[], training=training)
        names = ", ".join(net.name for net in (self.net, *self.others))
        raise DataError(f"{self.name}: has no net {name!r}; expected one of {names}")


def recipe_names() -> list[str]:
    """Name the recipes that come with the package."""
    return sorted(path.stem for path in _folder().glob("recipes/*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or a file of the user's own.

    Raises
    ------
    DataError
        No such recipe; a file with keys or values that no recipe has.

    Examples
    --------
    >>> read_recipe("drive").title
    'DRIVE'
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = _folder() / "recipes" / f"{name}.toml"
    if not path.is_file():
        raise DataError(
            f"{name}: no such recipe; expected a file .toml or one of "
            f"{', '.join(recipe_names())}"
        )
    table = {"name": path.stem, **read_toml(path)}
    return from_table(Recipe, table, str(path))


@cache
def published() -> tuple[Published, ...]:
    """Read the published rows, in their order.

    Examples
    --------
    >>> len(published()), published()[0].dataset
    (87, 'Kvasir-SEG')
    """
    with (_folder() / "published.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return tuple(Published(**row) for row in rows)


def filled(recipe: Recipe) -> list[tuple[Fills, Published]]:
    """Give the published rows of a recipe, each with what fills it."""
    return [
        (fill, row)
        for fill in recipe.fills
        for row in published()
        if (row.dataset, row.metric) == (fill.dataset, fill.metric)
    ]


def _folder() -> Path:
    return Path(str(resources.files("pyunet_reproduce")))

"""Which cases train and which are tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyunet.errors import DataError
from pyunet_reproduce.readers import Case
from pyunet_reproduce.recipes import Recipe


@dataclass(frozen=True)
class Fold:
    """One training and its tests; each is a list of (part, case)."""

    train: list[tuple[str, Case]]
    test: list[tuple[str, Case]]


def make_folds(recipe: Recipe, find: Callable[[str], list[Case]]) -> list[Fold]:
    """Split the cases of a data set.

    Parameters
    ----------
    recipe : Recipe
    find : callable
        Gives the cases of a part; only those that are used are asked for.

    Returns
    -------
    list of Fold

    Raises
    ------
    DataError
        A fold without an image to train on or to test.
    """
    split = recipe.split
    if not split.of:
        folds = [Fold(_of(split.train, find), _of(split.test, find))]
    else:
        cases = [(split.of, case) for case in find(split.of)]
        folds = [_cut(cases, tested) for tested in _tested(recipe, cases)]
    for number, fold in enumerate(folds):
        if not fold.train or not fold.test:
            raise DataError(
                f"{recipe.title}, fold {number}: {len(fold.train)} images to train on "
                f"and {len(fold.test)} to test; expected at least one of each"
            )
    return folds


def _of(parts: list[str], find: Callable[[str], list[Case]]) -> list[tuple[str, Case]]:
    return [(part, case) for part in parts for case in find(part)]


def _cut(cases: list[tuple[str, Case]], tested: set[int]) -> Fold:
    both: tuple[list[tuple[str, Case]], list[tuple[str, Case]]] = ([], [])
    for number, case in enumerate(cases):
        both[number in tested].append(case)
    return Fold(*both)


def _tested(recipe: Recipe, cases: list[tuple[str, Case]]) -> list[set[int]]:
    """Give the numbers of the cases that each fold tests."""
    split = recipe.split
    if split.train_first:
        return [set(range(split.train_first, len(cases)))]
    if split.test_share:
        groups = sorted({case.group for _, case in cases})
        order = np.random.default_rng(0).permutation(len(groups))
        chosen = {groups[n] for n in order[: round(split.test_share * len(groups))]}
        return [{n for n, (_, case) in enumerate(cases) if case.group in chosen}]
    blocks = np.array_split(np.arange(len(cases)), split.folds)
    return [set(block.tolist()) for block in blocks]

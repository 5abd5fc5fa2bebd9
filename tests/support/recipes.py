"""A recipe that is small enough for a test."""

from pyunet.data.augmentation import Augmentation
from pyunet_reproduce.recipes import (
    Files,
    LabelFormat,
    NetChoice,
    Recipe,
    Split,
    Training,
)


def small_recipe(**changes):
    """Give a recipe of grey images ``x/*`` with masks ``y/*``, in two folds."""
    how = Augmentation(elastic_std=0, interpolation="linear")
    settings = {
        "name": "small",
        "title": "Small",
        "published_at": "https://example.org",
        "terms": "none",
        "layout": "x/*.png\ny/*.png",
        "files": {"all": Files(["x/*"], ["y/*"])},
        "labels": LabelFormat(above=127),
        "split": Split(of="all", folds=2),
        "net": NetChoice("unet_vessels", [60, 60]),
        "training": Training(iterations=4, samples=4, augmentation=how),
        "fills": [],
        "also": ["ranking.roc_auc"],
    }
    return Recipe(**{**settings, **changes})

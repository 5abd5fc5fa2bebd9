"""U-Net around Caffe's files: training data, overlap-tile segmentation and scores.

The package speaks to ``caffe`` by pycaffe's public names only. Its parts are
imported where they are used: ``pyunet.data``, ``pyunet.inference`` and
``pyunet_metrics``; the command is ``pyunet`` (``pyunet.cli``). ``pyunet.load`` gives a
trained model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pyunet.inference.trained import Trained

__version__ = "0.7.0"


def load(
    name: str | Path, weights: str | Path | None = None, *, gpu: int | None = None
) -> Trained:
    """Load a trained model; ``load(NAME)(image)`` gives the scores of an image.

    Parameters
    ----------
    name : str or Path
        One of those that ``pyunet zoo list`` names. What is not here is fetched. With
        `weights` the net: a prototxt, a folder with ``deploy.prototxt``, a
        ``.modeldef.h5``, or the name of a net that comes with the package.
    weights : str or Path, optional
        ``.caffemodel`` or ``.caffemodel.h5`` of your own.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        No such model, one that cannot be fetched, files that do not fit each other.

    Examples
    --------
    >>> load("nonesuch")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pyunet.errors.DataError: nonesuch: no trained model of this name; known are ...
    """
    from pyunet.inference.trained import load_trained

    return load_trained(name, weights, gpu=gpu)

"""U-Net around Caffe's files: training data, overlap-tile segmentation and scores.

The package speaks to ``caffe`` by pycaffe's public names only. Its parts are
imported where they are used: ``pyunet.data``, ``pyunet.inference`` and
``pyunet_metrics``; the command is ``pyunet`` (``pyunet.cli``). ``pyunet.load`` gives a
trained model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyunet.inference.pretrained import Pretrained

__version__ = "0.6.0"


def load(name: str, *, gpu: int | None = None) -> Pretrained:
    """Load a trained model; ``load(NAME)(image)`` gives the scores of an image.

    Parameters
    ----------
    name : str
        One of those that ``pyunet zoo list`` names. What is not here is fetched.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    Pretrained

    Raises
    ------
    DataError
        No such model, or one that cannot be fetched.

    Examples
    --------
    >>> load("nonesuch")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pyunet.errors.DataError: nonesuch: no trained model of this name; known are ...
    """
    from pyunet.inference.pretrained import load_pretrained

    return load_pretrained(name, gpu=gpu)

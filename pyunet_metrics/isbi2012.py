"""The metrics of the ISBI 2012 challenge on neuronal structures in EM stacks.

As the official program computes them (Fiji's Trainable Weka Segmentation). Truth
comes before prediction everywhere, both of shape (Y, X) or (Z, Y, X), slices first.
In the truth 0 is membrane and everything else inside. A prediction is the
probability of inside; it is cut at 0, 0.1, ..., 1, and its best score counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet_metrics import warping
from pyunet_metrics.curves import Curves
from pyunet_metrics.thinning import border_thinning

__all__ = [
    "border_thinning",
    "evaluate",
    "pixel_error",
    "rand_error",
    "summary",
    "v_info",
    "v_rand",
    "warping_error",
    "warping_summary",
]


def pixel_error(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return 1 - the best F score of the pixels inside.

    Pixels of all slices are counted together; F is the harmonic mean of precision
    and recall of class "inside".

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        0 membrane, all else inside.
    prediction : array, same shape
        Probability of inside, 0 to 1.

    Returns
    -------
    float
        0 to 1, 0 is best; no unit.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    References
    ----------
    The challenge's evaluation, http://brainiac2.mit.edu/isbi_challenge/evaluation

    Examples
    --------
    One of three inside pixels is missed, F = 2 * 1 * (2/3) / (1 + 2/3) = 0.8:

    >>> round(pixel_error([[1, 1, 0, 1]], [[1, 1, 0, 0]]), 12)
    0.2
    """
    return Curves(truth, prediction, ["pixel"]).pixel_error().value


def rand_error(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return 1 - the best F score of pixel pairs in one object (adapted Rand error).

    Objects are the 4-connected components of a slice, without thinning. Only pixels
    inside the truth's objects count; those that the prediction calls membrane are
    objects of one pixel. Pairs are counted together over all slices.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        0 membrane, all else inside.
    prediction : array, same shape
        Probability of inside, 0 to 1.

    Returns
    -------
    float
        0 to 1, 0 is best; 1 if a slice of the truth has no object; no unit.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    References
    ----------
    I. Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015; the form of the
    challenge's program since 2015 (`evaluate` also gives the one of 2014).

    Examples
    --------
    An object of 4 pixels found as one of 3 and one single pixel: of 16 ordered pairs
    9 + 1 are kept, F = 2 * (10/16) / (1 + 10/16) = 10/13:

    >>> round(rand_error([[1, 1, 1, 1]], [[1, 1, 1, 0]]), 12) == round(3 / 13, 12)
    True
    """
    return Curves(truth, prediction, ["rand"]).rand_error().value


def v_rand(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the foreground-restricted Rand score after border thinning.

    As `rand_error`, but a score, of objects after `border_thinning` of the prediction,
    and the mean over the slices of each slice's own F.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        0 membrane, all else inside.
    prediction : array, same shape
        Probability of inside, 0 to 1.

    Returns
    -------
    float
        0 to 1, 1 is best; a slice without any true object gives 0; no unit.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    References
    ----------
    I. Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015, equation for V^Rand.

    Examples
    --------
    Membrane that parts nothing costs nothing:

    >>> v_rand([[1, 1, 1, 1]], [[1, 1, 1, 0]])
    1.0
    """
    return Curves(truth, prediction, ["v_rand"]).v_rand().value


def v_info(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the foreground-restricted information score after border thinning.

    F of the mutual information over the truth's and over the prediction's entropy;
    pixels and objects as for `v_rand`, and the mean over the slices.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        0 membrane, all else inside.
    prediction : array, same shape
        Probability of inside, 0 to 1.

    Returns
    -------
    float
        0 to 1, 1 is best; a slice whose truth is one object, or that is found as one,
        gives 0; no unit.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    References
    ----------
    I. Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015, equation for V^Info.

    Examples
    --------
    >>> v_info([[1, 0, 1, 1]], [[1, 0, 1, 1]])
    1.0
    >>> v_info([[1, 0, 1, 1]], [[1, 1, 1, 1]])
    0.0
    """
    return Curves(truth, prediction, ["v_info"]).v_info().value


def warping_error(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    clustered: bool = False,
    radius: int = warping.RADIUS,
) -> float:
    """Return the share of pixels that merge or split objects, at the best threshold.

    The truth is bent towards the prediction by flipping simple points; of the pixels
    where the two still differ, those of mergers and of splits count (not those of
    holes, of objects lost and of objects added). Slices are pooled; thresholds are 0,
    0.1, ..., 0.9.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        Above 0 is inside, all else membrane. As in the official program, a slice of
        the truth that is inside all over, or whose labels go beyond 510, has no
        error.
    prediction : array, same shape
        Probability of inside, 0 to 1.
    clustered : bool, default False
        Count touching pixels of one kind once.
    radius : int, default 20
        How far to look, in pixels, for a way round a gap before it is a split; 0 is
        all the slice.

    Returns
    -------
    float
        0 to 1, 0 is best; no unit.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    References
    ----------
    V. Jain et al., "Boundary learning by optimization with topological constraints",
    CVPR 2010; the script of the challenge's page (minimum splits and mergers).

    Examples
    --------
    A gap of one pixel in the membrane between two objects, of nine pixels:

    >>> truth = [[1, 0, 1], [1, 0, 1], [1, 0, 1]]
    >>> prediction = [[1, 0, 1], [1, 1, 1], [1, 0, 1]]
    >>> warping_error(truth, prediction) == 1 / 9
    True
    """
    counted = warping.counts(truth, prediction, radius=radius)
    name = "warping_error_clustered" if clustered else "warping_error"
    return warping_summary(counted, np.size(truth))[name]


def evaluate(truth: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """Return all metrics of the challenge.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        0 membrane, all else inside.
    prediction : array, same shape
        Probability of inside, 0 to 1.

    Returns
    -------
    dict of str to float
        ``pixel_error``, ``rand_error``, ``v_rand`` and ``v_info`` as the functions of
        those names; ``rand_error_2014`` counts pairs of different pixels, as when the
        U-Net of 2015 was scored; ``rand_error_classic`` those of all pixels, membrane
        being one object; ``v_rand_binary`` and ``v_info_binary`` use threshold 0 only;
        ``warping_error`` and ``warping_error_clustered``.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    Examples
    --------
    >>> evaluate([[1, 0, 1, 1]], [[0.9, 0.2, 0.6, 0.9]])["v_rand"]
    1.0
    """
    scores = summary(Curves(truth, prediction))
    counted = warping.counts(truth, prediction)
    return scores | warping_summary(counted, np.size(truth))


def summary(curves: Curves) -> dict[str, float]:
    """Return the mapping of `evaluate` from curves that follow all rules."""
    return {
        "pixel_error": curves.pixel_error().value,
        "rand_error": curves.rand_error().value,
        "rand_error_2014": curves.rand_error("rand_2014").value,
        "rand_error_classic": curves.rand_error("rand_classic").value,
        "v_rand": curves.v_rand().value,
        "v_rand_binary": curves.v_rand(binary=True).value,
        "v_info": curves.v_info().value,
        "v_info_binary": curves.v_info(binary=True).value,
    }


def warping_summary(counted: NDArray[np.int64], pixels: int) -> dict[str, float]:
    """Return both warping errors from the counts of `pyunet_metrics.warping.counts`.

    Parameters
    ----------
    counted : array of int, shape (thresholds, Z, 2)
    pixels : int
        Of all slices together.
    """
    least = counted.sum(axis=1).min(axis=0) / pixels
    return {
        "warping_error": float(least[0]),
        "warping_error_clustered": float(least[1]),
    }

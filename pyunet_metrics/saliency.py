"""Metrics of salient and camouflaged object detection, by PySODMetrics.

Truth comes before prediction. The numbers are PySODMetrics' own: a prediction is
stretched to 0..1 first (unless it is constant), and a stack of images is scored as its
package does: values and curves are means over the images, and the maximum of a mean
curve counts.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet.errors import DataError

GREY = 255


def evaluate(truth: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """Return all metrics of one image or of a stack.

    Parameters
    ----------
    truth : array, shape (Y, X) or (N, Y, X)
        Booleans, or grey values 0..255 of which those above 128 are the object.
    prediction : array, same shape
        Grey values 0..255, or floats 0..1.

    Returns
    -------
    dict of str to float
        No units; 1 is best, except for ``mae`` and ``hce``, where 0 is.

        - ``s_measure``: region and object similarity, alpha 0.5; 0 to 1 [1]_
        - ``e_adaptive``, ``e_mean``, ``e_max``: enhanced alignment at the threshold
          min(2 mean, 1), and mean and maximum over 256 thresholds; 0 to 1, a little
          more at the best, as the sum is divided by the pixels less one [2]_
        - ``f_adaptive``, ``f_mean``, ``f_max``: F with beta squared 0.3; 0 to 1 [3]_
        - ``weighted_f``: F of beta 1 with errors weighted by where they are; 0 to 1
          [4]_
        - ``mae``: mean absolute difference to the truth of 0 and 1; 0 to 1
        - ``hce``: human correction effort in clicks, relaxed by 5 pixels, contours
          approximated within 2 pixels; 0 and more [5]_. OpenCV before 4.13 measures
          those 2 pixels from a line, not from the contour's piece of it, and counts
          a click less at times

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN, values outside
        0..255, or PySODMetrics is not installed.

    References
    ----------
    PySODMetrics 1.6, https://github.com/lartpang/PySODMetrics, and

    .. [1] D.-P. Fan et al., "Structure-measure", ICCV 2017.
    .. [2] D.-P. Fan et al., "Enhanced-alignment measure", IJCAI 2018.
    .. [3] R. Achanta et al., "Frequency-tuned salient region detection", CVPR 2009.
    .. [4] R. Margolin et al., "How to evaluate foreground maps?", CVPR 2014.
    .. [5] X. Qin et al., "Highly accurate dichotomous image segmentation", ECCV 2022.

    Examples
    --------
    >>> truth = np.zeros((16, 16), bool)
    >>> truth[4:12, 4:12] = True
    >>> scores = evaluate(truth, truth * 255)
    >>> scores["mae"], scores["f_max"], scores["hce"]
    (0.0, 1.0, 0.0)
    """
    true, predicted = _grey(truth, "truth"), _grey(prediction, "prediction")
    if true.shape != predicted.shape or true.ndim not in (2, 3) or not true.size:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both, (Y, X) or (N, Y, X)"
        )
    shape = (-1, *true.shape[-2:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are to go
        return _measure(true.reshape(shape), predicted.reshape(shape))


def _measure(truth: NDArray[Any], prediction: NDArray[Any]) -> dict[str, float]:
    package = _package()
    parts = {
        "s": package.Smeasure(),
        "e": package.Emeasure(),
        "f": package.Fmeasure(),
        "w": package.WeightedFmeasure(),
        "mae": package.MAE(),
        "hce": package.HumanCorrectionEffortMeasure(),
    }
    for true, predicted in zip(truth, prediction, strict=True):
        for part in parts.values():
            part.step(pred=predicted, gt=true)
    results = {name: part.get_results() for name, part in parts.items()}
    e, f = results["e"]["em"], results["f"]["fm"]
    return {
        "s_measure": float(results["s"]["sm"]),
        "e_adaptive": float(e["adp"]),
        "e_mean": float(np.mean(e["curve"])),
        "e_max": float(np.max(e["curve"])),
        "f_adaptive": float(f["adp"]),
        "f_mean": float(np.mean(f["curve"])),
        "f_max": float(np.max(f["curve"])),
        "weighted_f": float(results["w"]["wfm"]),
        "mae": float(results["mae"]["mae"]),
        "hce": float(results["hce"]["hce"]),
    }


def _grey(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return grey values 0..255; booleans and floats up to 1 are stretched."""
    array = np.asarray(values)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if not (low >= 0 and high <= GREY):
        raise DataError(
            f"the {name} has values from {low:g} to {high:g}; expected grey values "
            "0..255, floats 0..1 or booleans"
        )
    if array.dtype == bool:
        return array * np.uint8(GREY)
    return array * GREY if array.dtype.kind == "f" and high <= 1 else array


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that it uses
            import py_sod_metrics
    except ImportError as error:
        raise DataError(
            "metrics of salient objects need PySODMetrics: pip install pyunet[metrics]"
        ) from error
    return py_sod_metrics

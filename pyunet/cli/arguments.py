"""Arguments that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import argparse
import math


def add_slices(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--slices FIRST:LAST``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    text : str
        What the verb does with them, for its help.
    """
    parser.add_argument(
        "--slices",
        type=slices,
        metavar="FIRST:LAST",
        help=f"{text}, counted from 0, LAST not included (default: all)",
    )


def add_label_meaning(parser: argparse.ArgumentParser) -> None:
    """Add ``--labels-are`` and ``--inside``, for `pyunet.data.labels.read_labels`."""
    parser.add_argument(
        "--labels-are",
        default="auto",
        choices=("auto", "binary", "classes", "instances"),
        help="what label values mean (default: found, and said)",
    )
    parser.add_argument(
        "--inside",
        type=int,
        choices=(0, 255),
        help="for 0/255 labels: the value of the inside of cells (default: found)",
    )


def add_element_size(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--element-size-um SIZE``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    text : str
        What holds without it, for its help.
    """
    parser.add_argument(
        "--element-size-um",
        type=element_size,
        metavar="SIZE",
        help="micrometres a pixel of the images, e.g. 0.5 for all axes, 0.4x0.5 for y "
        f"and x, 2x0.5x0.5 for z, y and x (default: {text})",
    )


def element_size(text: str) -> tuple[float, ...]:
    """Read the size of a pixel, one number for all axes or one each, (z)yx.

    Raises
    ------
    argparse.ArgumentTypeError
        Anything but numbers above 0.

    Examples
    --------
    >>> element_size("0.5"), element_size("2x0.5x0.5")
    ((0.5,), (2.0, 0.5, 0.5))
    """
    try:
        sizes = tuple(float(part) for part in text.lower().split("x"))
    except ValueError:
        sizes = ()
    if len(sizes) not in (1, 2, 3) or not all(0 < size < math.inf for size in sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pixel size such as 0.5 or 2x0.5x0.5"
        )
    return sizes


def slices(text: str) -> slice:
    """Read a range of slices.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Examples
    --------
    >>> slices("24:30"), slices(":3"), slices("5:")
    (slice(24, 30, None), slice(0, 3, None), slice(5, None, None))
    """
    first, colon, last = text.partition(":")
    if not colon or any(part and not part.isdecimal() for part in (first, last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:LAST, such as 24:30")
    begin, end = int(first or 0), int(last) if last else None
    if end is not None and end <= begin:
        raise argparse.ArgumentTypeError(f"{text!r} holds no slice: FIRST < LAST")
    return slice(begin, end)

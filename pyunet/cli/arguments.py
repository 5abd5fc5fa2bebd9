"""Arguments that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import argparse


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

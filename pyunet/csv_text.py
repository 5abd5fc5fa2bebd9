"""Tables as CSV that a spreadsheet shows as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Write rows as RFC 4180 says, with plain line ends.

    Text that a spreadsheet would run as a formula gets a ``'`` before it: names come
    from other people's files.

    Examples
    --------
    >>> print(csv_text([["class", "area"], ["=1+1", "-2.5"], ["a, b", 3]]), end="")
    class,area
    '=1+1,-2.5
    "a, b",3
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: object) -> object:
    formula = isinstance(cell, str) and len(cell) > 1 and cell.startswith(FORMULA)
    return f"'{cell}" if formula and not _is_number(str(cell)) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""The errors of the package.

::

    PyunetError               every error that this package raises on purpose
    ├── DataError             unusable images, labels or training set (a ValueError)
    └── OutOfMemoryError      too little memory (a MemoryError)

Form of a text: which file, what is wrong (with the value found), what is accepted. It
is one line, whatever the names in it hold: see `one_line`.
"""

import sys

MOST = 600
CUT = " ... "


def one_line(text: str, most: int = MOST) -> str:
    r"""Show a text in one line that can't be mistaken for several.

    Parameters
    ----------
    text : str
    most : int, default 600
        Characters; of a longer text the middle is left out.

    Returns
    -------
    str
        Ends of line, other control characters, marks that turn the direction of
        writing and halves of surrogate pairs stand in it as Python writes them.

    Examples
    --------
    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    >>> one_line("0123456789", most=9)
    '01 ... 89'
    """
    shown = text if text.isprintable() else "".join(map(_visible, text))
    if len(shown) <= most:
        return shown
    end = (most - len(CUT)) // 2
    return f"{shown[: most - len(CUT) - end]}{CUT}{shown[-end:]}"


def shown(name: object) -> str:
    r"""Show a name from outside in one line, as `one_line` does, whatever its length.

    Examples
    --------
    >>> shown("a\nb: saved")
    'a\\nb: saved'
    """
    return one_line(str(name), sys.maxsize)


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


class PyunetError(Exception):
    """Base of every error that the package raises on purpose."""

    def __str__(self) -> str:
        """Give the text in one line, names from outside made harmless."""
        return one_line(super().__str__())


class DataError(PyunetError, ValueError):
    """Images, labels, scores or a training set that cannot be used as they are."""


class OutOfMemoryError(PyunetError, MemoryError):
    """The device or the machine has too little memory; the text: out of memory."""

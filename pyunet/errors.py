"""The errors of the package.

::

    PyunetError               every error that this package raises on purpose
    ├── DataError             unusable images, labels or training set (a ValueError)
    └── OutOfMemoryError      too little memory (a MemoryError)

Form of a text: which file, what is wrong (with the value found), what was expected. It
is one line, whatever the names in it hold: see `caffe.errors.one_line`.
"""

import sys

from caffe.errors import one_line as one_line


def shown(name: object) -> str:
    r"""Show a name from outside in one line, as `one_line` does, whatever its length.

    Examples
    --------
    >>> shown("a\nb: saved")
    'a\\nb: saved'
    """
    return one_line(str(name), sys.maxsize)


class PyunetError(Exception):
    """Base of every error that the package raises on purpose."""

    def __str__(self) -> str:
        """Give the text in one line, names from outside made harmless."""
        return one_line(super().__str__())


class DataError(PyunetError, ValueError):
    """Images, labels, scores or a training set that cannot be used as they are."""


class OutOfMemoryError(PyunetError, MemoryError):
    """The device or the machine has too little memory; the text: out of memory."""

"""The errors of the package.

::

    PyunetError               every error that this package raises on purpose
    ├── DataError             unusable images, labels or training set (a ValueError)
    └── OutOfMemoryError      too little memory (a MemoryError)

Form of a text: which file, what is wrong (with the value found), what is accepted.
"""


class PyunetError(Exception):
    """Base of every error that the package raises on purpose."""


class DataError(PyunetError, ValueError):
    """Images, labels, scores or a training set that cannot be used as they are."""


class OutOfMemoryError(PyunetError, MemoryError):
    """The device or the machine has too little memory; the text: out of memory."""

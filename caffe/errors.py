"""The errors of the package.

::

    CaffeError                 every error that this package raises on purpose
    ├── CheckError             where C++ Caffe fails a CHECK (also a ValueError)
    │   └── FileError          a file that is missing, damaged or of another kind
    │       └── PrototxtError  a text file that does not parse: file:line:column
    │           └── UnknownNamesError  types, fields or values that are not known here
    ├── DeviceError            a device that is not there
    ├── OutOfMemoryError       too little memory (also a MemoryError)
    └── PeerError              a process of the same training that is not there

Form of a text: what is wrong (with the value), what was expected, and where. Names and
values in it come from files: whatever they are, the text is one line of limited length.
"""

import errno
from typing import Any

LONGEST = 500
_OMITTED = " ... "
_SHORTAGE = (  # how libraries say that memory ran out
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
    "bad_alloc",
    "could not create a",  # oneDNN, of a primitive or a memory object
    "failed to map segment",  # the loader, of a library
    "can't start new thread",  # there is no room for its stack
)


def escaped(text: str, keep: str = "") -> str:
    r"""Show what can not be seen, control characters above all, as Python escapes it.

    Parameters
    ----------
    text : str
    keep : str, optional
        Characters that stay as they are.

    Examples
    --------
    >>> escaped("a\nb\tc", keep="\t")
    'a\\nb\tc'
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str, longest: int = LONGEST) -> str:
    r"""Make one line of a text, which a terminal and a log can show as it is.

    Parameters
    ----------
    text : str
        Control characters, ends of lines and whatever else can't be seen or written
        are shown as Python escapes them.
    longest : int, optional
        Most characters of the line; of a longer text the middle is left out.

    Examples
    --------
    >>> one_line("layer 'a\nb'")
    "layer 'a\\nb'"
    >>> one_line("0123456789" * 3, longest=20)
    '012345678 ... 456789'
    """
    shown = escaped(text[: 2 * longest] + text[2 * longest :][-2 * longest :])
    if len(shown) <= longest and len(text) <= 4 * longest:
        return shown
    kept = longest - len(_OMITTED)
    start = kept * 3 // 5
    return shown[:start] + _OMITTED + shown[start - kept :]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of the machine or of a device.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch.OutOfMemoryError is a RuntimeError
    told = isinstance(error, (RuntimeError, ImportError))
    return told and any(sign in str(error).lower() for sign in _SHORTAGE)


class CaffeError(Exception):
    """Base of every error that the package raises on purpose.

    Its text is one line of at most `longest` characters, see `one_line`.
    """

    longest = LONGEST

    def __str__(self) -> str:
        return one_line(super().__str__(), self.longest)


class CheckError(CaffeError, ValueError):
    """A value that Caffe refuses."""


class NoCounterpartError(CheckError):
    """A layer that the format cannot express; the text names it."""


class FileError(CheckError):
    """A file that is missing, damaged, or not what its name says."""


class PrototxtError(FileError):
    """A text file that does not follow the schema; the text names file:line:column."""


class UnknownNamesError(PrototxtError):
    """Layer types, fields or values that are not known here; the text names them all.

    Attributes
    ----------
    known : Message or None
        What a text says without them.
    """

    longest = 16 * LONGEST

    def __init__(self, text: str, known: Any = None) -> None:
        super().__init__(text)
        self.known = known


class DeviceError(CaffeError):
    """A device that was asked for and is not there."""


class OutOfMemoryError(CaffeError, MemoryError):
    """The device or the machine has too little memory; the text: out of memory."""


class PeerError(CaffeError):
    """Another process of the same training that can't be reached any more."""

"""The errors of the package.

::

    CaffeError                 every error that this package raises on purpose
    ├── CheckError             where C++ Caffe fails a CHECK (also a ValueError)
    │   └── FileError          a file that is missing, damaged or of another kind
    │       └── PrototxtError  a text file that does not parse: file:line:column
    ├── DeviceError            a device that is not there
    ├── OutOfMemoryError       too little memory (also a MemoryError)
    └── PeerError              a process of the same training that is not there

Form of a text: what is wrong (with the value): what is accepted, and where.
"""


class CaffeError(Exception):
    """Base of every error that the package raises on purpose."""


class CheckError(CaffeError, ValueError):
    """A value that Caffe refuses."""


class FileError(CheckError):
    """A file that is missing, damaged, or not what its name says."""


class PrototxtError(FileError):
    """A text file that does not follow the schema; the text names file:line:column."""


class DeviceError(CaffeError):
    """A device that was asked for and is not there."""


class OutOfMemoryError(CaffeError, MemoryError):
    """The device or the machine has too little memory; the text: out of memory."""


class PeerError(CaffeError):
    """Another process of the same training that can't be reached any more."""

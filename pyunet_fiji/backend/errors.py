"""What the original calls a failed check, and its place in the log."""

from __future__ import annotations

from pyunet.errors import DataError


class CheckFailedError(DataError):
    """What the original calls a failed check: the command ends with an F line.

    Parameters
    ----------
    text : str
        What is wrong.
    place : str
        Where the original would say it.
    """

    def __init__(self, text: str, place: str = "caffe_unet.cpp:400") -> None:
        super().__init__(text)
        self.place = place

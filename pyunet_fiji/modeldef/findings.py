"""What can be wrong with a model definition, and what it leads to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pyunet.errors import shown


class Effect(Enum):
    """What a finding leads to; all but a note are problems."""

    CAFFE_UNET = "caffe_unet refuses"
    PLUGIN = "the Fiji plugin refuses"
    FINETUNING = "no finetuning in Fiji"
    WRONG = "wrong results"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    effect : Effect
    where : str
        Dataset or file.
    what : str
        What was found there, with its value.
    accepted : str
        What would be right.
    """

    effect: Effect
    where: str
    what: str
    accepted: str

    def __str__(self) -> str:
        """Give two lines for a person.

        >>> print(Finding(Effect.NOTE, "/unet_param/name", "is empty", "a name"))
        [note] /unet_param/name: is empty
            accepted: a name
        """
        what = " ".join(self.what.split())
        return (
            f"[{self.effect.value}] {shown(self.where)}: {shown(what)}\n"
            f"    accepted: {shown(self.accepted)}"
        )


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Keep what makes a reader refuse the model, or results wrong.

    >>> problems([Finding(Effect.NOTE, "a", "b", "c")])
    []
    """
    return [found for found in findings if found.effect is not Effect.NOTE]

"""What a target of fuzzing is, and how the targets are found.

A family is a folder of ``tests/fuzz/targets``; each of its modules may have a sequence
``TARGETS``. Nothing else has to be entered anywhere.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from caffe.errors import CaffeError
from pyunet.errors import PyunetError
from tests.fuzz.mutation import mutate_bytes

HERE = Path(__file__).parent
LONGEST_TEXT = 600
_FORBIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # controls, surrogates, ends of lines

refusals = [0]
"""How often `refusing` met an error, in this process."""


class BadTextError(AssertionError):
    """A typed error whose text is no short single line."""


@dataclass(frozen=True)
class Target:
    """A reader, and the files that it is tried with.

    Attributes
    ----------
    name : str
        Unique among all targets; a word that can be a folder's name.
    run : callable
        Takes the bytes of a file, and a folder of its own, and reads the bytes as one
        kind of file. Errors that the project means to raise it lets end inside of
        `refusing`; what comes out of it is a fault.
    seeds : callable
        Gives sound files by name. Those named ``odd...`` need not be accepted.
    mutate : callable
        Takes sound files and random numbers, and gives a damaged file.
    structured : float
        Part of the inputs that `mutate` makes; the others are changed byte by byte.
    """

    name: str
    run: Callable[[bytes, Path], None]
    seeds: Callable[[], dict[str, bytes]]
    mutate: Callable[[list[bytes], random.Random], bytes] = mutate_bytes
    structured: float = 0.7

    def make(self, sound: list[bytes], rng: random.Random) -> bytes:
        """Make an input from sound files."""
        structured = rng.random() < self.structured
        return (self.mutate if structured else mutate_bytes)(sound, rng)

    def sound(self) -> list[bytes]:
        """Give what inputs are made from: sound files, and what once failed."""
        return [*self.seeds().values(), *self.once_failed().values()]

    def once_failed(self) -> dict[str, bytes]:
        """Inputs that a reader once failed at, by name."""
        kept = HERE / "failed" / self.name
        return {path.name: path.read_bytes() for path in sorted(kept.glob("*"))}


@contextmanager
def refusing() -> Iterator[None]:
    """Let an error that is meant end here, if its text is a short single line."""
    try:
        yield
    except (CaffeError, PyunetError) as error:
        refusals[0] += 1
        check_text(error)


def check_text(error: Exception) -> None:
    """Raise a `BadTextError` if a text is too long or can't stand in one line."""
    text = str(error)
    longest = getattr(error, "longest", LONGEST_TEXT)
    if not text or len(text) > longest:
        raise BadTextError(f"{len(text)} characters: {text[:200]!r}") from error
    if any(unicodedata.category(character) in _FORBIDDEN for character in text):
        raise BadTextError(f"control characters: {text!r}") from error


def find(wanted: str = "all") -> dict[str, Target]:
    """Targets by name: all of them, those of a family, or a single one.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    found: dict[str, Target] = {}
    families: dict[str, list[str]] = {}
    for path in sorted((HERE / "targets").glob("*/*.py")):
        family = path.parent.name
        module = import_module(f"tests.fuzz.targets.{family}.{path.stem}")
        for target in getattr(module, "TARGETS", ()):
            found[target.name] = target
            families.setdefault(family, []).append(target.name)
    if wanted == "all":
        return found
    return {name: found[name] for name in families.get(wanted, [wanted])}

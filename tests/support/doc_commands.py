"""The command lines that pages of Markdown show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "prototxt").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
]
FENCED = re.compile(r"^(```+)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^(?: {4}|\t) *(\S.*)$", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")


class Shown(NamedTuple):
    """A command line on a page; one inside of a sentence may lack arguments."""

    page: str
    words: tuple[str, ...]
    whole: bool

    @property
    def program(self) -> str:
        """What it calls, without the folder of a program that is installed."""
        name = self.words[0]
        return name if name.startswith("tools/") else Path(name).name

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(text: str, kind: str) -> list[str]:
    """Fenced blocks of exactly this kind, such as ``sh``, in their order."""
    return [body for _, info, body in FENCED.findall(text) if info.strip() == kind]


def shown(page: Path) -> list[Shown]:
    """Give what looks like a command line in the blocks and sentences of a page."""
    text = page.read_text(encoding="utf-8")
    fenced = [b for _, info, b in FENCED.findall(text) if re.search(r"\bsh\b", info)]
    rest = FENCED.sub("", text)
    lines = "\n".join([*fenced, *INDENTED.findall(rest)]).replace("\\\n", " ")
    whole = [(line, True) for line in lines.splitlines()]
    parts = [(code, False) for code in INLINE.findall(INDENTED.sub("", rest))]
    name = page.relative_to(ROOT).as_posix()
    found = []
    for line, is_whole in [*whole, *parts]:
        words = _words(line)
        if words:
            found.append(Shown(name, words, is_whole))
    return found


def _words(line: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(line, comments=True))
    except ValueError:  # a quote that is not closed: no command
        return ()
    return () if words and words[0].endswith("/") else words

"""What a check says: fine, odd or wrong, in plain words, and the line that mends it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pyunet.errors import shown

OK, WARNING, PROBLEM = "ok", "warning", "problem"
LEVELS = (OK, WARNING, PROBLEM)
_MEND = "mend: "
_INDENT = " " * 9


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    level : str
        `OK`, `WARNING` (works, or matters to some only) or `PROBLEM`.
    what : str
        One line.
    mend : str
        The line to type, or what to do; empty where nothing is to be done.
    """

    level: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        """Give a line, and one more with what mends it."""
        first = f"{self.level:8} {shown(self.what)}"
        return f"{first}\n{_INDENT}{_MEND}{shown(self.mend)}" if self.mend else first


def ok(what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(OK, what)


def warning(what: str, mend: str = "") -> Finding:
    """Say that something is odd, or matters to some users only."""
    return Finding(WARNING, what, mend)


def problem(what: str, mend: str = "") -> Finding:
    """Say that the plugin will fail."""
    return Finding(PROBLEM, what, mend)


def read_report(text: str, place: str) -> Iterator[Finding]:
    r"""Read what another `pyunet doctor` printed; what is no finding is left out.

    Parameters
    ----------
    text : str
    place : str
        Where it ran; written before what each finding says.

    Examples
    --------
    >>> text = str(problem("GPU 0: none", "nvidia-smi")) + "\n\n1 problem"
    >>> list(read_report(text, "host"))
    [Finding(level='problem', what='host: GPU 0: none', mend='nvidia-smi')]
    """
    lines = text.splitlines()
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        level, _, what = line.partition(" ")
        if level in LEVELS and what.strip():
            mend = following.removeprefix(_INDENT + _MEND)
            given = "" if mend == following else mend
            yield Finding(level, f"{place}: {what.strip()}", given)


def summary(findings: Iterable[Finding]) -> str:
    """Count what is wrong and odd.

    Examples
    --------
    >>> summary([ok("a"), problem("b"), problem("c"), warning("d")])
    '2 problems, 1 warning'
    >>> summary([ok("a")])
    'no problem found'
    """
    found = [finding.level for finding in findings]
    counts = [(level, found.count(level)) for level in (PROBLEM, WARNING)]
    said = [f"{n} {level}{'s' * (n > 1)}" for level, n in counts if n]
    if PROBLEM not in found:
        said.insert(0, "no problem found")
    return ", ".join(said)

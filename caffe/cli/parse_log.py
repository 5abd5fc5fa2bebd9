"""The command `parse_log`: tables of a training's log.

A row holds what the net put out at one iteration. It begins with the first of these
lines and is full when it has as many columns as the first row; the first one ends
where the next iteration begins. A learning rate is known from the line that follows
the outputs, so a row has the one of the line before; the first row takes the second's.
"""

from __future__ import annotations

import argparse
import calendar
import csv
import datetime
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from caffe import atomic
from caffe.cli import tools
from caffe.errors import CheckError, FileError

Row = dict[str, Any]

_PROGRAM = "parse_log"
_STAMP = re.compile(r"^\s*[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,6})\s")
_ITERATION = re.compile(r"Iteration (\d+)")
# the whole word: of two lines that ran into each other no part is taken for a number
_NUMBER = r"[-+]?(?:(?i:nan|inf(?:inity)?)|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
_RATE = re.compile(rf"lr = ({_NUMBER})")
_OUTPUT = rf" net output #\d+: (\S+) = ({_NUMBER})"
_OUTPUTS = {
    "train": re.compile(f"Train{_OUTPUT}"),
    "test": re.compile(f"Test{_OUTPUT}"),
}
_LEAP_DAY = re.compile(r"^[IWEF]0229 ", re.MULTILINE)


class _Parser(argparse.ArgumentParser):
    """Reports what is wrong as an error, which becomes one line."""

    def error(self, message: str) -> NoReturn:
        raise CheckError(f"{message} (--help shows an example)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _parser().format_help().rstrip(), _work, arguments)


def parse_log(path: str) -> dict[str, list[Row]]:
    """Read a log of ``caffe train``, of today's Caffe or an old one.

    Parameters
    ----------
    path : str
        What the training wrote to the standard error. Stamps without a year are taken
        to be of the year of the file.

    Returns
    -------
    dict of str to list of dict
        Rows of the keys "train" and "test", with the columns NumIters, Seconds (since
        the solver began), LearningRate and the outputs.

    Raises
    ------
    FileError
        If it can't be read or no solver began.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        changed = Path(path).stat().st_ctime
    except OSError as error:
        raise FileError(f"{path}: cannot read it: {error.strerror}") from error
    year = datetime.datetime.fromtimestamp(changed).year
    while _LEAP_DAY.search(text) and not calendar.isleap(year):
        year -= 1
    lines = iter(text.splitlines())
    begun = (_time(line, year) for line in lines if "Solving" in line)
    start = next((time for time in begun if time is not None), None)
    if start is None:
        raise FileError(
            f"{path}: no line with a time and 'Solving'; expected the log of a "
            "training by Caffe"
        )
    tables = {kind: _Table(pattern) for kind, pattern in _OUTPUTS.items()}
    _fill(tables.values(), lines, start)
    return {kind: table.finished() for kind, table in tables.items()}


class _Table:
    """Rows of the train net or of the test nets."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._rows: list[Row] = []
        self._row: Row | None = None

    def read(self, line: str, row: Row) -> None:
        """Take an output from a line, if there is one."""
        match = self._pattern.search(line)
        if match:
            if self._row is None or self._row["NumIters"] != row["NumIters"]:
                self._close()
                self._row = dict(row)
            self._row[match[1]] = float(match[2])
        if self._row and self._rows and len(self._row) == len(self._rows[0]):
            self._close()

    def finished(self) -> list[Row]:
        """Get the rows; one that was cut short is left out unless it is the only."""
        if not self._rows:
            self._close()
        if len(self._rows) > 1:
            self._rows[0]["LearningRate"] = self._rows[1]["LearningRate"]
        return self._rows

    def _close(self) -> None:
        if self._row:
            self._rows.append(self._row)
        self._row = None


def _fill(
    tables: Iterable[_Table], lines: Iterable[str], start: datetime.datetime
) -> None:
    iteration, rate, last = None, float("nan"), start
    for line in lines:
        match = _ITERATION.search(line)
        if match:
            iteration = float(match[1])
        time = _time(line, last.year)
        if time is not None and time.month < last.month and time.year == last.year:
            time = _time(line, last.year + 1)
        if iteration is None or time is None:
            continue
        last = time
        match = _RATE.search(line)
        if match:
            rate = float(match[1])
        seconds = (time - start).total_seconds()
        for table in tables:
            table.read(
                line,
                {"NumIters": iteration, "Seconds": seconds, "LearningRate": rate},
            )


def _time(line: str, year: int) -> datetime.datetime | None:
    """Time of a line of glog's, whose stamp may lack the year."""
    match = _STAMP.match(line)
    if match is None:
        return None
    own, *numbers = match.groups()
    month, day, hour, minute, second = map(int, numbers[:5])
    micro = int(numbers[5].ljust(6, "0"))
    try:
        return datetime.datetime(
            int(own or year), month, day, hour, minute, second, micro
        )
    except ValueError:
        return None


def _work(words: list[str]) -> None:
    options = _parser().parse_args(words)
    if len(options.delimiter) != 1:
        raise CheckError(
            f"--delimiter '{options.delimiter}': expected a single character"
        )
    for kind, rows in parse_log(options.logfile_path).items():
        name = f"{Path(options.logfile_path).name}.{kind}"
        target = Path(options.output_dir, name)
        if rows:
            atomic.write_bytes(target, _csv(rows, options.delimiter).encode())
        if options.verbose:
            print(
                f"Wrote {target}"
                if rows
                else f"Not writing {target}; no lines to write"
            )


def _csv(rows: Sequence[Row], delimiter: str) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(names), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Parse a Caffe training log into two CSV files containing training "
        "and testing information.",
        epilog="example: parse_log caffe.log tables   writes tables/caffe.log.train "
        "and tables/caffe.log.test",
    )
    parser.add_argument("logfile_path", help="Path to log file")
    parser.add_argument(
        "output_dir", help="Directory in which to place output CSV files"
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="Print some extra info (e.g., output filenames)",
    )
    parser.add_argument(
        "--delimiter",
        default=",",
        help="Column delimiter in output files (default: '%(default)s')",
    )
    return parser

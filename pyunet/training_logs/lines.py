"""What a line of a training's log says, in the words of any Caffe since 2014."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_LINE = 4096  # characters; a search takes their square
_LOSS = re.compile(r"Iteration (\d+)( \(.*\))?, loss = (\S+)")
_RATE = re.compile(r"Iteration (\d+), lr = (\S+)")
_TESTING = re.compile(r"Iteration (\d+), Testing net(?: \(#(\d+)\))?")
_OUTPUT = re.compile(r"(Train|Test) net output #(\d+): (\S+) = ([^\s(]+)( \(\* )?")
_SCORE = re.compile(r"Test score #(\d+): (\S+)")


class Loss(NamedTuple):
    """The loss before an update, a mean of the last ones if the solver says so.

    Attributes
    ----------
    iteration : int
    value : float
    paced : bool
        False for the last one of a training, after which no update is made, and for
        all of a Caffe older than 2016.
    """

    iteration: int
    value: float
    paced: bool


class Rate(NamedTuple):
    """The learning rate of an update."""

    iteration: int
    value: float


class BeginOfTest(NamedTuple):
    """A test begins; its outputs follow."""

    iteration: int
    net: int


class Output(NamedTuple):
    """One number that a net put out.

    Attributes
    ----------
    net : {"train", "test"}
    number : int
        Its place among all of the net; a name may stand at several.
    name : str
    value : float
    is_loss : bool
    """

    net: str
    number: int
    name: str
    value: float
    is_loss: bool


Said = Loss | Rate | BeginOfTest | Output


def read_line(line: str) -> Said | None:
    """Give what a line says of a training's course; None for most lines.

    Examples
    --------
    >>> read_line("I0505 solver.cpp:229] Iteration 20 (2.5 iter/s, 8s/20), loss = 0.5")
    Loss(iteration=20, value=0.5, paced=True)
    >>> read_line("Test net output #1: loss = 0.25 (* 1 = 0.25 loss)")
    Output(net='test', number=1, name='loss', value=0.25, is_loss=True)
    >>> read_line("I0505 net.cpp:283] Network initialization done.")
    """
    try:
        return _said(line[:LONGEST_LINE])
    except ValueError:  # two processes that wrote into one line
        return None


def _said(line: str) -> Said | None:
    if match := _OUTPUT.search(line):
        net, number, name, value, weight = match.groups()
        return Output(net.lower(), int(number), name, float(value), weight is not None)
    if match := _SCORE.search(line):
        return Output("test", int(match[1]), "score", float(match[2]), False)
    if match := _TESTING.search(line):
        return BeginOfTest(int(match[1]), int(match[2] or 0))
    if match := _LOSS.search(line):
        return Loss(int(match[1]), float(match[3]), match[2] is not None)
    if match := _RATE.search(line):
        return Rate(int(match[1]), float(match[2]))
    return None

"""Running a net over images tile by tile, with smaller tiles where memory runs out.

From tiled_predict.md, sections 5 and 6.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from caffe.glog import log
from pyunet.memory import MOST_READ, is_out_of_memory
from pyunet_fiji.backend import averaging
from pyunet_fiji.backend.ending import write_out
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.memory import NoMemoryError
from pyunet_fiji.backend.nets import TileNet
from pyunet_fiji.backend.tiles import add_tile, read_tile
from pyunet_fiji.backend.tilings import Rule, Tiling, halve
from pyunet_fiji.modeldef.definition import ModelDefinition
from pyunet_fiji.modeldef.shapes import Shape, border

PLACE = "tiled_predict.cpp:600"
FloatArray = NDArray[np.float32]
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Place:
    """Where the work is: a tile of a version of an image."""

    batch: int
    number: int
    index: Shape
    tiling: Tiling
    extent: Shape

    @property
    def start(self) -> Shape:
        """First pixel of the output tile."""
        pairs = zip(self.index, self.tiling.tile_out, strict=True)
        return tuple(index * extent for index, extent in pairs)


class Scoring:
    """Computes the scores of images.

    Parameters
    ----------
    model : ModelDefinition
    images : ndarray of float32, shape (N, C, [Z,] Y, X)
    weights : str
        File with the net's weights; nothing: the fillers' values.
    average : {"", "mirror", "rotate"}, default ""
        Which versions of an image are averaged.
    build : callable, optional
        Makes the net; default: `TileNet`.

    Attributes
    ----------
    scores : dict of str to ndarray of float32, each of shape (N, K, [Z,] Y, X)
        All outputs of the net, in alphabetical order.
    """

    def __init__(
        self,
        model: ModelDefinition,
        images: FloatArray,
        weights: str,
        *,
        average: str = "",
        build: Callable[[ModelDefinition, str, int, Shape], TileNet] = TileNet,
    ) -> None:
        self.scores: dict[str, FloatArray] = {}
        self._model = model
        self._images = images
        self._average = average
        self._passes = averaging.passes(average)
        self._build: Callable[[Shape], TileNet] = lambda tile: build(
            model, weights, images.shape[1], tile
        )
        self._net: TileNet | None = None
        self._classes: dict[str, int] = {}
        self._proven: set[Shape] = set()
        self._reason = ""

    def run(self, rule: Rule) -> Rule:
        """Compute all scores.

        Where memory runs out, the same option with a value for half as large tiles
        takes over, for all images and versions: the result is the one that the
        original gives for that value.

        Parameters
        ----------
        rule : Rule

        Returns
        -------
        Rule
            The one that the result is made by.

        Raises
        ------
        NoMemoryError
            Not even tiles fit that read four times the pixels that they answer.
        CheckFailedError
            An option that does not suit the model, a net that is not what the model
            definition says.
        Exception
            Of the engine.
        """
        too_large = self._attempt(rule)
        while too_large is not None:
            gc.collect()  # what the failed net held
            rule = self._smaller(rule, too_large)
            too_large = self._attempt(rule)
        if self._passes > 1:
            for scores in self.scores.values():
                scores /= self._passes
        return rule

    def _smaller(self, rule: Rule, failed: _Place) -> Rule:
        tile = f"({_joined(failed.tiling.tile_in)})"
        other = halve(rule, self._model, failed.extent)
        if other is None:
            self._give_up(tile, "there is no smaller one")
        smaller = other.tiling(self._model, failed.extent)
        if smaller.is_wasteful:
            times = smaller.pixels / math.prod(smaller.tile_out)
            self._give_up(
                tile,
                f"one of ({_joined(smaller.tile_in)}) reads {times:.1f} times the "
                f"pixels that it answers; at most {MOST_READ} are expected",
            )
        log(
            PLACE,
            f"Warning: out of memory with input tiles of {tile}: starting again with "
            f"smaller ones, as of option {other}",
            "W",
        )
        return other

    def _give_up(self, tile: str, why: str) -> NoReturn:
        raise NoMemoryError(
            f"out of memory: an input tile of {tile} does not fit, and {why}: "
            f"{self._reason}"
        )

    def _attempt(self, rule: Rule) -> _Place | None:
        """Compute all scores, or give the tile that memory does not hold."""
        for scores in self.scores.values():
            scores[...] = 0
        for place in self._places(rule):
            known = place.tiling.tile_in in self._proven
            if known:  # else not before it is sure that the number of tiles stays
                self._announce(place)
            outputs = self._outputs(place)
            if outputs is None:
                return place
            self._proven.add(place.tiling.tile_in)
            if not known:
                self._announce(place)
            self._keep(place, outputs)
        return None

    def _places(self, rule: Rule) -> Iterator[_Place]:
        samples = len(self._images)
        for turn in range(self._passes):
            extent = self._version(self._images[0], turn).shape[1:]
            tiling = rule.tiling(self._model, extent)
            log_tiling(tiling)
            for sample in range(samples):
                tiles = product(*map(range, tiling.grid))
                for number, index in enumerate(tiles, start=1):
                    batch = turn * samples + sample
                    yield _Place(batch, number, index, tiling, extent)

    def _announce(self, place: _Place) -> None:
        batches = self._passes * len(self._images)
        grid = place.tiling.grid
        write_out(
            f"Processing batch {place.batch + 1}/{batches}, "
            f"tile {place.number}/{math.prod(grid)}"
        )
        outside = self._is_outside(place)
        log(
            "tiled_predict.cpp:655",
            f"----> skip ({_joined(place.index)}) (out of bounds)"
            if outside
            else f"----> tile ({_joined(place.index)}) / ({_joined(grid)})",
        )

    def _is_outside(self, place: _Place) -> bool:
        """Whether nothing of a tile lies in the image, so that it can be left out."""
        return any(
            start >= extent
            for start, extent in zip(place.start, place.extent, strict=True)
        )

    def _outputs(self, place: _Place) -> dict[str, FloatArray] | None:
        """Run the net on a tile; None where memory runs out."""
        if self._is_outside(place):
            return {}
        net = self._unless_too_large(lambda: self._net_for(place.tiling))
        if net is None:
            return None
        if not self.scores:
            samples, _, *extent = self._images.shape
            for name, count in self._classes.items():
                self.scores[name] = np.zeros((samples, count, *extent), np.float32)
        return self._unless_too_large(lambda: self._forward(net, place))

    def _unless_too_large(self, work: Callable[[], Result]) -> Result | None:
        """Do something; None where memory runs out. Then the net is let go, too."""
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._net = None
            self._reason = " ".join(str(error).split()) or type(error).__name__
            return None

    def _net_for(self, tiling: Tiling) -> TileNet:
        if self._net is None:
            self._net = self._build(tiling.tile_in)
        elif self._net.tile_in == tiling.tile_in:
            return self._net
        self._net.reshape(tiling.tile_in)
        self._classes = self._net.classes(tiling.tile_out)
        return self._net

    def _forward(self, net: TileNet, place: _Place) -> dict[str, FloatArray]:
        turn, sample = divmod(place.batch, len(self._images))
        start = [
            first - edge
            for first, edge in zip(place.start, border(self._model), strict=True)
        ]
        image = self._version(self._images[sample], turn)
        read_tile(image, start, net.tile, padding=self._model.padding)
        return net.forward()

    def _keep(self, place: _Place, outputs: dict[str, FloatArray]) -> None:
        turn, sample = divmod(place.batch, len(self._images))
        for name, block in outputs.items():
            if not np.isfinite(block).all():
                raise CheckFailedError(
                    f"Output '{name}' of tile {place.number} of image {sample + 1} has "
                    "NaN or infinite scores; expected weights and grey values that "
                    "give finite ones",
                    PLACE,
                )
            scores = self._version(self.scores[name][sample], turn)
            add_tile(scores, place.start, block)

    def _version(self, array: FloatArray, turn: int) -> FloatArray:
        return averaging.version(array, turn, kind=self._average)


def log_tiling(tiling: Tiling) -> None:
    """Log a tiling as the original does."""
    log(
        "tiled_predict.cpp:555",
        f"Tile shape ([z] y x): input = ({_joined(tiling.tile_in)}), "
        f"output = ({_joined(tiling.tile_out)})",
    )
    log(
        "tiled_predict.cpp:557",
        f"Selected tiling ([z] y x): ({_joined(tiling.grid)})",
    )


def _joined(values: Shape) -> str:
    return ",".join(map(str, values))

"""Batches of windows of images, as R-CNN trains on them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine.sources import images
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.errors import CheckError, FileError

Log = Callable[[str, str], None]
_LOGGED_IMAGES = 100
COLORS = 3


class Window(NamedTuple):
    """A rectangle of an image; both corners belong to it."""

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass
class WindowList:
    """What a window file holds.

    Attributes
    ----------
    names : list of str
        Images.
    foreground, background : list of Window
    """

    names: list[str] = field(default_factory=list)
    foreground: list[Window] = field(default_factory=list)
    background: list[Window] = field(default_factory=list)


class _Tokens:
    """Words of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._words = iter(text.split())

    def word(self) -> str | None:
        return next(self._words, None)

    def needed(self) -> str:
        word = self.word()
        if word is None:
            raise CheckError("the file ends before it is complete")
        return word

    def whole(self) -> int:
        word = self.needed()
        try:
            return int(word)
        except ValueError:
            raise CheckError(f"'{word}': expected a whole number") from None

    def number(self) -> float:
        word = self.needed()
        try:
            return float(word)
        except ValueError:
            raise CheckError(f"'{word}': expected a number") from None


def read_windows(
    source: str, root: str, foreground: float, background: float, log: Log
) -> WindowList:
    """Read a window file.

    Separated by white space, for each image: ``#`` and its number, its name, channels,
    height, width, number of windows, and for each window: label, overlap with an
    object, x1, y1, x2, y2.

    Parameters
    ----------
    source : str
    root : str
        Put before the names of images.
    foreground, background : float
        Windows with the one overlap or more show an object, those with less than the
        other show none; what is between is left out.
    log : callable
        Takes Caffe's lines.

    Raises
    ------
    FileError
        Naming the image of the list at which the file breaks the form.
    """
    try:
        text = Path(source).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except (OSError, ValueError) as error:
        raise FileError(
            f"{source}: Failed to open window file: {atomic.reason(error)}"
        ) from None
    tokens, found = _Tokens(text), WindowList()
    labels = Counter({0: 0})
    while (mark := tokens.word()) is not None:
        try:
            for _ in range(_read_image(mark, tokens, root, found, log)):
                _read_window(tokens, found, labels, foreground, background)
        except CheckError as error:
            count = max(len(found.names), 1)
            raise FileError(f"{source}: image {count} of the list: {error}") from None
    if not found.names:
        raise FileError(f"{source}: Window file is empty")
    log("window_data_layer.cpp:149", f"Number of images: {len(found.names)}")
    for label, count in sorted(labels.items()):
        log("window_data_layer.cpp:153", f"class {label} has {count} samples")
    return found


def _read_image(
    mark: str, tokens: _Tokens, root: str, found: WindowList, log: Log
) -> int:
    if mark != "#":
        raise CheckError(f"'{mark}': expected #")
    number, name = tokens.whole(), root + tokens.needed()
    found.names.append(name)
    channels, height, width, windows = (tokens.whole() for _ in range(4))
    if channels != COLORS:
        raise CheckError(f"{name}: has {channels} channels: expected {COLORS}")
    if number % _LOGGED_IMAGES == 0:
        log(
            "window_data_layer.cpp:138",
            f"num: {number} {name} {channels} {height} {width} "
            f"windows to process: {windows}",
        )
    return windows


def _read_window(
    tokens: _Tokens,
    found: WindowList,
    labels: Counter[int],
    foreground: float,
    background: float,
) -> None:
    label, overlap = tokens.whole(), tokens.number()
    corners = [tokens.whole() for _ in range(4)]
    image = len(found.names) - 1
    if overlap >= foreground:
        if label <= 0:
            raise CheckError(f"an object of label {label}: expected above 0")
        found.foreground.append(Window(image, label, *corners))
        labels[label] += 1
    elif overlap < background:
        found.background.append(Window(image, 0, *corners))
        labels[0] += 1


class Fit(NamedTuple):
    """Part of an image, the size it is brought to, and where it is put in the crop."""

    rows: slice
    columns: slice
    size: tuple[int, int]
    down: int
    right: int


def fit(
    window: Window,
    height: int,
    width: int,
    *,
    crop: int,
    pad: int = 0,
    square: bool = False,
    mirror: bool = False,
) -> Fit:
    """Work out where a window of an image goes in a square crop.

    Parameters
    ----------
    window : Window
    height, width : int
        Of the image.
    crop : int
        Side of the crop.
    pad : int
        Pixels of the crop on each side that show what is around the window; they stay
        empty where that is outside of the image.
    square : bool
        Take the square around the window, which keeps its shape.
    mirror : bool
        The crop will be mirrored, and so are its empty sides.

    Raises
    ------
    CheckError
        If no pixel of the window is inside the image.

    Examples
    --------
    >>> fit(Window(0, 1, 2, 3, 5, 6), 10, 10, crop=8).size
    (8, 8)
    """
    x1, y1, x2, y2 = window[2:]
    if pad == 0 and not square:
        inside = 0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height
        if not inside:
            raise CheckError(
                f"window {window[2:]} is not inside the image of {width} x {height} "
                "pixels"
            )
        return Fit(slice(y1, y2 + 1), slice(x1, x2 + 1), (crop, crop), 0, 0)
    scale = np.float32(crop) / np.float32(crop - 2 * pad)
    half_x, half_y = np.float32(x2 - x1 + 1) / 2, np.float32(y2 - y1 + 1) / 2
    center_x, center_y = np.float32(x1) + half_x, np.float32(y1) + half_y
    if square:
        half_x = half_y = max(half_x, half_y)
    columns = _axis(center_x, half_x * scale, width, crop)
    rows = _axis(center_y, half_y * scale, height, crop)
    right = columns.after if mirror else columns.before
    down = rows.before
    size = (min(rows.size, crop - down), min(columns.size, crop - right))
    if min(size) < 1:
        raise CheckError(
            f"window {window[2:]} has no pixel in the image of {width} x {height} "
            "pixels"
        )
    return Fit(rows.part, columns.part, size, down, right)


class _Axis(NamedTuple):
    part: slice
    size: int
    before: int
    after: int


def _axis(center: np.float32, half: np.float32, extent: int, crop: int) -> _Axis:
    """One axis of a window that may reach out of the image."""
    low, high = _round(center - half), _round(center + half)
    before, after = max(0, -low), max(0, high - extent + 1)
    scale = np.float32(crop) / np.float32(max(high - low + 1, 1))
    inside = max(high - after - low - before + 1, 0)
    return _Axis(
        slice(low + before, high - after + 1),
        _round(np.float32(inside) * scale),
        _round(np.float32(before) * scale),
        _round(np.float32(after) * scale),
    )


def _round(value: np.float32) -> int:
    """As C's round: halves go away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


@dataclass(frozen=True)
class WindowOptions:
    """Options of WindowData.

    Attributes
    ----------
    batch : int
        Windows of a batch.
    foreground : int
        How many of them show objects; they come last.
    crop, pad, square
        See `fit`.
    mirror : bool
        Mirror every second window, by chance.
    scale : float
        Factor, after the mean is taken off.
    mean : array, optional
        Broadcasts against (3, crop, crop).
    """

    batch: int
    foreground: int
    crop: int
    pad: int
    square: bool
    mirror: bool
    scale: float
    mean: NDArray[np.float32] | None


class WindowBatches:
    """Windows that are drawn by chance.

    Parameters
    ----------
    source : str
        Name of the window file, for the texts of errors.
    windows : WindowList
    options : WindowOptions
    seed : int
    rank : int
        Number of this process: each draws windows of its own.
    cache : bool
        Keep the image files in memory.

    State: number of batches before the next one, seed.
    """

    def __init__(
        self,
        source: str,
        windows: WindowList,
        options: WindowOptions,
        *,
        seed: int,
        rank: int,
        cache: bool,
    ) -> None:
        for name in ("foreground", "background"):
            if not getattr(windows, name):
                raise FileError(f"{source}: has no {name} windows: one is needed")
        self._windows = windows
        self._options = options
        self._seed = seed
        self._rank = rank
        names = windows.names if cache else []
        self._files = {name: images.read_bytes(name) for name in names}

    def first_state(self) -> State:
        """Start at batch 0."""
        return {"batch": 0, "seed": self._seed}

    def read(self, state: State) -> Batch:
        """Read the batch at `state`.

        Raises
        ------
        FileError
            Naming the image that is missing or wrong.
        """
        options, batch, seed = self._options, int(state["batch"]), int(state["seed"])
        rng = draws(seed, self._rank, batch)
        data = np.zeros((options.batch, COLORS, options.crop, options.crop), np.float32)
        labels = np.empty(options.batch, np.float32)
        for place in range(options.batch):
            object_wanted = place >= options.batch - options.foreground
            lists = self._windows
            choice = lists.foreground if object_wanted else lists.background
            window = choice[rng.integers(len(choice))]
            mirror = bool(options.mirror and rng.integers(2))
            name = lists.names[window.image]
            try:
                self._fill(data[place], window, self._pixels(name), mirror)
            except FileError:
                raise
            except CheckError as error:
                raise FileError(f"{name}: {error}") from None
            labels[place] = window.label
        return [data, labels], {**state, "batch": batch + 1}

    def _pixels(self, name: str) -> images.Pixels:
        raw = self._files.get(name)
        return images.decode(images.read_bytes(name) if raw is None else raw)

    def _fill(
        self,
        out: NDArray[np.float32],
        window: Window,
        pixels: images.Pixels,
        mirror: bool,
    ) -> None:
        options = self._options
        found = fit(
            window,
            *pixels.shape[:2],
            crop=options.crop,
            pad=options.pad,
            square=options.square,
            mirror=mirror,
        )
        part = images.resize(pixels[found.rows, found.columns], *found.size)
        if mirror:
            part = part[:, ::-1]
        height, width = found.size
        place = np.s_[
            :, found.down : found.down + height, found.right : found.right + width
        ]
        values = part.transpose(2, 0, 1).astype(np.float32)
        if options.mean is not None:
            values -= np.broadcast_to(options.mean, out.shape)[place]
        out[place] = values * np.float32(options.scale)

"""A picture of training tiles beside the images that they were cut from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pyunet.data.fields import Field
from pyunet.data.labels import Labels
from pyunet.data.training_set import Draw, Recipe, output_window
from pyunet.errors import DataError
from pyunet.files import atomic_path

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
SIDE = 420
GAP = 10
CAPTION = 30
CELLS = 8
MESH: Colour = (255, 214, 0)
FRAME: Colour = (255, 80, 200)
OUTLINES = np.array(
    [(0, 0, 0), (0, 230, 255), (255, 120, 0), (120, 255, 60), (255, 60, 120),
     (170, 120, 255), (255, 255, 255)],
    np.uint8,
)  # fmt: skip
CAPTIONS = (
    "image, labels' outlines, where the tile is read",
    "augmented tile; the frame is what gets labels",
    "labels' outlines on the framed part",
    "weights of the loss",
)


def preview_png(
    path: str | Path,
    images: NDArray[np.float32],
    labels: Labels,
    draws: Sequence[Draw],
    recipe: Recipe,
) -> None:
    """Write one row of panels for each tile: original, tile, labels, weights.

    The yellow grid is straight in the tile; in the image it shows how the tile was
    bent, turned and mirrored. What lies beyond the image is mirrored, and drawn
    darker. Of volumes the middle slice of each tile is shown.

    Parameters
    ----------
    path : str or Path
    images : ndarray of float32, shape (N, C, [Z,] Y, X)
        Grey values 0..1; C = 3 is shown in colour, of other C the first channel.
    labels : Labels
        Of the images.
    draws : sequence of Draw
        From `TileSource.draws`.
    recipe : Recipe
        Theirs.

    Raises
    ------
    DataError
        A file that cannot be written, or whose name says that it is no PNG.
    """
    if Path(path).suffix.lower() not in ("", ".png"):
        raise DataError(f"{path}: expected a name in .png")
    rows = [_titles(CAPTIONS)]
    for draw in draws:
        rows.append(_row(_panels(draw, images, labels, recipe)))
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    pixels = np.concatenate([part for row in rows for part in (row, gap)])
    with atomic_path(Path(path)) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _panels(
    draw: Draw, images: NDArray[np.float32], labels: Labels, recipe: Recipe
) -> list[Picture]:
    at, tile, label, weights = draw.coordinates, *draw.sample
    image, classes = images[draw.number], labels.classes[draw.number]
    window = output_window(recipe)
    if len(at) == 3:
        middle = at.shape[1] // 2
        depth = int(np.clip(np.rint(np.median(at[0, middle])), 0, image.shape[1] - 1))
        image, classes = image[:, depth], classes[depth]
        at, tile = at[1:, middle], tile[:, middle]
        inside = middle - window[0].start
        label, weights = label[:, inside], weights[:, inside]
        window = window[1:]
    framed = tile[:, window[0], window[1]]
    return [
        _original(image, classes, at, window),
        _tile(tile, window),
        _fitted(_outlined(_shown(framed), label[0])),
        _heat(weights[0]),
    ]


def _original(
    image: NDArray[np.float32],
    classes: NDArray[np.uint8],
    at: Field,
    window: tuple[slice, ...],
) -> Picture:
    """Draw the image, its outlines, and the bent grid of a tile upon it."""
    picture = _outlined(_shown(image), classes)
    size = np.array(picture.shape[:2])
    low = np.minimum(np.floor(at.min(axis=(1, 2))).astype(int), 0)
    high = np.maximum(np.ceil(at.max(axis=(1, 2))).astype(int), size - 1)
    around = [(-low[0], high[0] - size[0] + 1), (-low[1], high[1] - size[1] + 1)]
    canvas = np.pad(picture // 3, [*around, (0, 0)], mode="reflect")
    rows, columns = (
        slice(int(b), int(b + n)) for (b, _), n in zip(around, size, strict=True)
    )
    canvas[rows, columns] = picture
    drawn, scale = _scaled(canvas)
    pen = ImageDraw.Draw(drawn)

    def line(points: Field, colour: Colour, width: int) -> None:
        y, x = (points - low[:, None] + 0.5) * scale
        path = list(zip(x.tolist(), y.tolist(), strict=True))
        pen.line(path, fill=colour, width=width, joint="curve")

    for number in _ruler(at.shape[1]):
        line(at[:, number], MESH, 1)
    for number in _ruler(at.shape[2]):
        line(at[:, :, number], MESH, 1)
    for border in _border(at, window):
        line(border, FRAME, 3)
    return _square(np.asarray(drawn))


def _border(at: Field, window: tuple[slice, ...]) -> list[Field]:
    """Give the four sides of the output window, as they lie in the image."""
    rows, columns = window
    inner = at[:, rows, columns]
    return [inner[:, 0], inner[:, -1], inner[:, :, 0], inner[:, :, -1]]


def _tile(tile: NDArray[np.floating[Any]], window: tuple[slice, ...]) -> Picture:
    drawn, scale = _scaled(_shown(tile))
    pen = ImageDraw.Draw(drawn)
    height, width = tile.shape[1:]
    for y in _ruler(height):
        pen.line([(0, y * scale), (width * scale, y * scale)], fill=MESH)
    for x in _ruler(width):
        pen.line([(x * scale, 0), (x * scale, height * scale)], fill=MESH)
    rows, columns = window
    corners = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
    pen.rectangle([corner * scale for corner in corners], outline=FRAME, width=3)
    return _square(np.asarray(drawn))


def _ruler(length: int) -> list[int]:
    return [int(i) for i in np.rint(np.linspace(0, length - 1, CELLS + 1))]


def _shown(image: NDArray[np.floating[Any]]) -> Picture:
    """Bring (C, Y, X) of 0..1 to 8-bit RGB (Y, X, 3)."""
    channels = image if len(image) == 3 else image[:1]
    bytes_ = np.rint(np.clip(channels, 0, 1) * 255).astype(np.uint8)
    return np.repeat(bytes_, 3 // len(channels), axis=0).transpose(1, 2, 0)


def _outlined(picture: Picture, classes: NDArray[np.uint8]) -> Picture:
    """Paint the border of every class, in the colour of the higher class."""
    result = picture.copy()
    for axis in (0, 1):
        a, b = np.swapaxes(classes, 0, axis)[:-1], np.swapaxes(classes, 0, axis)[1:]
        edge = a != b
        colour = (np.maximum(a, b)[edge] - 1) % (len(OUTLINES) - 1) + 1
        np.swapaxes(result, 0, axis)[:-1][edge] = OUTLINES[colour]
    return result


def _heat(weights: NDArray[np.floating[Any]]) -> Picture:
    """Black, red, yellow, white for weights from 0 to the largest; which is written."""
    largest = float(weights.max())
    share = weights.astype(np.float32) / max(largest, 1e-6)
    channels = [np.clip(3 * share - i, 0, 1) for i in range(3)]
    picture = np.rint(255 * np.stack(channels, axis=-1)).astype(np.uint8)
    panel = Image.fromarray(_fitted(picture))
    text = f"{float(weights.min()):.3g} to {largest:.3g}"
    pen = ImageDraw.Draw(panel)
    font = ImageFont.load_default(size=16)
    box = pen.textbbox((8, 8), text, font=font)
    pen.rectangle([box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4], fill="black")
    pen.text((8, 8), text, fill="white", font=font)
    return np.asarray(panel)


def _scaled(picture: Picture) -> tuple[Image.Image, float]:
    scale = SIDE / max(picture.shape[:2])
    size = [max(1, round(length * scale)) for length in picture.shape[1::-1]]
    way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return Image.fromarray(picture).resize((size[0], size[1]), way), scale


def _fitted(picture: Picture) -> Picture:
    return _square(np.asarray(_scaled(picture)[0]))


def _square(picture: Picture) -> Picture:
    """Lay a panel in the middle of a white square."""
    square = np.full((SIDE, SIDE, 3), 255, np.uint8)
    height, width = picture.shape[:2]
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _row(panels: Sequence[Picture]) -> Picture:
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.concatenate([part for p in panels for part in (p, gap)], axis=1)


def _titles(captions: Sequence[str]) -> Picture:
    line = Image.new("RGB", (len(captions) * (SIDE + GAP), CAPTION), "white")
    pen = ImageDraw.Draw(line)
    font = ImageFont.load_default(size=15)
    for number, text in enumerate(captions):
        centre = number * (SIDE + GAP) + SIDE / 2
        pen.text((centre, CAPTION / 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(line)

"""Make model definitions: find what was not said from the net, or read script words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyunet.errors import DataError
from pyunet_fiji.modeldef import definition as names
from pyunet_fiji.modeldef.nets import (
    SCORE,
    Geometry,
    Layers,
    find_geometry,
    loose_ends,
    read_test_layers,
)
from pyunet_fiji.modeldef.shapes import Shape

REQUIRED = (
    "model",
    "solver",
    "id",
    "inputblob",
    "downsample",
    "elementsize",
    "pad_input",
    "pad_output",
    "outfile",
)
OPTIONAL = {
    "name": "",
    "description": "",
    "inputdataset": "data",
    "padding": "mirror",
    "normalization": "0",
    "additionalArgs": "",
}


def find_input_blob(text: str, axes: int) -> str:
    """Find the blob that takes the image: the one that nobody makes in phase TEST.

    Parameters
    ----------
    text : str
        The net.
    axes : int
        Spatial axes, 2 or 3.

    Returns
    -------
    str

    Raises
    ------
    DataError
        No such text; no such blob, or several.

    Examples
    --------
    >>> find_input_blob("layer { type: 'ReLU' bottom: 'data3' top: 'score' }", 2)
    'data3'
    """
    unmade, _ = loose_ends(read_test_layers(text))
    if len(unmade) != 1:
        found = ", ".join(unmade) or "none"
        raise DataError(
            f"blobs that no layer makes in phase TEST: {found}; accepted is one, the "
            "input blob, or its name"
        )
    return unmade[0]


def complete_geometry(
    text: str,
    axes: int,
    source: str,
    *,
    downsample: Shape | None = None,
    pad_input: Shape | None = None,
    pad_output: Shape | None = None,
) -> Geometry:
    """Find tile sizes that were not given from the layers of the net.

    Parameters
    ----------
    text : str
        The net.
    axes : int
        Spatial axes, 2 or 3.
    source : str
        Blob that takes the image.
    downsample, pad_input, pad_output : tuple of int, optional
        What is known; one number goes for all axes. A pad that is not given is found
        so that both belong together.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        A net whose sizes cannot be found; another count of numbers.

    Examples
    --------
    >>> net = '''
    ...     layer { name: "a" type: "Convolution" bottom: "data" top: "score"
    ...             convolution_param { kernel_size: 3 } }'''
    >>> complete_geometry(net, 2, "data", pad_input=(2,))
    Geometry(downsample_factor=(1, 1), pad_input=(2, 2), pad_output=(0, 0))
    """
    factors, before, after = (
        None if given is None else spread(given, axes)
        for given in (downsample, pad_input, pad_output)
    )
    if factors and before and after:
        return Geometry(factors, before, after)
    layers = read_test_layers(text)
    found = find_geometry(layers, source, _output(layers), axes)
    shrink = [a - b for a, b in zip(found.pad_input, found.pad_output, strict=True)]
    if before is None and after is None:
        before = found.pad_input
    elif before is None and after is not None:
        before = tuple(a + b for a, b in zip(after, shrink, strict=True))
    if after is None and before is not None:
        after = tuple(a - b for a, b in zip(before, shrink, strict=True))
    return Geometry(factors or found.downsample_factor, before or (), after or ())


def spread(numbers: Sequence[int], axes: int) -> Shape:
    """Give one number an axis; a single one goes for all.

    Raises
    ------
    DataError
        Another count.

    Examples
    --------
    >>> spread((16,), 3), spread((1, 2), 2)
    ((16, 16, 16), (1, 2))
    """
    if len(numbers) not in (1, axes):
        shown = ",".join(map(str, numbers))
        raise DataError(f"{shown}: {len(numbers)} numbers; accepted are 1 or {axes}")
    return tuple(numbers) * axes if len(numbers) == 1 else tuple(numbers)


def parse_memory_map(text: str) -> tuple[tuple[int, int], ...]:
    """Read how much GPU memory an input tile of so many pixels takes.

    Parameters
    ----------
    text : str
        ``PIXELS:MB,PIXELS:MB...``, or a file with two such numbers a line (``#``
        begins a comment).

    Returns
    -------
    tuple of (pixels, megabytes)

    Raises
    ------
    DataError
        Something else.

    Examples
    --------
    >>> parse_memory_map("35344:700,291600:2900")
    ((35344, 700), (291600, 2900))
    """
    path = Path(text)
    if ":" not in text or path.is_file():
        lines = read_text_file(path).splitlines()
        bare = (line.partition("#")[0] for line in lines)
        pairs = [line.replace(",", " ").split() for line in bare if line.strip()]
    else:
        pairs = [pair.split(":") for pair in text.split(",")]
    try:
        return tuple((int(pixels), int(megabytes)) for pixels, megabytes in pairs)
    except ValueError as error:
        raise DataError(
            f"{text}: no memory map; accepted are PIXELS:MB,PIXELS:MB or a file with "
            "two whole numbers a line"
        ) from error


def read_text_file(path: str | Path) -> str:
    """Read a text in UTF-8.

    Raises
    ------
    DataError
        No such file, or no text.
    """
    try:
        return Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(f"{path}: cannot be read: {reason}") from error


def datasets_of_words(words: Sequence[str]) -> tuple[Path, dict[str, Any], list[str]]:
    """Read the arguments of Freiburg's createModeldef script (modeldef_h5.md 1).

    Parameters
    ----------
    words : sequence of str
        ``key=value``; the script keeps what stands before a second ``=``.

    Returns
    -------
    path : Path
        The file to write.
    datasets : dict
        For `pyunet_fiji.modeldef.writing.write_datasets`.
    cut : list of str
        Words that held a second ``=``.

    Raises
    ------
    DataError
        A key that is missing or unknown, a value that is none, a file that cannot be
        read.
    """
    given = dict(_key_value(word) for word in words)
    unknown = [key for key in given if key not in (*REQUIRED, *OPTIONAL)]
    missing = [key for key in REQUIRED if key not in given]
    if unknown or missing:
        wrong = f"{', '.join(unknown)} unknown" if unknown else ""
        lacks = f"{', '.join(missing)} missing" if missing else ""
        raise DataError(
            f"key=value words: {'; '.join(filter(None, (wrong, lacks)))}; accepted are "
            f"{', '.join((*REQUIRED, *OPTIONAL))}"
        )
    values = {**OPTIONAL, "name": given["id"], **given}
    datasets: dict[str, Any] = {
        names.IDENT: values["id"],
        names.MODEL: read_text_file(values["model"]),
        names.SOLVER: read_text_file(values["solver"]),
        names.NAME: values["name"],
        names.DESCRIPTION: values["description"],
        names.INPUT_BLOB: values["inputblob"],
        names.INPUT_DATASET: values["inputdataset"],
        names.PADDING: values["padding"],
        names.NORMALIZATION: _numbers("normalization", values, int)[0],
        names.ELEMENT_SIZE: _numbers("elementsize", values, float),
        names.DOWNSAMPLE: _numbers("downsample", values, int),
        names.PAD_INPUT: _numbers("pad_input", values, int),
        names.PAD_OUTPUT: _numbers("pad_output", values, int),
    }
    datasets.update(_additional(values["additionalArgs"]))
    cut = [word for word in words if word.count("=") > 1]
    return Path(values["outfile"]), datasets, cut


def _output(layers: Layers) -> str:
    _, outputs = loose_ends(layers)
    if not outputs:
        raise DataError("the net has no output; accepted is a net with a score")
    return SCORE if SCORE in outputs else outputs[0]


def _key_value(word: str) -> tuple[str, str]:
    parts = word.split("=")
    if len(parts) < 2:
        raise DataError(f"'{word}'; accepted are words of the form key=value")
    return parts[0], parts[1]


def _numbers(
    key: str, values: dict[str, str], kind: type[int] | type[float]
) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in values[key].split(","))
    except ValueError as error:
        raise DataError(
            f"{key}={values[key]}; accepted are numbers with commas between them"
        ) from error


def _additional(text: str) -> dict[str, Any]:
    """Read ``path:value,...``: whole numbers, else fractions of 32 bits, else texts."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        path, colon, value = part.partition(":")
        if not colon or not path.strip("/"):
            raise DataError(f"additionalArgs: '{part}'; accepted is path:value")
        found[f"/{path.strip('/')}"] = _typed(value)
    return found


def _typed(value: str) -> int | np.float32 | str:
    for kind in (int, np.float32):
        try:
            return kind(value)
        except ValueError:
            continue
    return value

"""What ImageJ remembers of the plugin's programs in ``IJ_Prefs.txt``.

Keys (caffe_unet_cli.md, section 5): ``unet.caffe_unetBinary``, default ``caffe_unet``;
``unet.caffeBinary``, default ``caffe`` in the same folder.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

from pyunet_fiji.doctor.findings import Finding, ok, problem

_KEYS = {"caffe_unet": "unet.caffe_unetBinary", "caffe": "unet.caffeBinary"}


def prefs_file() -> Path:
    """Return where ImageJ keeps its preferences on this system."""
    folder = "Library/Preferences" if sys.platform == "darwin" else ".imagej"
    return Path.home() / folder / "IJ_Prefs.txt"


def read(path: Path) -> dict[str, str]:
    r"""Read a file of preferences; one that is not there is empty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "IJ_Prefs.txt")
    ...     _ = file.write_text(".unet.caffeBinary=/opt/my\\ bin/caffe")
    ...     read(file)
    {'unet.caffeBinary': '/opt/my bin/caffe'}
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError:
        return {}
    found = re.findall(r"^\s*\.?([^#!=:\s][^=:\s]*)\s*[=:][ \t]*(.*)$", text, re.M)
    return {key: re.sub(r"\\(.)", r"\1", value.strip()) for key, value in found}


def typed(prefs: dict[str, str]) -> dict[str, str]:
    """Return what the plugin calls for each of its two programs.

    Examples
    --------
    >>> typed({})
    {'caffe_unet': 'caffe_unet', 'caffe': 'caffe'}
    >>> typed({"unet.caffe_unetBinary": "/opt/bin/caffe_unet"})["caffe"]
    '/opt/bin/caffe'
    """
    unet = prefs.get(_KEYS["caffe_unet"]) or "caffe_unet"
    beside = str(PurePath(unet).with_name("caffe"))
    return {"caffe_unet": unet, "caffe": prefs.get(_KEYS["caffe"]) or beside}


def check(path: Path, prefs: dict[str, str]) -> Iterator[Finding]:
    """Check the names that ImageJ remembers; whether they work is checked elsewhere.

    Parameters
    ----------
    path : Path
        Where the preferences were read from.
    prefs : dict
        As `read` gives them.
    """
    for name, key in _KEYS.items():
        value = prefs.get(key)
        if not value:
            continue
        stem = re.split(r"[/\\]", value)[-1].lower().removesuffix(".exe")
        other = next(n for n in _KEYS if n != name)
        if stem.removesuffix(".bin") == other:
            yield problem(
                f"{path} says {key}={value}, which is {other}, not {name}",
                _forget(path, key),
            )
        else:
            yield ok(f"ImageJ remembers {key}={value}")


def _forget(path: Path, key: str) -> str:
    file = shlex.quote(str(path))
    return (
        f"close Fiji, then: grep -v {key} {file} > {file}.new && mv {file}.new {file}"
    )

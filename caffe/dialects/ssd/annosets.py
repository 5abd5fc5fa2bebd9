"""Files of boxes and of names of classes, as SSD's `convert_annoset` reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from caffe.errors import CheckError, FileError
from caffe.glog import log
from caffe.proto import caffe_pb2
from caffe.proto.text import read_bytes, read_text

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_label_map(path: str, *, check: bool = False) -> dict[str, int]:
    """Read a LabelMap: the number of each class by its name.

    Parameters
    ----------
    check : bool
        Refuse numbers that are given twice.

    Raises
    ------
    FileError, PrototxtError
        The file can't be read or is something else.
    """
    found: dict[str, int] = {}
    for item in read_text(path, caffe_pb2.LabelMap()).item:
        if item.name in found or (check and item.label in found.values()):
            raise FileError(
                f"{path}: item '{item.name}' of label {item.label} is there twice: "
                "expected every name and label once"
            )
        found[item.name] = item.label
    return found


def read_voc(path: str, labels: dict[str, int]) -> Any:
    """Read an XML file of Pascal VOC.

    Parameters
    ----------
    labels : dict of str to int
        Numbers of the classes.

    Returns
    -------
    AnnotatedDatum
        Without an image.

    Raises
    ------
    FileError
        The file can't be read, is something else, or names an unknown class.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path))
        size = (
            float(_text(root, "size/width", path)),
            float(_text(root, "size/height", path)),
        )
        rows = []
        for item in root.iter("object"):
            name = _text(item, "name", path)
            if name not in labels:
                raise FileError(
                    f"{path}: class '{name}' is not in the label map: expected one of "
                    f"{', '.join(labels)}"
                )
            corners = [float(_text(item, f"bndbox/{key}", path)) for key in _CORNERS]
            difficult = item.findtext("difficult", "0").strip() == "1"
            rows.append((labels[name], corners, difficult))
    except (ElementTree.ParseError, ValueError) as error:
        raise FileError(f"{path}: is no annotation of Pascal VOC ({error})") from None
    return annotated(rows, size, path)


def read_plain(path: str, size: tuple[float, float]) -> Any:
    """Read a text file: label, left, top, right, bottom of a box a line, in pixels.

    Parameters
    ----------
    size : width, height
        Of the image.
    """
    rows = []
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            left, top, right, bottom = map(float, words[1:])
            rows.append((int(words[0]), [left, top, right, bottom], False))
        except ValueError:
            raise FileError(
                f"{path}: line {number} is {line!r}: expected label, left, top, right "
                "and bottom"
            ) from None
    return annotated(rows, size, path)


def annotated(
    rows: Iterable[tuple[int, list[float], bool]], size: tuple[float, float], path: str
) -> Any:
    """Make an AnnotatedDatum of labels, corners in pixels, and whether difficult.

    Raises
    ------
    CheckError
        The image has no size.
    """
    width, height = size
    if width <= 0 or height <= 0:
        raise CheckError(f"{path}: the image is {width:g} x {height:g}: expected more")
    datum = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
    groups: dict[int, Any] = {}
    for label, corners, difficult in rows:
        if label not in groups:
            groups[label] = datum.annotation_group.add(group_label=label)
        _warn(corners, size, path)
        left, top, right, bottom = corners
        instances = groups[label].annotation
        one = instances.add(instance_id=len(instances))
        one.bbox.xmin, one.bbox.xmax = left / width, right / width
        one.bbox.ymin, one.bbox.ymax = top / height, bottom / height
        one.bbox.difficult = difficult
    return datum


def _warn(corners: list[float], size: tuple[float, float], path: str) -> None:
    left, top, right, bottom = corners
    width, height = size
    if min(left, top) < 0 or right > width or bottom > height:
        log("io.cpp:360", f"{path} bounding box exceeds image boundary.", "W")
    if left > right or top > bottom:
        log("io.cpp:364", f"{path} bounding box irregular.", "W")


def _text(item: Any, name: str, path: str) -> str:
    found = item.findtext(name)
    if found is None:
        raise FileError(f"{path}: has no '{name}': expected an annotation of VOC")
    return str(found).strip()

"""Check images, labels and weights in files and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyunet_checks.findings import Finding
from pyunet_checks.greys import check_greys, check_size
from pyunet_checks.labels import check_labels
from pyunet_checks.leakage import check_leakage
from pyunet_checks.pairs import check_contrast, check_pairs
from pyunet_checks.sources import (
    Source,
    check_files,
    check_kind,
    read_source,
)
from pyunet_checks.weights import check_weights

PLACES = ("label-shifted", "label-turned", "label-foreign")


@dataclass(frozen=True)
class Expected:
    """What is known about a data set.

    Attributes
    ----------
    classes : int or None
        How many the net has.
    smallest : tuple of int or None
        (Y, X) that no image may fall short of: the net's output tile.
    polarity_told : bool
        It is known which value marks the inside; masks are not doubted.
    volume : bool
        Slices are those of volumes: some may well be without labels.
    """

    classes: int | None = None
    smallest: tuple[int, ...] | None = None
    polarity_told: bool = False
    volume: bool = False


NOTHING_KNOWN = Expected()


def check_images(
    images: Path,
    labels: Path,
    *,
    weights: Path | None = None,
    test: tuple[Path, Path] | None = None,
    part: slice | None = None,
    expected: Expected = NOTHING_KNOWN,
) -> list[Finding]:
    """Read a data set and say what is wrong with it.

    Parameters
    ----------
    images, labels : Path
        TIFF stack, picture, folder or pattern, as `pyunet.data.images.read_stack`
        takes them.
    weights : Path, optional
        Weight maps of the labels.
    test : (images, labels), optional
        Of the test set; looked at in the same way, and compared.
    part : slice, optional
        Slices of the training set to look at.
    expected : Expected
        What is known.

    Returns
    -------
    list of Finding
        Empty if nothing is wrong.

    Examples
    --------
    >>> import tempfile
    >>> from pyunet_synthetic.membranes import synthetic_stack, write_synthetic
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_synthetic(*synthetic_stack(3, 96, rng=1), folder)
    ...     check_images(*paths)
    ...     [found.kind for found in check_images(paths[1], paths[1])]
    []
    ['same-as-labels']
    """
    train, findings = _check_set(images, labels, "", part, expected)
    if weights is not None and train[1].pictures:
        maps = read_source(weights, "weights", part)
        findings += maps.findings + check_files(train[1], maps)
        findings += check_weights(train[1], maps)
    if test is not None:
        other, test_findings = _check_set(*test, "test ", None, expected)
        findings += test_findings
        if train[0].pictures and other[0].pictures:
            findings += check_leakage(train[0], other[0])
    return list(dict.fromkeys(findings))


def _check_set(
    images: Path, labels: Path, which: str, part: slice | None, expected: Expected
) -> tuple[tuple[Source, Source], list[Finding]]:
    pictures = read_source(images, f"{which}images", part)
    marks = read_source(labels, f"{which}labels", part)
    findings = pictures.findings + marks.findings
    if not pictures.pictures or not marks.pictures:
        return (pictures, marks), findings
    files = check_files(pictures, marks)
    findings += files
    if any(finding.kind == "same-as-labels" for finding in files):
        return (pictures, marks), findings
    kinds = check_kind(pictures) + check_kind(marks)
    findings += kinds
    if any(finding.kind == "axes" for finding in kinds + files):
        return (pictures, marks), findings
    findings += check_size(pictures, expected.smallest)
    findings += check_greys(pictures)
    of_labels = check_labels(
        marks, classes=expected.classes, told=expected.polarity_told
    )
    findings += [
        f for f in of_labels if not (expected.volume and f.kind == "label-empty")
    ]
    if not files:
        reported = {(finding.kind, finding.where) for finding in findings}
        contrast = check_contrast(pictures, marks)
        findings += [f for f in contrast if (f.kind, f.where) not in reported]
        findings += check_pairs(pictures, marks, kinds=PLACES)
    return (pictures, marks), findings

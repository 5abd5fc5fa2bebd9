"""What ``pyunet segment`` does with models of the list: weights, inputs, objects."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli import segment_inputs
from pyunet.cli.saying import say
from pyunet.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.engine import Model
    from pyunet.inference.inputs import Inputs
    from pyunet.inference.pretrained import Pretrained
    from pyunet.modeldef import ModelDefinition
    from pyunet.objects.table import Row
    from pyunet.zoo.manifest import Entry

    Labels = NDArray[np.unsignedinteger]

INSTANCES = ("components", "watershed")
VOLUME = 3
# Measured: what one image takes while its objects are told apart, and the numbers of
# all images until they are written.
OBJECT_BYTES = {"components": 42, "watershed": 125}
NUMBER_BYTES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--instances`` and ``--min-size``."""
    parser.add_argument(
        "--instances",
        choices=INSTANCES,
        help="tell objects apart: components (what hangs together), watershed (round "
        "ones that touch are parted); writes NAME_objects.tif and NAME_objects.csv",
    )
    parser.add_argument(
        "--min-size",
        type=int,
        default=0,
        metavar="PIXELS",
        help="with --instances: leave out smaller objects (default: none)",
    )


def find(args: argparse.Namespace) -> Entry | None:
    """Look the model up in the list where no weights are given.

    What the list says about averaging then holds where the user says nothing.

    Raises
    ------
    DataError
        No weights are given, and the list has no such model; ``--min-size`` without
        ``--instances``.
    """
    if args.min_size and not args.instances:
        raise DataError(f"--min-size {args.min_size}: goes with --instances")
    if args.weights is not None:
        return None
    from pyunet.zoo.manifest import entries

    entry = entries().get(args.model)
    if entry is None:
        raise DataError(
            f"--model {args.model}: --weights is wanted; without it accepted are "
            f"{', '.join(entries())} (pyunet zoo list)"
        )
    if args.average is None and entry.average:
        args.average = entry.average
    return entry


@dataclass(frozen=True)
class Source:
    """A net with its weights, and how images are made ready for it.

    Attributes
    ----------
    model : Model
    definition : ModelDefinition or None
    pretrained : Pretrained or None
        What the list says; None where weights were given.
    """

    model: Model
    definition: ModelDefinition | None
    pretrained: Pretrained | None = None

    def prepare(
        self, args: argparse.Namespace, stack: ImageStack, path: Path, free: int
    ) -> Inputs:
        """Prepare the stack of a file as the net wants it, in so many free bytes."""
        if self.pretrained is None:
            return segment_inputs.prepare(
                args, stack, path, self.model, self.definition
            )
        return prepare(args, stack, path, self.pretrained, free=free)


def load(args: argparse.Namespace, entry: Entry | None) -> Source:
    """Load what ``--model`` means; a model of the list is fetched if it is not here.

    Raises
    ------
    DataError
        What the loaders refuse.
    """
    if entry is None:
        return Source(*segment_inputs.load(args))
    from pyunet.inference.pretrained import load_pretrained

    found = load_pretrained(entry, gpu=args.gpu)
    return Source(found.model, found.definition, found)


def prepare(
    args: argparse.Namespace,
    stack: ImageStack,
    path: Path,
    pretrained: Pretrained,
    *,
    free: int,
) -> Inputs:
    """Prepare the stack of a file: pixel size and grey values as the net knows them.

    Raises
    ------
    DataError
        What `Pretrained.inputs` refuses; ``--slices`` of a file with several volumes.
    """
    from pyunet.inference.calibration import find_element_size, frame_count

    volume = len(pretrained.model.axes) == VOLUME
    frames = frame_count(path) if volume and pretrained.definition else 1
    if frames > 1 and args.slices:
        raise DataError(
            f"{path}: --slices goes with one volume, this file has {frames} frames"
        )
    wanted = pretrained.pixel_size_um
    size = wanted and find_element_size(
        stack.resolution, wanted, given=args.element_size_um, name=str(path)
    )
    return pretrained.inputs(stack, size, frames=frames, free=free)


@dataclass(frozen=True)
class ObjectFiles:
    """Where the objects of one stack go.

    Attributes
    ----------
    picture, table : Path
    """

    picture: Path
    table: Path

    @classmethod
    def beside(cls, labels: Path) -> ObjectFiles:
        """Name them after the file of labels.

        >>> ObjectFiles.beside(Path("out/a_labels.tif")).table.as_posix()
        'out/a_objects.csv'
        """
        stem = labels.name.removesuffix("_labels.tif")
        return cls(
            labels.with_name(f"{stem}_objects.tif"),
            labels.with_name(f"{stem}_objects.csv"),
        )


def check_objects(
    args: argparse.Namespace, stack: ImageStack, memory: tuple[int, int], *, images: int
) -> None:
    """See that the objects of a stack can be told apart within the memory.

    Labels are read whole for it, one image after the other, and the numbers of all
    images are held.

    Parameters
    ----------
    args : argparse.Namespace
        With ``instances``.
    stack : ImageStack
    memory : (int, int)
        Bytes that may be taken, and those that the loaded program holds.
    images : int
        How many the stack holds, volumes or slices.

    Raises
    ------
    DataError
        They take more.
    """
    if not args.instances:
        return
    from pyunet.memory import format_bytes

    limit, held = memory
    pixels = stack.array[:, 0].size
    each = OBJECT_BYTES[args.instances]
    needed = held + each * (pixels // images) + NUMBER_BYTES * pixels
    if needed > limit:
        raise DataError(
            f"{stack.name}: --instances {args.instances} reads the labels of a whole "
            f"image, {each} bytes a pixel: {format_bytes(needed)} in all, the limit is "
            f"{format_bytes(limit)}: raise the memory limit, or leave --instances out"
        )


def write_objects(
    args: argparse.Namespace,
    entry: Entry | None,
    stack: ImageStack,
    labels: Labels,
    path: Path,
    *,
    volumes: int = 0,
) -> None:
    """Give numbers to the objects of a stack; write them and their table, if asked.

    Parameters
    ----------
    args : argparse.Namespace
        With ``instances``, ``min_size``, ``element_size_um``.
    entry : Entry or None
        Names of classes, and which of them are objects.
    stack : ImageStack
        For its pixel size.
    labels : ndarray of int, shape (N, Y, X)
    path : Path
        The file that the labels were written to.
    volumes : int, default 0
        Volumes that the stack holds; 0: objects are of one slice each.
    """
    if not args.instances:
        return
    import numpy as np

    from pyunet.files import atomic_path
    from pyunet.inference.outputs import write_tiff
    from pyunet.objects.instances import find_instances
    from pyunet.objects.table import columns, object_rows, write_table

    files = ObjectFiles.beside(path)
    images = labels.reshape(volumes, -1, *labels.shape[1:]) if volumes else labels
    size = _pixel_size(args, stack, images.ndim - 1)
    found = [
        find_instances(
            image,
            how=args.instances,
            classes=entry.object_classes if entry else (),
            min_size_px=args.min_size,
        )
        for image in images
    ]
    names = entry.classes if entry else ()

    def rows() -> Iterator[Row]:
        for number, (objects, image) in enumerate(zip(found, images, strict=True)):
            for row in object_rows(objects, image, pixel_size_um=size, classes=names):
                yield {"image": number, **row}

    unit = "um" if size else "px"
    write_table(files.table, rows(), ["image", *columns(images.ndim - 1, unit)])
    whole = np.stack(found).reshape(labels.shape)
    largest = int(whole.max(initial=0))
    # ImageJ knows whole numbers up to 65535, and beyond them floats
    kind = np.dtype(np.uint16 if largest < 2**16 else np.float32)
    with atomic_path(files.picture) as picture:
        write_tiff(
            picture, iter(whole.astype(kind)), whole.shape, kind, "ZYX",
            stack.resolution,
        )  # fmt: skip
    count = sum(int(one.max(initial=0)) for one in found)
    say(f"{files.table}: {count} object(s), sizes in {unit}")


def _pixel_size(
    args: argparse.Namespace, stack: ImageStack, dimensions: int
) -> Sequence[float] | None:
    """Give the pixel size (z)yx in um, None where nobody says it."""
    from pyunet.inference.calibration import find_element_size, states_size

    said = stack.resolution
    known = states_size(said) and (
        dimensions < VOLUME or (said is not None and said.spacing is not None)
    )
    if not known and args.element_size_um is None:
        return None
    return find_element_size(
        said, (1.0,) * dimensions, given=args.element_size_um, name=stack.name
    )

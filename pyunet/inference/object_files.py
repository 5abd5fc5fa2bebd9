"""The objects of a segmentation: told apart, numbered, measured, written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference.calibration import find_element_size, states_size
from pyunet.inference.engine import VOLUME
from pyunet.inference.outputs import Outputs, write_tiff
from pyunet.inference.trained import Trained
from pyunet.memory import format_bytes

# Measured: what one image takes while its objects are told apart, and the numbers of
# all images until they are written.
OBJECT_BYTES = {"components": 42, "watershed": 125}
NUMBER_BYTES = 10


@dataclass(frozen=True)
class ObjectFinder:
    """How the objects of a segmentation are told apart.

    Attributes
    ----------
    how : {"components", "watershed"}
        What hangs together; or round ones that touch are parted.
    min_size_px : int, default 0
        Smaller objects are left out.
    element_size_um : sequence of float, optional
        Of a pixel, (z)yx, where the file's own word does not count.
    """

    how: Literal["components", "watershed"]
    min_size_px: int = 0
    element_size_um: Sequence[float] | None = None

    def check(self, stack: ImageStack, *, images: int, limit: int, held: int) -> None:
        """See that the objects of a stack can be told apart within the memory.

        Labels are read whole for it, one image after the other, and the numbers of all
        images are held.

        Parameters
        ----------
        stack : ImageStack
        images : int
            How many the stack holds, volumes or slices.
        limit, held : int
            Bytes that may be taken, and those of them that the program holds.

        Raises
        ------
        DataError
            They take more.
        """
        pixels = stack.array[:, 0].size
        each = OBJECT_BYTES[self.how]
        needed = held + each * (pixels // images) + NUMBER_BYTES * pixels
        if needed > limit:
            raise DataError(
                f"{stack.name}: --instances {self.how} reads the labels of a whole "
                f"image, {each} bytes a pixel: {format_bytes(needed)} in all, the "
                f"limit is {format_bytes(limit)}: raise the memory limit, or leave "
                "--instances out"
            )

    def write(
        self,
        labels: NDArray[np.unsignedinteger[Any]],
        stack: ImageStack,
        trained: Trained,
        outputs: Outputs,
        *,
        volumes: int = 0,
    ) -> Found:
        """Give numbers to the objects of a stack; write them and their table.

        Parameters
        ----------
        labels : ndarray of int, shape (N, Y, X)
        stack : ImageStack
            For its pixel size.
        trained : Trained
            For the names of classes, and which of them are objects.
        outputs : Outputs
        volumes : int, default 0
            Volumes that the stack holds; 0: objects are of one slice each.
        """
        from pyunet.objects.instances import find_instances  # slow to import
        from pyunet.objects.table import Row, columns, object_rows, write_table

        images = labels.reshape(volumes, -1, *labels.shape[1:]) if volumes else labels
        size = self._pixel_size(stack, images.ndim - 1)
        objects = [
            find_instances(
                image,
                how=self.how,
                classes=trained.object_classes,
                min_size_px=self.min_size_px,
            )
            for image in images
        ]

        def rows() -> Iterator[Row]:
            for number, (each, image) in enumerate(zip(objects, images, strict=True)):
                for row in object_rows(
                    each, image, pixel_size_um=size, classes=trained.classes
                ):
                    yield {"image": number, **row}

        unit = "um" if size else "px"
        write_table(outputs.table, rows(), ["image", *columns(images.ndim - 1, unit)])
        _write_numbers(outputs.objects, np.stack(objects).reshape(labels.shape), stack)
        count = sum(int(each.max(initial=0)) for each in objects)
        return Found(outputs.table, count, unit)

    def _pixel_size(self, stack: ImageStack, axes: int) -> Sequence[float] | None:
        """Give the pixel size (z)yx in um, None where nobody says it."""
        said, given = stack.resolution, self.element_size_um
        known = states_size(said) and (
            axes < VOLUME or (said is not None and said.spacing is not None)
        )
        if not known and given is None:
            return None
        return find_element_size(said, (1.0,) * axes, given=given, name=stack.name)


@dataclass(frozen=True)
class Found:
    """What was written of objects.

    Attributes
    ----------
    table : Path
    count : int
    unit : str
        Of their sizes: um or px.
    """

    table: Path
    count: int
    unit: str


def _write_numbers(path: Path, numbers: NDArray[Any], stack: ImageStack) -> None:
    # ImageJ knows whole numbers up to 65535, and beyond them floats
    fits = int(numbers.max(initial=0)) < 2**16
    kind = np.dtype(np.uint16 if fits else np.float32)
    with atomic_path(path) as picture:
        write_tiff(
            picture, iter(numbers.astype(kind)), numbers.shape, kind, "ZYX",
            stack.resolution,
        )  # fmt: skip

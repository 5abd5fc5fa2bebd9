"""The one place where segmentation touches ``caffe``: by its public names only."""

from __future__ import annotations

import functools
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from caffe import Axis
from caffe.memory import address_room
from pyunet.errors import DataError, OutOfMemoryError
from pyunet.inference.tiling import Padding
from pyunet.memory import format_bytes

if TYPE_CHECKING:
    from caffe import Geometry

FLOAT_BYTES = 4
VOLUME = 3  # axes of the images of a net of volumes
ENGINE_BYTES = 512 * 2**20  # of addresses; measured: torch for CPUs
# Measured: to read all weights once takes as long as 80 multiply-adds with each, to
# call the layers as long as 0.3e9 of them.
WEIGHT_WORK, CALL_WORK = 80, 300_000_000
MOST_NUMBERS = 2**31  # Caffe's limit


@dataclass(frozen=True)
class Model:
    """A net with weights, ready to segment.

    Attributes
    ----------
    deploy : Path
        Its prototxt, or its model definition.
    net : caffe.Net
    source, output : str
        The blobs that take the image and give the scores.
    channels : int
        Channels of the image.
    axes : tuple of Axis
        Valid tile sizes, for (Y, X) or (Z, Y, X).
    padding : {"mirror", "zero"}
        What the net is to see beyond an image.
    on_gpu : bool
        Whether it computes on a GPU.
    """

    deploy: Path
    net: Any
    source: str
    output: str
    channels: int
    axes: tuple[Axis, ...]
    padding: Padding = "mirror"
    on_gpu: bool = False

    @property
    def gives_probabilities(self) -> bool:
        """Whether the net itself ends in a Softmax or Sigmoid layer."""
        return bool(self.net.gives_probabilities(self.output))

    def reshape(self, tile: tuple[int, ...], *, batch: int = 1) -> None:
        """Set the net to tiles of a size, one or some at a time."""
        self.net.blobs[self.source].reshape(batch, self.channels, *tile)
        self.net.reshape()

    def work(self, tile: tuple[int, ...]) -> int:
        """Give the time that one tile takes, counted in multiply-adds."""
        weights = self.weight_bytes() // FLOAT_BYTES
        return self.multiply_adds(tile) + WEIGHT_WORK * weights + CALL_WORK

    def multiply_adds(self, tile: tuple[int, ...]) -> int:
        """Give the multiply-adds of one tile."""
        return int(self._geometry.multiply_adds(self.net, tile))

    @functools.cached_property
    def _geometry(self) -> Geometry:
        import caffe

        return caffe.geometry(self.net, self.source, self.output)

    def activation_bytes(self, tile: tuple[int, ...], *, batch: int = 1) -> int:
        """Give the bytes that the activations of one batch of tiles take at most.

        With a blob that Caffe cannot count, or nearly so, it is more than any memory.
        """
        import caffe

        if batch * self._most_numbers(tile) > MOST_NUMBERS:
            return sys.maxsize
        shape = (batch, self.channels, *tile)
        return int(caffe.cost(self.net, {self.source: shape}).activation_bytes)

    def _most_numbers(self, tile: tuple[int, ...]) -> int:
        """Give how many numbers the largest blob of one tile has."""
        along = [self._geometry.extents(axis, size) for axis, size in enumerate(tile)]
        return max(
            (
                int(self.net.blobs[name].shape[1])
                * math.prod(each[name] for each in along)
                for name in along[0]
            ),
            default=0,
        )

    def weight_bytes(self) -> int:
        """Give the bytes of all weights."""
        return weight_bytes(self.net)


def activation_bytes(net: Any) -> int:
    """Give the bytes that the activations of a net, as it is shaped, take at most."""
    return int(net.activation_bytes())


def weight_bytes(net: Any) -> int:
    """Give the bytes of all weights of a net."""
    blobs = (blob for group in net.params.values() for blob in group)
    return FLOAT_BYTES * sum(map(_count, blobs))


def load_model(
    deploy: str | Path, weights: str | Path, *, gpu: int | None = None
) -> Model:
    """Load a net and its weights in phase TEST and find its tile geometry.

    Parameters
    ----------
    deploy : str or Path
        The deploy prototxt, with one input blob (1, C, [Z,] Y, X).
    weights : str or Path
        ``.caffemodel`` or ``.caffemodel.h5``.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    Model

    Raises
    ------
    DataError
        A file that is not there, weights that lack a layer of the net or have another
        shape for one, a net without exactly one input, or one that cannot be run by
        tiles.
    """
    for path, what in ((deploy, "prototxt"), (weights, "weights")):
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; the model's {what} are wanted")
    net = load_trained(deploy, weights, gpu=gpu)
    return _describe(Path(deploy), net, on_gpu=gpu is not None)


def load_trained(
    deploy: str | Path, weights: str | Path, *, gpu: int | None = None
) -> Any:
    """Build a net in phase TEST with weights for all of its layers.

    Parameters
    ----------
    deploy, weights, gpu
        As for `load_model`.

    Returns
    -------
    caffe.Net

    Raises
    ------
    DataError
        Files that cannot be read; weights that lack a layer of the net, or have
        another shape for one.
    """
    caffe = import_caffe()
    choose_device(caffe, gpu)
    try:
        return caffe.Net(str(deploy), str(weights), caffe.TEST, complete=True)
    except ValueError as error:
        raise DataError(str(error)) from error  # names the file that is wrong
    except (RuntimeError, OSError) as error:
        raise DataError(f"{deploy} with {weights}: {error}") from error


def load_net(prototxt: Path, *, train: bool = False) -> Any:
    """Build the net of a prototxt, without weights.

    Parameters
    ----------
    prototxt : Path
    train : bool, default False
        The net of phase TRAIN, not TEST.

    Raises
    ------
    DataError
        A file that cannot be read, or is no net.
    """
    caffe = import_caffe()
    choose_device(caffe, None)
    try:
        return caffe.Net(str(prototxt), caffe.TRAIN if train else caffe.TEST)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{prototxt}: {error}") from error


def _count(blob: Any) -> int:
    return math.prod(int(extent) for extent in blob.shape)


def _describe(deploy: Path, net: Any, *, on_gpu: bool) -> Model:
    if len(net.inputs) != 1 or not net.outputs:
        raise DataError(
            f"{deploy}: the net has inputs {list(net.inputs)} and outputs "
            f"{list(net.outputs)}: accepted are nets with one input and an output "
            "(a deploy prototxt)"
        )
    source, output = net.inputs[0], net.outputs[0]
    shape = tuple(int(extent) for extent in net.blobs[source].shape)
    if len(shape) not in (4, 5):
        raise DataError(
            f"{deploy}: blob '{source}' has shape {shape}; accepted are "
            "(N, C, Y, X) and (N, C, Z, Y, X)"
        )
    try:
        axes = import_caffe().geometry(net, source, output).axes
    except ValueError as error:
        raise DataError(f"{deploy}: {error}") from error
    return Model(deploy, net, source, output, shape[1], axes, on_gpu=on_gpu)


def choose_device(caffe: ModuleType, gpu: int | None) -> None:
    """Let caffe compute on the CPU, or on a GPU by its number."""
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


def choose_computation(*, precision: str = "float32", backend: str = "torch") -> None:
    """Say how nets compute from now on.

    Parameters
    ----------
    precision : {"float32", "bf16", "tf32"}, default "float32"
        Of activations and products; scores are float32 always.
    backend : {"torch", "onnxruntime", "openvino"}, default "torch"
        What computes on the CPU; the others are extras.

    Raises
    ------
    caffe.CaffeError
        There is no such precision or backend here.
    """
    caffe = import_caffe()
    caffe.set_precision(precision)
    caffe.set_backend(backend)


def import_caffe() -> ModuleType:
    """Import ``caffe``: quiet, and kind to other programs.

    Raises
    ------
    OutOfMemoryError
        ``ulimit -v`` leaves so little that the engine's libraries would end the
        process while they are loaded.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    room = address_room()
    if "torch" not in sys.modules and room is not None and room < ENGINE_BYTES:
        raise OutOfMemoryError(
            f"out of memory: the limit of addresses (ulimit -v) leaves "
            f"{format_bytes(room)}; loading the engine takes "
            f"{format_bytes(ENGINE_BYTES)} and more"
        )
    import caffe

    return caffe

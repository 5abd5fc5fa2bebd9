"""What a layer is to the engine; `caffe.engine.catalogue` holds the types.

A layer only computes. It declares its arity and its parameters, answers which
shapes it makes, and turns bottoms into tops. Everything it sees of the world is a
`Context`; parameters and state belong to the net.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from caffe.engine.blob import Blob, BlobVec
from caffe.engine.onnx.graph import Value, no_counterpart
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.packing import Packing
from caffe.engine.spans import SpanRule, meet, mixes_positions
from caffe.engine.torch_code.code import FORMAT, Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

Shape = tuple[int, ...]
Blobs = Sequence[Blob]
Tensors = list[torch.Tensor]
Arity = tuple[int, int | None]
Array = NDArray[Any]


class Half(Enum):
    """What a layer does in precision bf16."""

    NEVER = "its bottoms are made float32"
    PASSES = "it hands on bfloat16 unharmed"
    COMPUTES = "it computes in the type of its bottoms, and is faster in bfloat16"


@dataclass(frozen=True)
class ParameterSpec:
    """Shape of a parameter blob, and the FillerParameter or tensor of its first values.

    `statistics`: the layer itself keeps it up to date; it has no learning rate.
    `held`: its learning rate is 0 whatever the net says.
    """

    shape: Shape
    filler: Any
    statistics: bool = False
    held: bool = False


@dataclass
class Context:
    """All that a layer may know of the world around it.

    Attributes
    ----------
    layer_name : str
    train : bool
        True in phase TRAIN.
    gpu : bool
        True when the net computes on a GPU (a few of Caffe's numbers differ there).
    device : torch.device
        Where tops are to be made.
    generator : torch.Generator
        Random numbers for `torch` calls, on `device`.
    rng : numpy.random.Generator
        Random numbers for work on the host (shuffling rows).
    state : dict
        Named state of the layer that outlives a forward: cursors, masks. Values are
        numbers, strings or numpy arrays, so that they can be saved and restored.
    log : callable
        ``log("hdf5_data_layer.cpp:82", "text")`` writes one of Caffe's INFO lines.
    shape_of : callable
        Shape of any blob of the net by its name.
    rank, ranks : int
        Number of this process among those that train together, and how many they are.
    packing : Packing
        Keeps what the layer derives from its parameters.
    captured : bool
        True while a forward is recorded to be replayed: nothing is read back from the
        device.
    recomputing : bool
        True while a forward is done again to show what was not kept of it: statistics
        and state stay, nothing is drawn.
    """

    layer_name: str
    train: bool
    gpu: bool
    device: torch.device
    generator: torch.Generator
    rng: np.random.Generator
    log: Callable[..., None]
    shape_of: Callable[[str], Shape]
    state: dict[str, Any] = field(default_factory=dict)
    packing: Packing = field(default_factory=Packing)
    rank: int = 0
    ranks: int = 1
    captured: bool = False
    recomputing: bool = False


class Operator(ABC):
    """Base of every layer type of the engine.

    (`caffe.Layer`, the base of a user's Python layers, is another class.)

    Attributes
    ----------
    type, dialect : str
        Caffe's type string, and the name of the dialect that brings the class (BVLC's
        own: ""); both are set by `register`.
    usual : bool
        Meant where several dialects have the type and nothing shows whose is; one of
        them may say so.
    bottoms, tops : (int, int or None)
        Least and greatest number of bottoms and tops; None: any number.
    equal_bottoms_tops : bool
        As many tops as bottoms.
    loss : bool
        The first top is a loss of weight 1 unless the net says otherwise.
    side_effects : bool
        A forward does more than fill its tops (logs, writes a file): it is never
        skipped and never run a second time for one forward of the net.
    source : bool
        The tops are new data, or random, at each forward; they are not recomputed.
    runs_on_blobs : bool
        Reads and writes blobs itself instead of mapping tensors: a `BlobOperator`.
    aliases_bottom : bool
        Every top is the memory of bottom 0 (Split, Reshape, Flatten; see `aliases`).
    adds_gradients : bool
        Tops that are the memory of bottom 0 have gradients of their own (Split).
    aliases_parameter : bool
        Top 0 is the memory of parameter 0 (Parameter).
    differentiable_bottoms : collection of int or None
        Bottoms that may receive a gradient; None: all.
    backward_needs_top : bool
        The gradient is computed from the value of a top, which therefore may not be
        overwritten by an in-place layer behind it.
    pointwise : bool
        Each pixel of the tops depends on that pixel of the bottoms alone; other layers
        have a `span_rule` of their own.
    half : Half
        What it does in precision bf16; options of the layer may decide.
    rectifies : bool
        Its `forward_rectified` is faster than a ReLU layer behind it.
    rectifier_slope : float or None
        The layer is a ReLU of this negative slope, which the layer before it may
        apply; None: it is no ReLU.
    capturable : bool
        A CUDA graph may hold its forward: it neither reads a value back nor keeps one
        on the host.
    label_bottom : int or None
        Bottom of labels that `look_ahead` checks before a CUDA graph is replayed.
    filled_by_user : bool
        The tops are the user's to fill: the layer has no forward (Input).
    remembers : bool
        The next forward depends on this one, beyond what a source has read.
    torch_names : tuple of str
        Names of the parameters in a module of torch; empty: they go by their numbers.
    probabilities : bool
        The tops are probabilities.
    shown : object or None
        What pycaffe shows in the layer's place (the user's own Python layer).
    """

    type: ClassVar[str]
    dialect: ClassVar[str] = ""
    usual: ClassVar[bool] = False
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    equal_bottoms_tops: ClassVar[bool] = False
    loss: ClassVar[bool] = False
    side_effects: ClassVar[bool] = False
    source: ClassVar[bool] = False
    runs_on_blobs: ClassVar[bool] = False
    aliases_bottom: bool = False
    adds_gradients: ClassVar[bool] = False
    aliases_parameter: ClassVar[bool] = False
    differentiable_bottoms: ClassVar[tuple[int, ...] | None] = None
    backward_needs_top: ClassVar[bool] = True
    pointwise: ClassVar[bool] = False
    half: Half = Half.NEVER
    rectifies: ClassVar[bool] = False
    rectifier_slope: float | None = None
    capturable: ClassVar[bool] = False
    label_bottom: ClassVar[int | None] = None
    filled_by_user: ClassVar[bool] = False
    remembers: bool = False
    torch_names: tuple[str, ...] = ()
    probabilities: ClassVar[bool] = False
    shown: Any = None

    def __init__(self, param: Any, context: Context) -> None:
        self.param = param
        self.aliases_bottom = self.aliases(param)
        self.setup(param, context)

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Tell whether a layer is of this class, where several dialects have its type.

        Parameters
        ----------
        param : LayerParameter
        blobs : int or None
            How many blobs the layer has in the weights that the net is built with;
            None: it is built without.

        Returns
        -------
        bool or None
            True: it has fields, or as many blobs, as only this class has; False: as
            this class has not; None: nothing shows.
        """
        return None

    @classmethod
    def aliases(cls, param: Any) -> bool:
        """Tell whether every top is the memory of bottom 0, where options decide."""
        return cls.aliases_bottom

    @classmethod
    def arity(cls, param: Any) -> tuple[Arity, Arity]:
        """Least and greatest numbers of bottoms and tops, where options decide."""
        return cls.bottoms, cls.tops

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Say how the tops come to have seen a tile, from what the bottoms have.

        Parameters
        ----------
        param : LayerParameter
        axis, ndim : int
            The axis in question, of blobs of `ndim` axes; 2 is the first spatial one.

        Returns
        -------
        callable
            From the spans of the bottoms that come from the tile, one or more, to that
            of every top; None where the layer does not fit bottoms of this size
            exactly.

        Raises
        ------
        CheckError
            The layer mixes all positions along this axis. So do all that are not
            `pointwise`, unless their class has a rule of its own.
        """
        if not cls.pointwise:
            raise mixes_positions()
        return meet

    def setup(self, param: Any, context: Context) -> None:  # noqa: B027
        """Read and check the options of a LayerParameter; touch no data."""

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Learnable blobs, in Caffe's order."""
        return []

    def first_tops(self, context: Context) -> dict[int, torch.Tensor]:
        """Values, by number, of tops that are filled once, when the net is built.

        From then on they belong to the user, like those of Input; what `forward`
        returns for them is not used.
        """
        return {}

    @abstractmethod
    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the tops. Called before every forward; refuses bad bottoms."""

    @abstractmethod
    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Tops from bottoms, differentiable by autograd; never writes into a bottom."""

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Top of a one-bottom layer, which may be written into the bottom's memory.

        Called where nobody needs the bottom any more.
        """
        return self.forward([bottom], params, context)[0]

    def forward_rectified(
        self, bottom: torch.Tensor, params: Tensors, context: Context, slope: float
    ) -> torch.Tensor:
        """Top of a one-bottom layer after a ReLU of this `negative_slope`."""
        (top,) = self.forward([bottom], params, context)
        return functional.leaky_relu(top, slope)

    def look_ahead(self, labels: torch.Tensor, scores: Shape) -> None:  # noqa: B027
        """Refuse labels for scores of this shape, before a forward that can't."""

    def set_arrays(self, data: Any, labels: Any) -> None:
        """Take the user's arrays as the rows of the next batches.

        Raises
        ------
        CheckError
            If the layer reads no arrays, or these do not fit it.
        """
        raise CheckError(
            "set_input_arrays may only be called if the first layer is a "
            f"MemoryDataLayer; it is {self.type}"
        )

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count the products with weights in one forward.

        Work on each value alone (activations, pooling, sums, scaling) does not count.
        """
        return 0

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Write the layer into a graph of ONNX, as it computes in phase TEST.

        Parameters
        ----------
        layer : OnnxLayer
            Its options, parameters and bottoms, and the graph.

        Returns
        -------
        list of Value
            Tensors of the graph that are the tops.

        Raises
        ------
        NoCounterpartError
            ONNX has no words for it, or for an option of it; so it is for layers that
            do not say more.
        """
        raise no_counterpart("its class does not say how to write it")

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write the layer as lines of a torch module, as it computes in phase TEST.

        Raises
        ------
        NoCounterpartError
            torch has no words for it, or for an option of it; so it is for layers that
            do not say more.
        """
        raise layer.refuse(FORMAT, "its class does not say how to write it")

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Say the layer in BVLC's words: LayerParameters, each with its blobs."""
        yield layer.message(), layer.blobs

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give the parameters in the form that torch's modules have."""
        return list(blobs)

    def from_torch_blobs(self, arrays: Sequence[Array]) -> list[Array]:
        """Give back what `to_torch_blobs` gave, but for shapes."""
        return list(arrays)

    def workspace(self, bottom_shapes: Sequence[Shape]) -> tuple[int, int]:
        """Bytes that a forward without gradients takes beside blobs.

        Returns
        -------
        lasting : int
            Of what is derived from the parameters and kept.
        passing : int
            Of what is given up at the end of the forward.
        """
        return 0, 0


class BlobOperator(Operator):
    """A layer that works on blobs, as the user's Python layers do.

    It gets the net's own blobs, sets the shapes of its tops itself, and has its own
    backward.

    Attributes
    ----------
    blobs : BlobVec
        Its parameters, made by `prepare`.
    """

    runs_on_blobs = True
    blobs: BlobVec

    @abstractmethod
    def prepare(self, bottoms: Blobs, tops: Blobs) -> None:
        """Do once what has to be done before the first `reshape`."""

    @abstractmethod
    def reshape(self, bottoms: Blobs, tops: Blobs) -> None:
        """Set the shapes of the tops. Called before every forward."""

    @abstractmethod
    def run_forward(self, bottoms: Blobs, tops: Blobs) -> None:
        """Fill the tops."""

    @abstractmethod
    def run_backward(
        self, tops: Blobs, propagate_down: Sequence[bool], bottoms: Blobs
    ) -> None:
        """Fill the diffs of the bottoms that want one; add to those of parameters."""

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Refuse: `reshape` needs the blobs."""
        raise CheckError("this layer runs on blobs")

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Refuse: `run_forward` needs the blobs."""
        raise CheckError("this layer runs on blobs")


def canonical_axis(axis: int, ndim: int) -> int:
    """Count a negative axis from the end.

    Raises
    ------
    CheckError
        If the axis is outside ``[-ndim, ndim)``.

    Examples
    --------
    >>> canonical_axis(-1, 4)
    3
    """
    if not -ndim <= axis < ndim:
        raise CheckError(f"axis {axis} is outside the {ndim} axes of the blob")
    return axis % ndim

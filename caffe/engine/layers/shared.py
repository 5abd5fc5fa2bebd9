"""Bases, arithmetic and checks that several families of layers need."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any, ClassVar

import torch
from torch.nn import functional

from caffe.engine.layer import Context, Operator, Shape
from caffe.errors import CheckError

_ENDS = (torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max)


def text(shape: Sequence[int]) -> str:
    """Write a shape as error texts and logs show it.

    Examples
    --------
    >>> text((2, 1, 572, 572))
    '(2,1,572,572)'
    """
    return "(" + ",".join(map(str, shape)) + ")"


def window_option(
    param: Any,
    option: str,
    axes: int,
    default: int | None = None,
    *,
    zero: bool = False,
) -> tuple[int, ...]:
    """Read ``kernel_size``, ``stride``, ``pad`` or ``dilation`` for every spatial axis.

    Parameters
    ----------
    param : ConvolutionParameter or PoolingParameter
    option : str
        Name of the repeated field; ``_h`` and ``_w`` fields beside it are read too.
    axes : int
        Number of spatial axes.
    default : int, optional
        Value if the option is not given; None: it must be given.
    zero : bool, default False
        Whether 0 is a value; for ``pad`` it always is.

    Returns
    -------
    tuple of int
        One value for each spatial axis.

    Raises
    ------
    CheckError
        If the option is missing, given twice, given for another number of axes, or
        zero where it can't be.
    """
    stem = option.removesuffix("_size")
    pair = (f"{stem}_h", f"{stem}_w")
    known = param.DESCRIPTOR.fields_by_name
    paired = any(name in known and param.HasField(name) for name in pair)
    values = list(getattr(param, option))
    if paired:
        _check_pair(option, pair, values, axes)
        values = [getattr(param, name) for name in pair]
    elif not values:
        if default is None and axes > 0:
            raise CheckError(f"no {option} is given: expected 1 or {axes} values")
        values = [] if default is None else [default]
    if len(values) not in {1, axes}:
        raise CheckError(
            f"{option} has {len(values)} values: expected 1 or {axes}, "
            f"as bottom 0 has {axes} spatial axes"
        )
    if not (zero or option == "pad") and 0 in values:
        raise CheckError(f"{option} is {text(values)}: every value must be above 0")
    return tuple(values) if len(values) == axes else tuple(values) * axes


def _check_pair(
    option: str, pair: tuple[str, str], values: list[int], axes: int
) -> None:
    if values:
        raise CheckError(f"{option} is given, and {pair[0]}/{pair[1]} too: give one")
    if axes != 2:
        raise CheckError(
            f"{pair[0]} and {pair[1]} are for 2 spatial axes, bottom 0 has {axes}: "
            f"give {option}"
        )


def legacy_axis(param: Any, legacy: str) -> int:
    """Axis of Concat or Slice: ``axis``, or the older unsigned field.

    Raises
    ------
    CheckError
        If both are given.
    """
    if not param.HasField(legacy):
        return int(param.axis)
    if param.HasField("axis"):
        raise CheckError(f"both axis and {legacy} are given: give axis only")
    return int(getattr(param, legacy))


def check_equal_shapes(bottom_shapes: Sequence[Shape]) -> None:
    """Refuse bottoms of different shapes.

    Raises
    ------
    CheckError
        Naming the first bottom that differs from bottom 0.
    """
    for i, shape in enumerate(bottom_shapes):
        if shape != bottom_shapes[0]:
            raise CheckError(
                f"bottom {i} is {text(shape)}, bottom 0 is {text(bottom_shapes[0])}: "
                "expected equal shapes"
            )


def check_per_pixel(
    bottom_shapes: Sequence[Shape], axis: int, names: Sequence[str]
) -> None:
    """Refuse labels or weights that have not one value for each pixel of bottom 0.

    Parameters
    ----------
    bottom_shapes : sequence of shapes
        Scores, then what has one value a pixel.
    axis : int
        Axis of the classes in the scores, not negative.
    names : sequence of str
        What bottoms 1, 2, ... hold, for the error text.

    Raises
    ------
    CheckError
        Naming both shapes.
    """
    scores = bottom_shapes[0]
    pixels = prod(scores[:axis]) * prod(scores[axis + 1 :])
    for i, (name, shape) in enumerate(zip(names, bottom_shapes[1:], strict=False), 1):
        if prod(shape) != pixels:
            raise CheckError(
                f"bottom {i} ({name}) is {text(shape)}, which is {prod(shape)} values: "
                f"expected {pixels}, one for each pixel of bottom 0 {text(scores)} "
                f"with classes along axis {axis}"
            )


def pixel_shape(scores: Sequence[int], axis: int) -> Shape:
    """Shape of one value a pixel that broadcasts against the scores.

    Examples
    --------
    >>> pixel_shape((2, 3, 9, 12), 1)
    (2, 1, 9, 12)
    """
    return (*scores[:axis], 1, *scores[axis + 1 :])


def drawing(context: Context) -> torch.Generator:
    """Random numbers of this forward; the same again while it is recomputed.

    The state of the generator lies in the state of the layer, as ``"draws"``.
    """
    if context.captured:
        return context.generator
    if not context.recomputing or "draws" not in context.state:
        context.state["draws"] = context.generator.get_state().numpy()
        return context.generator
    generator = torch.Generator(context.generator.device)
    generator.set_state(torch.from_numpy(context.state["draws"]))
    return generator


class LossLayer(Operator):
    """Scores and their labels in, one number out, of loss weight 1 by default."""

    bottoms = (2, 2)
    loss = True
    differentiable_bottoms: ClassVar[tuple[int, ...]] = (0,)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        first, second = bottom_shapes[:2]
        if not first or first[:1] != second[:1]:
            raise CheckError(
                f"bottom 0 is {text(first)}, bottom 1 {text(second)}: "
                "expected the same size of axis 0"
            )
        return [()]


class Normalizer:
    """Which outputs a loss_param leaves out, and what it divides their sum by.

    `default` is the mode where the message names none.
    """

    def __init__(self, options: Any, default: int) -> None:
        self._modes = options
        self._ignored = ignored_label(options)
        self._mode = default
        if options.HasField("normalization"):
            self._mode = options.normalization
        elif options.HasField("normalize"):
            self._mode = options.VALID if options.normalize else options.BATCH_SIZE
        self._fixed = max(1.0, float(options.pre_fixed_normalizer))

    def counted(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Mask of the labels that are not ignored; None: all count."""
        return None if self._ignored is None else labels != self._ignored

    def divisor(
        self, valid: torch.Tensor, shape: Sequence[int], axis: int = 1
    ) -> torch.Tensor:
        """Divisor for outputs of that shape; `valid`: how many count, as floats.

        The axes before `axis` are those of samples.
        """
        modes, outputs = self._modes, prod(shape)
        if self._mode == modes.VALID:
            # C++ Caffe passes the number as an int, where -1 stands for all
            valid = valid.trunc()
            return valid.where(valid != -1, outputs).clamp(min=1)
        if self._mode == modes.PRE_FIXED:
            return valid.new_full((), self._fixed)
        samples = prod(shape[:axis])
        counts = {modes.FULL: outputs, modes.BATCH_SIZE: samples, modes.NONE: 1}
        return valid.new_full((), max(1, counts[self._mode]))


def ignored_label(options: Any) -> int | None:
    """Label of the pixels that do not count; None: all count."""
    return int(options.ignore_label) if options.HasField("ignore_label") else None


def as_floats(scores: torch.Tensor) -> torch.Tensor:
    """Take the same numbers in float32 at least: halves could not hold a sum."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def as_labels(values: torch.Tensor) -> torch.Tensor:
    """Take labels as integers; NaN becomes one that is no class, on every device.

    A processor makes the least integer of it, a GPU would make class 0.
    """
    if values.is_floating_point():
        values = values.detach().nan_to_num(-inf, inf, -inf)
    return values.long()


def check_labels(labels: torch.Tensor, classes: int) -> None:
    """Refuse labels beyond the classes, which would end a GPU's context."""
    if labels.numel() == 0:
        return
    low, high = (int(v) for v in as_labels(labels).aminmax())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        shown = (
            "a label that is no finite number" if wrong in _ENDS else f"label {wrong}"
        )
        raise CheckError(
            f"bottom 1 holds {shown}: expected 0 to {classes - 1}, as bottom 0 has "
            f"{classes} classes, and ignore_label"
        )


def number_counted(
    x: torch.Tensor, shape: Sequence[int], counted: torch.Tensor | None
) -> torch.Tensor:
    """How many outputs of that shape count, in the type of the scores `x`."""
    if counted is None:
        return x.new_full((), prod(shape))  # unlike new_tensor, made on the device
    return counted.sum().to(x)


def cut(x: torch.Tensor, starts: Sequence[int], sizes: Sequence[int]) -> torch.Tensor:
    """View of a box; axes that are kept whole cost nothing."""
    if list(x.shape) == list(sizes):
        return x
    top: torch.Tensor = _Cut.apply(x, list(starts), list(sizes))
    return top


class _Cut(torch.autograd.Function):
    """The gradient keeps its channels last; that of torch's views does not."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, starts: list[int], sizes: list[int]
    ) -> torch.Tensor:
        rows = list(zip(starts, sizes, x.shape, strict=True))
        ctx.margins = [m for a, n, whole in rows[::-1] for m in (a, whole - a - n)]
        for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            x = x.narrow(axis, start, size)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return functional.pad(grads[0], ctx.margins), None, None


def with_gradients(
    value: torch.Tensor, *pairs: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Give a number the gradients that a layer defines, which are not its derivatives.

    Parameters
    ----------
    value : tensor of no axes
    *pairs : (tensor, tensor)
        What the number depends on, and its gradient.

    Examples
    --------
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> with_gradients(x.detach() ** 2, (x, torch.tensor(5.0))).backward()
    >>> x.grad
    tensor(5.)
    """
    sources, gradients = zip(*pairs, strict=True)
    top: torch.Tensor = _WithGradients.apply(value.detach(), gradients, *sources)
    return top


class _WithGradients(torch.autograd.Function):
    """The value itself, and the gradients that come with it."""

    @staticmethod
    def forward(
        ctx: Any,
        value: torch.Tensor,
        gradients: Sequence[torch.Tensor],
        *sources: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (None, None, *(grads[0] * gradient for gradient in ctx.saved_tensors))

"""3 x 3 kernels by Winograd's minimal filtering F(4 x 4, 3 x 3): a quarter of the work.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015), section 4.
With the matrices B, G and A of the points 0, 1, -1, 2, -2 and infinity, and `*` element
by element, 4 x 4 results Y of a 6 x 6 window d and a kernel g are

    Y = A' [(G g G') * (B' d B)] A

Summed over channels, the 36 elements in the middle are 36 matrix products, and each
change of coordinates is one more, with the Kronecker square of its matrix. It rounds
away 2 to 6 times what a plain sum does (2e-6 to 4e-6 of the result, for 512 channels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.kernels import onednn

_WINDOW, _STEP = 6, 4
_PLACES = _WINDOW**2
# Measured on two cores of Zen 5: with fewer channels, fewer windows (the changed
# weights are read once for each) or less to do, a plain convolution is faster.
_LEAST_CHANNELS = 128
_LEAST_WINDOWS = 48
_LEAST_WORK = 12e6  # windows times products of channels
# the same where the weights are changed anew each time
_LEAST_PRODUCT_ANEW = 256 * 256
_LEAST_WINDOWS_ANEW = 128
_MOST_SUMS = 2**23  # numbers of a gradient in Winograd's coordinates, at a time
_CHUNK = 512  # windows that are worked on at a time: what they need stays in the cache


def _square(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


_B = _square(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = _square(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_A = _square(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
_A_TRANSPOSED, _G_TRANSPOSED = _A.t().contiguous(), _G.t().contiguous()


def suits(
    shape: Sequence[int], weight_shape: Sequence[int], pad: Sequence[int]
) -> bool:
    """Whether a 3 x 3 float32 convolution of stride 1 is faster this way on a CPU.

    Parameters
    ----------
    shape : sequence of int
        Of the bottom, (N, C, Y, X).
    weight_shape : sequence of int
        (K, C, 3, 3).
    pad : sequence of int
        Zeros at both ends of Y and X.
    """
    outside, inside = weight_shape[:2]
    if min(outside, inside) < _LEAST_CHANNELS or outside == inside == _LEAST_CHANNELS:
        return False
    sizes = [n + 2 * p - 2 for n, p in zip(shape[2:], pad, strict=True)]
    if min(sizes) < 1 or not onednn.available():
        return False
    steps = [-(-size // _STEP) for size in sizes]
    windows = shape[0] * steps[0] * steps[1]
    used = sizes[0] * sizes[1] / (steps[0] * steps[1] * _STEP**2)
    enough = windows * outside * inside >= _LEAST_WORK and windows >= _LEAST_WINDOWS
    return enough and used >= 2 / 3 and max(pad) <= 2


def change_weights(weight: torch.Tensor) -> list[torch.Tensor]:
    """Give the kernels (K, C, 3, 3) in Winograd's coordinates: 36 packed matrices."""
    return [onednn.pack(m, _CHUNK) for m in _changed(weight, flip=False)]


def workspace(
    shape: Sequence[int], weight_shape: Sequence[int], pad: Sequence[int]
) -> tuple[int, int]:
    """Bytes of the changed weights, and of what one convolution takes for a moment."""
    outside, inside = weight_shape[:2]
    sizes = [n + 2 * p for n, p in zip(shape[2:], pad, strict=True)]
    windows = min(_CHUNK, -(-(sizes[0] - 2) // _STEP) * -(-(sizes[1] - 2) // _STEP))
    chunk = _PLACES * windows * 2 * (inside + outside)
    return 4 * _PLACES * outside * inside, 4 * chunk


def convolve(
    x: torch.Tensor,
    changed: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    *,
    channels: int,
    pad: Sequence[int],
    slope: float | None = None,
) -> torch.Tensor:
    """Filter (N, C, Y, X) with kernels from `change_weights`; no gradient.

    Parameters
    ----------
    channels : int
        Of the result.
    pad : sequence of int
    slope : float or None
        Of a rectifier below 0; None: no rectifier.
    """
    sizes = [n + 2 * p - 2 for n, p in zip(x.shape[2:], pad, strict=True)]
    y = torch.empty(len(x), channels, *sizes, memory_format=torch.channels_last)
    y_rows = y.permute(0, 2, 3, 1)
    for windows, place in _windows(x, sizes, pad):
        count, across = windows.shape[2:4]
        parts = onednn.product(_B, windows.reshape(_PLACES, -1).t())
        parts = parts.view(_PLACES, count * across, -1)
        sums = torch.empty(_PLACES, parts.shape[1], channels)
        for total, part, u in zip(sums, parts, changed, strict=True):
            total.copy_(onednn.product(part, u))
        tiles = onednn.product(_A, sums.view(_PLACES, -1).t())
        tiles = tiles.view(_STEP, _STEP, count, across, channels)
        rows = tiles.permute(2, 0, 3, 1, 4).reshape(
            _STEP * count, _STEP * across, channels
        )
        out = y_rows[place]
        found = rows[: out.shape[0], : out.shape[1]]
        if bias is None:
            out.copy_(found)
        else:
            torch.add(found, bias, out=out)
        if slope is not None:
            functional.leaky_relu_(out, slope) if slope else out.relu_()
    return y


def convolve_differentiably(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    pad: Sequence[int],
    slope: float | None = None,
) -> torch.Tensor:
    """Do the same from plain kernels (K, C, 3, 3), with gradients."""
    y: torch.Tensor = _Convolution.apply(x, weight, bias, tuple(pad), slope)
    return y


class _Convolution(torch.autograd.Function):
    """A function of its own, as autograd would keep the changed windows.

    Where changing the weights for one use takes longer than it saves, a plain
    convolution or its gradient stands in.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        pad: tuple[int, int],
        slope: float | None,
    ) -> torch.Tensor:
        changed = _for_one_use(_changed(weight, flip=False), x)
        y = convolve(x, changed, bias, channels=len(weight), pad=pad, slope=slope)
        ctx.save_for_backward(x, weight, y if slope is not None else None)
        ctx.pad, ctx.slope = pad, slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        x, weight, y = ctx.saved_tensors
        if ctx.slope is not None:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        dx = dweight = dbias = None
        if wants_x and not _pays_anew(grad, weight):
            dx = _plain_gradient(grad, x, weight, ctx.pad)
        elif wants_x:
            changed = [u.t() for u in _changed(weight, flip=True)]
            dx = convolve(
                grad,
                _for_one_use(changed, grad),
                None,
                channels=weight.shape[1],
                pad=[2 - p for p in ctx.pad],
            )
        if wants_weight:
            dweight = _weight_gradient(x, grad, ctx.pad)
        if wants_bias:
            dbias = grad.sum((0, 2, 3))
        return dx, dweight, dbias, None, None


def _pays_anew(x: torch.Tensor, weight: torch.Tensor) -> bool:
    windows = len(x) * x.shape[2] * x.shape[3] / _STEP**2
    channels = weight.shape[0] * weight.shape[1]
    return windows >= _LEAST_WINDOWS_ANEW and channels >= _LEAST_PRODUCT_ANEW


def _plain_gradient(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, pad: Sequence[int]
) -> torch.Tensor:
    dx, _, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], pad, [1, 1], False, [0, 0], 1,
        [True, False, False],
    )  # fmt: skip
    return dx  # type: ignore[no-any-return]


def _weight_gradient(
    x: torch.Tensor, grad: torch.Tensor, pad: Sequence[int]
) -> torch.Tensor:
    """Gradient of the kernels, G' [(A dY A') * (B' d B)] G summed over windows."""
    outside, inside = grad.shape[1], x.shape[1]
    dweight = torch.empty(outside, 3, 3, inside)
    block = max(1, _MOST_SUMS // (_PLACES * inside))
    for first in range(0, outside, block):
        part = grad[:, first : first + block]
        sums = _weight_sums(x, part, pad)
        found = onednn.product(_G_TRANSPOSED, sums.view(_PLACES, -1).t())
        found = found.view(3, 3, part.shape[1], inside)
        dweight[first : first + block] = found.permute(2, 0, 1, 3)
    return dweight.permute(0, 3, 1, 2)


def _weight_sums(
    x: torch.Tensor, grad: torch.Tensor, pad: Sequence[int]
) -> torch.Tensor:
    """Gradient of the kernels in Winograd's coordinates, (36, K, C)."""
    outside, inside = grad.shape[1], x.shape[1]
    sums = torch.empty(_PLACES, outside, inside)
    first = True
    grad_rows = grad.permute(0, 2, 3, 1)
    for windows, place in _windows(x, grad.shape[2:], pad):
        count, across = windows.shape[2:4]
        parts = onednn.product(_B, windows.reshape(_PLACES, -1).t())
        parts = parts.view(_PLACES, count * across, inside)
        tiles = grad_rows[place]
        missing = [
            n * _STEP - size
            for n, size in zip((count, across), tiles.shape[:2], strict=True)
        ]
        tiles = functional.pad(tiles, (0, 0, 0, missing[1], 0, missing[0]))
        tiles = tiles.view(count, _STEP, across, _STEP, outside)
        tiles = tiles.permute(1, 3, 0, 2, 4).reshape(_STEP**2, -1)
        errors = onednn.product(_A_TRANSPOSED, tiles.t())
        errors = errors.view(_PLACES, count * across, outside)
        for total, error, part in zip(sums, errors, parts, strict=True):
            found = onednn.product(error.t(), part.t())
            total.copy_(found) if first else total.add_(found)
        first = False
    return sums


def _windows(
    x: torch.Tensor, sizes: Sequence[int], pad: Sequence[int]
) -> Iterator[tuple[torch.Tensor, tuple[int | slice, ...]]]:
    """Windows of (N, C, Y, X), by the chunk, and the place of their results.

    Yields
    ------
    windows : torch.Tensor, shape (6, 6, rows, columns, C)
    place : tuple
        Index into the result (N, Y, X, K).
    """
    down, across = (-(-size // _STEP) for size in sizes)
    rows = max(1, _CHUNK // across)
    rows = -(-down // -(-down // rows))
    width = _STEP * across + 2
    for item, image in enumerate(x.permute(0, 2, 3, 1)):
        for first in range(0, down, rows):
            count = min(rows, down - first)
            begin = _STEP * first - pad[0]
            part = _padded(image, begin, _STEP * count + 2, -pad[1], width)
            windows = part.unfold(0, _WINDOW, _STEP).unfold(1, _WINDOW, _STEP)
            end = min(_STEP * (first + count), sizes[0])
            yield (
                windows.permute(3, 4, 0, 1, 2),
                (item, slice(_STEP * first, end)),
            )


def _padded(
    image: torch.Tensor, top: int, down: int, left: int, across: int
) -> torch.Tensor:
    """Cut a box out of (Y, X, C), zeros where it lies outside."""
    height, width = image.shape[:2]
    rows = slice(max(0, top), max(0, min(height, top + down)))
    columns = slice(max(0, left), min(width, left + across))
    above, before = max(0, -top), max(0, -left)
    part = image[rows, columns]
    below = down - above - part.shape[0]
    after = across - before - part.shape[1]
    return functional.pad(part, (0, 0, before, after, above, below))


def _changed(weight: torch.Tensor, *, flip: bool) -> torch.Tensor:
    """Kernels (K, C, 3, 3) in Winograd's coordinates, (36, K, C)."""
    weight = weight.detach()
    if flip:
        weight = weight.flip(2, 3)
    elif weight.is_contiguous():
        found = onednn.product(_G, weight.view(-1, 9))
        return found.view(_PLACES, *weight.shape[:2])
    elements = weight.permute(2, 3, 0, 1).reshape(9, -1)
    return onednn.product(_G, elements.t()).view(_PLACES, *weight.shape[:2])


def _for_one_use(
    matrices: Sequence[torch.Tensor] | torch.Tensor, x: torch.Tensor
) -> Sequence[torch.Tensor]:
    """Pack only what is used more than once: each product packs what is not."""
    windows = len(x) * x.shape[2] * x.shape[3] / _STEP**2
    if windows <= _CHUNK:
        return list(matrices)
    return [onednn.pack(m, _CHUNK) for m in matrices]

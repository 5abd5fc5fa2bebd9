"""Single layers on a few numbers: top, gradient, and both in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tests.support.layers import (
    Bottom,
    as_tensor,
    make_context,
    make_layer,
    run_layer,
)


def value(type_name: str, options: str, numbers: Any) -> Any:
    """Top, as lists, for a bottom that is given as lists of numbers."""
    (top,) = run_layer(type_name, options, [np.array(numbers)])
    return top.tolist()


def gradient_at(
    type_name: str, options: str, numbers: Any, params: Sequence[torch.Tensor] = ()
) -> Any:
    """Gradient, as lists, of the sum of the top at a bottom given as lists."""
    layer = make_layer(type_name, options)
    x = torch.tensor(numbers, requires_grad=True)
    layer.forward([x], list(params), make_context())[0].sum().backward()
    assert x.grad is not None
    return x.grad.tolist()


def check_in_place(
    type_name: str,
    options: str,
    bottom: Bottom,
    *,
    overwrites: bool,
    params: Sequence[torch.Tensor] = (),
    train: bool = False,
) -> None:
    """Same top and same gradients as into new memory, and overwritten or not.

    Gradients of the bottom and of those parameters that require one.
    """
    context = make_context(train=train)
    layer = make_layer(type_name, options, context=context)
    values = as_tensor(bottom)
    factors = as_tensor(tuple(values.shape), 5)
    results = []
    for in_place in (False, True):
        x = values.clone().requires_grad_()
        own = [p.detach().clone().requires_grad_(p.requires_grad) for p in params]
        given = x * 1
        if in_place:
            top = layer.forward_in_place(given, own, context)
            assert (top.data_ptr() == given.data_ptr()) == overwrites
        else:
            (top,) = layer.forward([given], own, context)
            assert top.data_ptr() != given.data_ptr()
        (top * factors).sum().backward()
        leaves = (x, *(p for p in own if p.requires_grad))
        results.append([top.detach(), *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(results[1], results[0])

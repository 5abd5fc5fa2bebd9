"""Layers that write what they get to files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from caffe import atomic
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.sources import images
from caffe.errors import CheckError


@register("MatWrite")
class MatWriteLayer(Operator):
    """Writes each bottom to a file of Matlab (DeepLab).

    Options (``mat_write_param``)
        prefix : str. Put before the names of files.
        source : str. Text file with a name a line, one for each forward; without it the
            names are ``iter_0``, ``iter_1``, ...
        strip : int, default 0. Characters at the end of each name to leave out.
        period : int, default 1. Forwards from file to file.

    Bottoms
        any number, of up to 4 axes (N, C, Y, X).

    Tops
        none.

    Bottom i of a forward goes to ``<prefix><name>_blob_<i>.mat``, as an array ``data``
    of (X, Y, C, N) in single precision. Of several processes the first one writes. No
    answer of a fork's is stored for it.
    """

    bottoms = (1, None)
    tops = (0, 0)
    side_effects = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Check the options; the list is read at the first forward."""
        options = param.mat_write_param
        for name, least in (("period", 1), ("strip", 0)):
            if getattr(options, name) < least:
                raise CheckError(
                    f"{name} is {getattr(options, name)}: expected {least} or more"
                )
        self._names: list[str] | None = None
        context.state["iteration"] = 0

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """No tops."""
        return []

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Write, unless nothing new is computed or another process does."""
        from scipy.io import savemat  # a third of a second, which only this shall cost

        if context.recomputing or context.rank > 0:
            return []
        options = self.param.mat_write_param
        iteration = int(context.state["iteration"])
        context.state["iteration"] = iteration + 1
        if iteration % options.period:
            return []
        stem = options.prefix + self._name(iteration)
        for number, bottom in enumerate(bottoms):
            values = bottom.detach().float().cpu().numpy()
            values = values.reshape(*[1] * (4 - values.ndim), *values.shape)
            file = io.BytesIO()
            savemat(file, {"data": values.T})
            atomic.write_bytes(f"{stem}_blob_{number}.mat", file.getvalue())
        return []

    def _name(self, iteration: int) -> str:
        options = self.param.mat_write_param
        if not options.source:
            return f"iter_{iteration}"
        if self._names is None:
            lines = images.read_pairs(options.source, single=True)
            self._names = [name for name, _ in lines]
        if iteration >= len(self._names):
            raise CheckError(
                f"{options.source}: has {len(self._names)} names: expected one for "
                f"forward {iteration}"
            )
        name = self._names[iteration]
        return name[: len(name) - options.strip]

"""The BN of CaffeMex_v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.dialects.pspnet.layers.normalization import BNLayer
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, ParameterSpec, Shape

_ONLY = {"var_eps", "decay", "moving_average", "sync_forward"}


@register("BN")
class MovingBNLayer(BNLayer):
    """Normalise each channel, then scale and shift it (CaffeMex_v2's BN).

    Options (``bn_param``)
        scale_filler, shift_filler : FillerParameter, default constant 0.
        decay : float, default 0.95. What a batch leaves of the statistics.
        var_eps : float, default 1e-10. Added to the variance.
        moving_average : bool, default true. Use the running statistics in TEST; false:
            those of the batch there, too.

    Bottoms, tops and blobs
        As PSPNet's BN, which is never frozen here.

    No answer of a fork's is stored for it.
    """

    usual = False

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the fields of ``bn_param``."""
        return any(field.name in _ONLY for field, _ in param.bn_param.ListFields())

    def setup(self, param: Any, context: Context) -> None:
        """Decide which statistics to use."""
        super().setup(param, context)
        options = param.bn_param
        self._stored = not context.train and options.moving_average
        self.remembers = context.train
        self._kept, self._eps = float(options.decay), float(options.var_eps)

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare scale, shift and statistics."""
        slope, bias, *running = super().parameters(bottom_shapes)
        options = self.param.bn_param
        return [
            ParameterSpec(slope.shape, options.scale_filler),
            ParameterSpec(bias.shape, options.shift_filler),
            *running,
        ]

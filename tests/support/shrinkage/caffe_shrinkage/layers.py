"""The layer types of the package."""

from caffe.engine.catalogue import register
from caffe.engine.layer import Operator, ParameterSpec
from caffe.errors import CheckError


@register("Shrinkage")
class ShrinkageLayer(Operator):
    """Shrink towards 0, by a threshold that is learnt for each channel."""

    def setup(self, param, context):
        options = param.shrinkage_param
        self.hard = options.mode == options.HARD
        self.filler = options.filler

    def parameters(self, bottom_shapes):
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 has {len(shape)} axes: expected 2 or more")
        return [ParameterSpec((shape[1],), self.filler)]

    def shapes(self, bottom_shapes):
        return list(bottom_shapes)

    def forward(self, bottoms, params, context):
        (x,), (threshold,) = bottoms, params
        threshold = threshold.view(-1, *[1] * (x.dim() - 2))
        if self.hard:
            return [x * (x.abs() > threshold)]
        return [x.sign() * (x.abs() - threshold).clamp(min=0)]

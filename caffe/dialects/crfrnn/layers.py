"""The layer type of CRF-RNN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from caffe.dialects.crfrnn.lattice import Lattice, gaussian
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, ParameterSpec, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError, FileError

_COLORS = 3
_TINY = 1e-20


@register("MultiStageMeanfield")
class MultiStageMeanfieldLayer(Operator):
    """Mean field of a dense conditional random field, some iterations (CRF-RNN).

    From ``q``, first bottom 1, each iteration makes
    ``unary - compatibility (spatial F(p) + bilateral G(p))``, where p is the softmax of
    q, F and G are Gaussian filters over places and over places and colours, divided by
    what they make of ones, and the three names stand for the blobs.

    Options (``multi_stage_meanfield_param``)
        num_iterations : int above 1.
        theta_gamma : float. Standard deviation of F, pixels.
        theta_alpha, theta_beta : float. Those of G, pixels and grey values.
        spatial_filter_weight, bilateral_filter_weight : float, default 0 and 10, or
            spatial_filter_weights_str and bilateral_filter_weights_str, a number for
            each class. First diagonals of the weights; where none is given, those of
            the files ``spatial.par`` and ``bilateral.par`` in the working folder, if
            there are such files.
        compatibility_mode, threshold, force_cpu : without effect.

    Bottoms
        0, 1 : (N, C, Y, X), unary potentials, and the first q, mostly the same blob.
        2 : (N, 3, Y, X), the image. No gradient.

    Tops
        0 : (N, C, Y, X), the last q.

    Blobs
        0, 1, 2 : (1, 1, C, C), spatial and bilateral weights, compatibility, which
            begins at -1 on its diagonal.

    The filters work on a permutohedral lattice, an approximation that is part of the
    layer. Potentials of detections and of higher order are refused.
    """

    bottoms = (3, 3)
    differentiable_bottoms = (0, 1)
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the options."""
        options = param.multi_stage_meanfield_param
        if options.num_iterations < 2:
            raise CheckError(
                f"num_iterations is {options.num_iterations}: expected a number above 1"
            )
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            if not getattr(options, name) > 0:
                raise CheckError(
                    f"{name} is {getattr(options, name):g}: expected a number above 0"
                )
        for name in ("detection_potentials_enabled", "ho_potentials_enabled"):
            if getattr(options, name):
                raise CheckError(f"{name} is true: such potentials are not known here")
        self._spatial: tuple[Shape, Lattice] | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the weights and the compatibility."""
        classes = bottom_shapes[0][1]
        options = self.param.multi_stage_meanfield_param
        diagonals = [
            _diagonal(options, "spatial", classes),
            _diagonal(options, "bilateral", classes),
            torch.full((classes,), -1.0),
        ]
        return [
            ParameterSpec((1, 1, classes, classes), values.diag())
            for values in diagonals
        ]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the potentials."""
        unary, first, image = bottom_shapes
        if len(unary) != 4 or first != unary:
            raise CheckError(
                f"bottom 0 is {text(unary)}, bottom 1 {text(first)}: expected the same "
                "4 axes (N, C, Y, X)"
            )
        if image != (unary[0], _COLORS, *unary[2:]):
            raise CheckError(
                f"bottom 2 (image) is {text(image)}: expected "
                f"{text((unary[0], _COLORS, *unary[2:]))}"
            )
        return [unary]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Iterate on each image."""
        return [
            torch.stack(
                [
                    self._meanfield(unary, first, image.detach(), params)
                    for unary, first, image in zip(*bottoms, strict=True)
                ]
            )
        ]

    def _meanfield(
        self,
        unary: torch.Tensor,
        first: torch.Tensor,
        image: torch.Tensor,
        params: Tensors,
    ) -> torch.Tensor:
        size = unary.shape[1:]
        spatial, bilateral, compatibility = (param[0, 0].t() for param in params)
        filters = [_normalised(lattice, unary) for lattice in self._lattices(image)]
        potentials, q = (values.flatten(1).t() for values in (unary, first))
        for _ in range(self.param.multi_stage_meanfield_param.num_iterations):
            p = q.softmax(1)
            near, alike = (gaussian(p, lattice) / norm for lattice, norm in filters)
            message = near @ spatial + alike @ bilateral
            q = potentials - message @ compatibility
        return q.t().reshape(-1, *size)

    def _lattices(self, image: torch.Tensor) -> tuple[Lattice, Lattice]:
        """Those of places, kept from image to image, and of places and colours."""
        options = self.param.multi_stage_meanfield_param
        shape = tuple(image.shape[1:])
        rows, columns = (
            torch.arange(n, dtype=torch.float32, device=image.device) for n in shape
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        places = torch.stack([x.flatten(), y.flatten()], 1)
        if self._spatial is None or self._spatial[0] != shape:
            self._spatial = shape, Lattice(places / options.theta_gamma)
        colours = image.float().flatten(1).t() / options.theta_beta
        features = torch.cat([places / options.theta_alpha, colours], 1)
        return self._spatial[1], Lattice(features)


def _normalised(lattice: Lattice, like: torch.Tensor) -> tuple[Lattice, torch.Tensor]:
    """Give a lattice and what it makes of ones."""
    ones = like.new_ones(like[0].numel(), 1)
    return lattice, lattice.filter(ones) + _TINY


def _diagonal(options: Any, kind: str, classes: int) -> torch.Tensor:
    """First weights of the classes."""
    file = Path(f"{kind}.par")
    words = getattr(options, f"{kind}_filter_weights_str")
    where = f"{kind}_filter_weights_str"
    if not words:
        if options.HasField(f"{kind}_filter_weight") or not file.is_file():
            weight = getattr(options, f"{kind}_filter_weight")
            return torch.full((classes,), float(weight))
        words, where = file.read_text(errors="replace"), str(file)
    try:
        values = [float(word) for word in words.replace(",", " ").split()]
    except ValueError as error:
        raise FileError(f"{where}: expected numbers: {error}") from None
    if len(values) < classes:
        raise FileError(
            f"{where}: has {len(values)} numbers: expected {classes}, one a class"
        )
    return torch.tensor(values[:classes])

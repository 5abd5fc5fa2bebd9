"""Boxes (left, top, right, bottom), in parts of an image, as offsets from priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Code:
    """How a box is told by offsets from a prior box.

    Attributes
    ----------
    options : DetectionOutputParameter or MultiBoxLossParameter
        ``code_type``: CORNER, offsets of the corners; CENTER_SIZE, of the centre in
        sizes of the prior, and logarithms of the ratios of sizes; CORNER_SIZE, of the
        corners in sizes of the prior.
    plain : bool
        Offsets are not divided by the prior's variances.
    """

    options: Any
    plain: bool

    @property
    def name(self) -> str:
        """Name of the code type."""
        field = self.options.DESCRIPTOR.fields_by_name["code_type"]
        return str(field.enum_type.values_by_number[self.options.code_type].name)

    def decode(
        self, offsets: torch.Tensor, priors: torch.Tensor, variances: torch.Tensor
    ) -> torch.Tensor:
        """Boxes from offsets, priors and variances of one shape (..., 4)."""
        if not self.plain:
            offsets = offsets * variances
        if self.name == "CORNER":
            return priors + offsets
        sizes = priors[..., 2:] - priors[..., :2]
        if self.name == "CORNER_SIZE":
            return priors + offsets * torch.cat([sizes, sizes], -1)
        centres = (priors[..., :2] + priors[..., 2:]) / 2 + offsets[..., :2] * sizes
        half = offsets[..., 2:].exp() * sizes / 2
        return torch.cat([centres - half, centres + half], -1)

    def encode(
        self, boxes: torch.Tensor, priors: torch.Tensor, variances: torch.Tensor
    ) -> torch.Tensor:
        """Offsets from boxes, priors and variances of one shape (..., 4)."""
        sizes = priors[..., 2:] - priors[..., :2]
        offsets = boxes - priors
        if self.name == "CORNER_SIZE":
            offsets = offsets / torch.cat([sizes, sizes], -1)
        elif self.name == "CENTER_SIZE":
            centres = (offsets[..., :2] + offsets[..., 2:]) / 2 / sizes
            ratios = (boxes[..., 2:] - boxes[..., :2]) / sizes
            offsets = torch.cat([centres, ratios.log()], -1)
        return offsets if self.plain else offsets / variances

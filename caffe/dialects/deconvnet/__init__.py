"""What DeconvNet added to segment images, and a third BN, of CaffeMex_v2.

DeconvNet's binary files have layers of the old form, in which its types have numbers
that nobody else's have; a BN there is SegNet's, by numbers that are PSPNet's here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe.dialects import Dialect


class _DeconvNet(Dialect):
    def may_have_written(self, layer: Any) -> bool:
        return layer.type in (
            getattr(layer, "UNPOOLING", None),
            getattr(layer, "BN", None),
        )

    def has_written(self, layer: Any, own: Any) -> bool:
        return self.may_have_written(layer)


dialect = _DeconvNet(
    name="deconvnet",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.deconvnet.layers",
    offset=6000,
)

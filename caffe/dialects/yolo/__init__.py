"""What ports of YOLO brought: Reorg, its losses, and what turns blobs into boxes.

YOLO 1 is yeahkun's, 2 is gklz1982's, intel's and eric612's, 3 is eric612's
(MobileNet-YOLO), with whose numbers the fields stand.
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="yolo",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.yolo.layers",
    offset=8000,
)

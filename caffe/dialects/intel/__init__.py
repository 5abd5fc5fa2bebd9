"""What intel/caffe added to steer its engines and its nodes; it changes no numbers."""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="intel", fields=Path(__file__).with_name("fields.proto"), offset=14000
)

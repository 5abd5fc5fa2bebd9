"""What nets for edges brought: a loss in which both classes weigh the same.

OSVOS (kmaninis) has it from HED.
"""

from __future__ import annotations

from caffe.dialects import Dialect

dialect = Dialect(name="edges", layers="caffe.dialects.edges.layers", offset=17000)

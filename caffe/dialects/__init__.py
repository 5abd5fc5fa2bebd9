"""What forks of Caffe added to BVLC's, a folder each; packages of others add theirs.

A dialect is a module with a `Dialect` that says which fields and which layers it
brings. Those of other packages are found by the entry point group ``caffe.dialects``.
"""

from caffe.proto.dialects import Dialect as Dialect

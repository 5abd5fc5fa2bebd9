"""The two ways to run a net: layer by layer on blobs, and as one graph."""

from caffe.engine.executors.fused import Fused
from caffe.engine.executors.graphed import Graphed
from caffe.engine.executors.inspecting import Hooks, Inspecting

__all__ = ["Fused", "Graphed", "Hooks", "Inspecting"]

"""How each layer type is said in torch: one table, one file a family."""

from caffe.export.templates import learned, neurons, reductions, shapes, windows
from caffe.export.templates.code import Template

TEMPLATES: dict[str, Template] = {
    **learned.TEMPLATES,
    **neurons.TEMPLATES,
    **reductions.TEMPLATES,
    **shapes.TEMPLATES,
    **windows.TEMPLATES,
}

__all__ = ["TEMPLATES"]

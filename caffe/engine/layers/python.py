"""The layer whose forward and backward are a Python class of the user."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from importlib import import_module
from typing import Any

from caffe.engine.blob import BlobVec
from caffe.engine.catalogue import register
from caffe.engine.layer import BlobOperator, Blobs, Context
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


class _Phase(IntEnum):
    """A number, as in BVLC's pycaffe, that is shown by its name, as in R-CNN's."""

    TRAIN = caffe_pb2.TRAIN
    TEST = caffe_pb2.TEST

    def __str__(self) -> str:
        return self.name


class Layer:
    """Base of Python layers: pycaffe's ``caffe.Layer``.

    A subclass has `setup`, `reshape`, `forward` and `backward`; in each, `bottom` and
    `top` are sequences of blobs with `data`, `diff` and `reshape`.

    Attributes
    ----------
    param_str : str
        ``python_param.param_str`` of the prototxt; `param_str_` is its older name.
    phase : int
        ``caffe.TRAIN`` or ``caffe.TEST``; ``str`` gives the name, by which layers of
        Faster R-CNN look up their settings.
    blobs : BlobVec
        Parameters; made in `setup` by ``self.blobs.add_blob(*shape)``.

    Examples
    --------
    >>> class Twice(Layer):
    ...     def reshape(self, bottom, top):
    ...         top[0].reshape(*bottom[0].shape)
    ...     def forward(self, bottom, top):
    ...         top[0].data[...] = 2 * bottom[0].data
    ...     def backward(self, top, propagate_down, bottom):
    ...         bottom[0].diff[...] = 2 * top[0].diff
    >>> from caffe.engine.blob import Blob
    >>> bottom, top = [Blob((2,))], [Blob()]
    >>> bottom[0].data[...] = [1, 2]
    >>> layer = Twice()
    >>> layer.reshape(bottom, top)
    >>> layer.forward(bottom, top)
    >>> top[0].data.tolist()
    [2.0, 4.0]
    """

    param_str: str = ""
    phase: int = 0
    type = "Python"

    def __init__(self, layer_param: Any = None) -> None:
        self.layer_param = layer_param
        self.blobs = BlobVec()

    @property
    def param_str_(self) -> str:
        """The older name of `param_str`."""
        return self.param_str

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read `param_str`, check the bottoms, make parameters."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Fill the tops.

        Raises
        ------
        NotImplementedError
            If the subclass has no forward.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(
        self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs
    ) -> None:
        """Fill the diffs of the bottoms.

        Raises
        ------
        NotImplementedError
            If the subclass has no backward.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")


@register("Python")
class PythonLayer(BlobOperator):
    """A layer written by the user, as a subclass of `caffe.Layer`.

    Options (``python_param``)
        module : str. Importable, so on PYTHONPATH.
        layer : str. Name of the class.
        param_str : str, default "". Passed on as the attribute of that name.
        share_in_parallel : accepted; without effect, as each process has its own.

    What the user's class raises reaches the caller unchanged.
    """

    bottoms = (0, None)
    tops = (0, None)
    pointwise = True  # nothing says what the user's code does

    def setup(self, param: Any, context: Context) -> None:
        """Import the class and make the layer."""
        options = param.python_param
        if options.module.startswith("."):
            raise CheckError(
                f"python_param.module is '{options.module}': a name that begins with "
                "no dot is expected"
            )
        try:
            module = import_module(options.module)
        except ModuleNotFoundError as error:
            if error.name is None or not options.module.startswith(error.name):
                raise
            raise CheckError(
                f"module '{options.module}' is not found: "
                "expected a module in a folder of PYTHONPATH"
            ) from None
        except ValueError:
            raise CheckError(
                f"python_param.module is '{options.module}': "
                "expected the name of a module"
            ) from None
        cls = getattr(module, options.layer, None)
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise CheckError(
                f"module '{options.module}' has no subclass of caffe.Layer called "
                f"'{options.layer}'"
            )
        self.layer = self.shown = cls(param)
        self.layer.param_str = options.param_str
        self.layer.phase = _Phase(param.phase)

    def prepare(self, bottoms: Blobs, tops: Blobs) -> None:
        """Run the user's setup; it makes the parameters."""
        self.layer.setup(bottoms, tops)
        self.blobs = self.layer.blobs

    def reshape(self, bottoms: Blobs, tops: Blobs) -> None:
        """Run the user's reshape."""
        self.layer.reshape(bottoms, tops)

    def run_forward(self, bottoms: Blobs, tops: Blobs) -> None:
        """Run the user's forward."""
        self.layer.forward(bottoms, tops)

    def run_backward(
        self, tops: Blobs, propagate_down: Sequence[bool], bottoms: Blobs
    ) -> None:
        """Run the user's backward."""
        self.layer.backward(tops, list(propagate_down), bottoms)

"""A module ``caffe`` with little but the public names of BVLC's pycaffe.

Of ours it has what says which layers get no weights. Behind it runs the real package.
What pycaffe does not have (``activation_bytes``, ``crop=``, ``caffe.engine``) is not
there, and ``PoolingParameter`` has BVLC's single ``kernel_size``, ``stride`` and
``pad``.
"""

from __future__ import annotations

from collections import OrderedDict
from types import ModuleType

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MODULE_NAMES = (
    "TRAIN", "TEST", "set_mode_cpu", "set_mode_gpu", "set_device", "set_random_seed",
    "layer_type_list", "get_solver", "SGDSolver", "AdamSolver",
)  # fmt: skip
BLOB_NAMES = ("data", "diff", "shape", "num", "channels", "height", "width", "count")
NET_NAMES = ("inputs", "outputs", "_layer_names", "reshape", "save", "copy_from")
OUR_NET_NAMES = ("check_weights", "missing_weights")


class Blob:
    def __init__(self, blob):
        self._blob = blob

    def __getattr__(self, name):
        if name not in BLOB_NAMES:
            raise AttributeError(f"pycaffe's Blob has no '{name}'")
        return getattr(self._blob, name)

    def reshape(self, *shape):
        self._blob.reshape(*shape)


def facade(caffe):
    """Give modules for ``sys.modules``: ``caffe`` and ``caffe.proto``."""

    class Net:
        def __init__(self, network, weights, phase, *, complete=False):
            self._net = caffe.Net(network, weights, phase, complete=complete)

        def __getattr__(self, name):
            if name not in NET_NAMES + OUR_NET_NAMES:
                raise AttributeError(f"pycaffe's Net has no '{name}'")
            return getattr(self._net, name)

        @property
        def blobs(self):
            return OrderedDict((n, Blob(b)) for n, b in self._net.blobs.items())

        @property
        def params(self):
            return OrderedDict(
                (n, [Blob(b) for b in blobs]) for n, blobs in self._net.params.items()
            )

        def forward(self):
            return self._net.forward()

    module = ModuleType("caffe")
    module.__file__ = "/somewhere/python/caffe/__init__.py"
    for name in MODULE_NAMES:
        setattr(module, name, getattr(caffe, name, None))
    module.Net = Net
    proto = ModuleType("caffe.proto")
    proto.caffe_pb2 = _bvlc_schema(caffe.proto.caffe_pb2)
    module.proto = proto
    return {
        "caffe": module,
        "caffe.proto": proto,
        "caffe.proto.caffe_pb2": proto.caffe_pb2,
    }


def _bvlc_schema(ours):
    """Build the messages again, with single numbers in PoolingParameter."""
    file = descriptor_pb2.FileDescriptorProto()
    ours.NetParameter.DESCRIPTOR.file.CopyToProto(file)
    (pooling,) = [m for m in file.message_type if m.name == "PoolingParameter"]
    for field in pooling.field:
        if field.name in ("pad", "kernel_size", "stride"):
            field.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            field.options.Clear()
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    module = ModuleType("caffe.proto.caffe_pb2")
    name = ours.NetParameter.DESCRIPTOR.full_name
    module.NetParameter = message_factory.GetMessageClass(
        pool.FindMessageTypeByName(name)
    )
    return module

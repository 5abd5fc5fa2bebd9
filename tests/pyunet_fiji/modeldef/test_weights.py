"""The shapes of stored weights."""

import h5py
import pytest

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet_fiji.modeldef.weights import stored_shapes
from tests.support import modeldefs


@pytest.mark.parametrize("kind", ["caffemodel.h5", "caffemodel"])
def test_shapes_are_read_from_both_formats(tmp_path, kind):
    model = modeldefs.definition(levels=1)
    net = modeldefs.build_net(model, tmp_path / "net.prototxt")
    path = tmp_path / f"w.{kind}"
    if kind.endswith(".h5"):
        net.save_hdf5(str(path))
    else:
        net.save(str(path))
    found = stored_shapes(path)
    assert found["conv_d0a-b"] == [(4, 1, 3, 3), (4,)]
    assert found["conv_u0d-score"] == [(2, 4, 1, 1), (2,)]


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        stored_shapes(tmp_path / "none.h5")
    (tmp_path / "text.caffemodel").write_text("hello")
    with pytest.raises(DataError, match="neither HDF5 nor a binary net"):
        stored_shapes(tmp_path / "text.caffemodel")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="no group /data"):
        stored_shapes(tmp_path / "other.h5")


def test_binary_weights_of_the_old_syntax_have_shapes(tmp_path):
    message = caffe_pb2.NetParameter()
    layer = message.layers.add(name="old")
    layer.blobs.add().shape.dim.extend([2, 3])
    (tmp_path / "old.caffemodel").write_bytes(message.SerializeToString())
    assert stored_shapes(tmp_path / "old.caffemodel") == {"old": [(2, 3)]}

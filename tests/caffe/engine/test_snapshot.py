"""Weights in files."""

import errno
import os

import h5py
import numpy as np
import pytest

import caffe
from caffe.engine import snapshot
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2, files
from tests.support.files import names, tree
from tests.support.snapshots import NET, SHARED
from tests.support.solvers import REFERENCE, case_folder


@pytest.fixture
def build(tmp_path):
    def make(text=NET):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TEST)

    return make


@pytest.fixture
def weights(tmp_path):
    """Write an HDF5 weight file of arrays by ``layer/index``."""

    def write(**arrays):
        path = tmp_path / "weights.caffemodel.h5"
        with h5py.File(path, "w") as file:
            file.create_group("data")
            for name, values in arrays.items():
                layer, index = name.rsplit("_", 1)
                file.create_dataset(f"data/{layer}/{index}", data=values)
        return str(path)

    return write


def kernels(out=3, channels=2, size=3):
    shape = (out, channels, size, size)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


class TestFilesOfTheOriginal:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(case_folder("adam", tmp_path))

    @pytest.mark.reference
    def test_hdf5_weights_are_written_as_the_original_writes_them(self):
        net = caffe.Net("net.prototxt", caffe.TRAIN, weights="snap_iter_10.caffemodel")
        net.save_hdf5("again.caffemodel.h5")
        assert tree("again.caffemodel.h5") == tree("snap_iter_10.caffemodel.h5")

    @pytest.mark.reference
    def test_binary_weights_are_written_as_the_original_writes_them(self):
        net = caffe.Net(
            "net.prototxt", caffe.TRAIN, weights="snap_iter_10.caffemodel.h5"
        )
        net.save("again.caffemodel")
        found, wanted = (
            files.read_net_binary(path)
            for path in ("again.caffemodel", "snap_iter_10.caffemodel")
        )
        assert [layer.name for layer in found.layer] == [
            layer.name for layer in wanted.layer
        ]
        for mine, theirs in zip(found.layer, wanted.layer, strict=True):
            assert mine == theirs, mine.name
        assert found == wanted


class TestHDF5:
    def test_what_was_written_loads_again(self, build, tmp_path):
        net = build()
        net.params["conv"][0].data[...] = kernels()
        net.save_hdf5(tmp_path / "w.caffemodel.h5")
        other = build()
        other.copy_from(str(tmp_path / "w.caffemodel.h5"))
        assert np.array_equal(other.params["conv"][0].data, kernels())

    def test_the_content_says_that_it_is_hdf5_not_the_name(self, build, tmp_path):
        net = build()
        net.params["conv"][0].data[...] = kernels()
        net.save_hdf5(tmp_path / "w.caffemodel")
        other = build()
        other.copy_from(str(tmp_path / "w.caffemodel"))
        assert np.array_equal(other.params["conv"][0].data, kernels())

    def test_layers_that_the_net_lacks_are_ignored_aloud(self, build, weights, capsys):
        build().copy_from(weights(gone_0=np.zeros(2)))
        assert "] Ignoring source layer gone\n" in capsys.readouterr().err

    def test_a_name_with_a_slash_survives(self, build, tmp_path):
        text = NET.replace('"conv"', '"block/conv"')
        net = build(text)
        net.params["block/conv"][0].data[...] = kernels()
        net.save_hdf5(tmp_path / "w.h5")
        other = build(text)
        other.load_hdf5(tmp_path / "w.h5")
        assert np.array_equal(other.params["block/conv"][0].data, kernels())

    def test_kernels_of_other_channels_keep_the_filler_with_a_warning(
        self, build, weights, capsys
    ):
        net = build()
        net.copy_from(weights(conv_0=kernels(channels=1), conv_1=np.ones(3)))
        assert (net.params["conv"][0].data == 7).all()
        assert (net.params["conv"][1].data == 1).all()
        (line,) = [ln for ln in capsys.readouterr().err.splitlines() if ln[0] == "W"]
        assert "layer 'conv', param 0 has shape 3 1 3 3 (27)" in line
        assert "the net wants 3 2 3 3 (54): it keeps the values of its filler" in line

    @pytest.mark.parametrize(("length", "wanted"), [(2, [1, 2, 5]), (4, [1, 2, 3])])
    def test_the_first_numbers_of_a_bias_of_other_length_are_copied(
        self, build, weights, length, wanted
    ):
        net = build()
        bias = np.arange(1, length + 1, dtype=np.float32)
        net.copy_from(weights(conv_0=kernels(), conv_1=bias))
        assert net.params["conv"][1].data.tolist() == wanted

    def test_of_a_matrix_as_many_numbers_as_rows_are_copied(self, build, weights):
        net = build()
        matrix = np.arange(12, dtype=np.float32).reshape(6, 2)
        net.copy_from(weights(ip_0=matrix, ip_1=np.zeros(4)))
        flat = net.params["ip"][0].data.ravel()
        assert flat[:4].tolist() == [0, 1, 2, 3]
        assert (flat[4:] == 2).all()

    @pytest.mark.parametrize("shape", [(3, 2, 9), (3, 2, 2, 2)])
    def test_other_axes_or_kernels_are_refused_and_nothing_changes(
        self, build, weights, shape
    ):
        net = build()
        path = weights(conv_0=np.zeros(shape), conv_1=np.zeros(3))
        with pytest.raises(
            CheckError,
            match=r"weights\.caffemodel\.h5: Cannot copy "
            r"param 0 weights from layer 'conv'; shape mismatch",
        ):
            net.copy_from(path)
        assert (net.params["conv"][1].data == 5).all()

    def test_a_missing_dataset_is_refused(self, build, weights):
        with pytest.raises(
            CheckError,
            match="Incompatible number of blobs for layer "
            "conv: the file has 1, the net has 2",
        ):
            build().copy_from(weights(conv_0=kernels()))

    def test_a_dataset_too_many_is_refused(self, build, weights):
        path = weights(conv_0=kernels(), conv_1=np.zeros(3), conv_2=np.zeros(1))
        with pytest.raises(CheckError, match="the file has 3, the net has 2"):
            build().copy_from(path)

    def test_integers_and_doubles_are_taken(self, build, weights):
        net = build()
        net.copy_from(weights(conv_0=kernels().astype("i4"), conv_1=np.ones(3, "f8")))
        assert np.array_equal(net.params["conv"][0].data, kernels())

    def test_a_shared_parameter_is_written_once_and_loads(self, build, tmp_path):
        net = build(SHARED)
        net.params["a"][0].data[...] = 9
        net.save_hdf5(tmp_path / "w.h5")
        assert set(tree(tmp_path / "w.h5")) == {
            "data",
            "data/data",
            "data/a",
            "data/a/0",
            "data/b",
        }
        other = build(SHARED)
        other.load_hdf5(tmp_path / "w.h5")
        assert (other.params["b"][0].data == 9).all()

    def test_gradients_go_into_a_group_of_their_own(self, build, tmp_path):
        net = build()
        net.params["conv"][1].diff[...] = 4
        path = tmp_path / "w.h5"
        snapshot.write_weights(net, path, hdf5_format=True, write_diff=True)
        with h5py.File(path) as file:
            assert file["diff/conv/1"][()].tolist() == [4, 4, 4]


class TestBinary:
    def save(self, net, path):
        net.save(path)
        return caffe_pb2.NetParameter.FromString(path.read_bytes())

    def test_another_shape_is_refused_as_in_caffe(self, build, tmp_path):
        build().save(tmp_path / "w.caffemodel")
        net = build(NET.replace("num_output: 3", "num_output: 6"))
        with pytest.raises(CheckError) as refused:
            net.copy_from(tmp_path / "w.caffemodel")
        assert (
            "w.caffemodel: Cannot copy param 0 weights from layer 'conv'; shape "
            "mismatch.  Source param shape is 3 2 3 3 (54); target param shape is "
            "6 2 3 3 (108). To learn this layer's parameters from scratch rather than "
            "copying from a saved net, rename the layer." in str(refused.value)
        )
        assert (net.params["conv"][0].data == 7).all()

    def test_old_four_axis_shapes_fit_by_their_last_axes(self, build, tmp_path):
        message = self.save(build(), tmp_path / "w.caffemodel")
        bias = message.layer[1].blobs[1]
        bias.ClearField("shape")
        bias.num = bias.channels = bias.height = 1
        bias.width = 3
        bias.data[:] = [1, 2, 3]
        (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
        net = build()
        net.copy_from(tmp_path / "w.caffemodel")
        assert net.params["conv"][1].data.tolist() == [1, 2, 3]

    def test_a_number_of_blobs_that_differs_is_refused(self, build, tmp_path):
        message = self.save(build(), tmp_path / "w.caffemodel")
        del message.layer[1].blobs[1]
        (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
        with pytest.raises(CheckError, match="Incompatible number of blobs for layer"):
            build().copy_from(tmp_path / "w.caffemodel")

    def test_a_blob_with_too_few_numbers_is_refused(self, build, tmp_path):
        message = self.save(build(), tmp_path / "w.caffemodel")
        del message.layer[1].blobs[0].data[5:]
        (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
        with pytest.raises(
            FileError,
            match=r"w\.caffemodel: layer 'conv', param 0: .*"
            "needs 54 values, it has 5",
        ):
            build().copy_from(tmp_path / "w.caffemodel")


class TestDamage:
    @pytest.mark.parametrize("share", [0.3, 0.9])
    @pytest.mark.parametrize("ending", ["", ".h5"])
    def test_a_truncated_file_is_named(self, build, tmp_path, ending, share):
        path = tmp_path / f"w.caffemodel{ending}"
        raw = (REFERENCE / f"solvers/adam/snap_iter_10.caffemodel{ending}").read_bytes()
        path.write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(
            FileError, match=r"w\.caffemodel.*: .*(truncated|cut short)"
        ):
            build().copy_from(path)

    @pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
    def test_a_missing_file_is_named(self, build, tmp_path, name):
        with pytest.raises(FileError, match=name):
            build().copy_from(tmp_path / name)

    def test_hdf5_without_weights_says_what_is_in_it(self, build, tmp_path):
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file["label"] = 1
        with pytest.raises(FileError, match="has no group 'data', only label"):
            build().copy_from(tmp_path / "w.h5")

    def test_text_in_place_of_numbers_is_refused(self, build, weights):
        path = weights(conv_0=np.array([b"x"]), conv_1=np.zeros(3))
        with pytest.raises(FileError, match=r"/data/conv/0 holds values of type \|S1"):
            build().copy_from(path)

    @pytest.mark.parametrize("ending", ["", ".h5"])
    def test_a_full_disk_leaves_the_old_file_as_it_was(
        self, build, tmp_path, monkeypatch, ending
    ):
        def refuse(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        net, path = build(), tmp_path / f"w.caffemodel{ending}"
        save = net.save_hdf5 if ending else net.save
        save(path)
        before = path.read_bytes()
        net.params["conv"][0].data[...] = 1
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(FileError, match=r"w\.caffemodel.*No space left on device"):
            save(path)
        assert path.read_bytes() == before
        assert names(tmp_path) == ["net.prototxt", path.name]

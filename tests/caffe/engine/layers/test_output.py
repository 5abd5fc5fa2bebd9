import h5py
import numpy as np
import pytest
import torch

from caffe.errors import CheckError, FileError
from tests.support.layers import as_tensor, forward, make_context, make_layer


class TestHDF5Output:
    def layer(self, options, bottoms=2, context=None):
        return make_layer(
            "HDF5Output",
            f"hdf5_output_param {{ {options} }}",
            bottoms=bottoms,
            tops=0,
            context=context,
        )

    def run(self, options, times=1, shapes=((2, 1, 3), (2,)), context=None):
        """What each forward wrote, as drawn."""
        context = context or make_context()
        layer = self.layer(options, len(shapes), context)
        written = []
        for i in range(times):
            blobs = [as_tensor(shape, 10 * i + j) for j, shape in enumerate(shapes)]
            assert forward(layer, blobs, context) == []
            written.append([blob.numpy() for blob in blobs])
        return written

    def read(self, path):
        with h5py.File(path) as file:
            return {name: (file[name].dtype, file[name][()]) for name in file}

    def test_two_bottoms_are_data_and_label(self, tmp_path):
        path = tmp_path / "out.h5"
        ((data, label),) = self.run(f'file_name: "{path}"')
        content = self.read(path)
        assert sorted(content) == ["data", "label"]
        for name, want in (("data", data), ("label", label)):
            assert content[name][0] == np.float32
            np.testing.assert_array_equal(content[name][1], want)

    def test_shapes_and_arity(self, tmp_path):
        layer = self.layer(f'file_name: "{tmp_path}/a.h5"')
        assert layer.shapes([(2, 3), (4,)]) == []
        assert layer.bottoms == (1, None)
        assert layer.side_effects

    def test_names_hold_the_number_of_the_forward(self, tmp_path):
        options = f'file_name: "{tmp_path}/%03d_100%%.h5" dset_name: "x%i" '
        written = self.run(options, times=2, shapes=[(2, 3)])
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "000_100%.h5",
            "001_100%.h5",
        ]
        content = self.read(tmp_path / "001_100%.h5")
        np.testing.assert_array_equal(content["x1"][1], written[1][0])

    @pytest.mark.parametrize(
        ("pattern", "want"),
        [("%4d", "  11"), ("%-4u|", "11  |"), ("%x", "b"), ("%+.3ld", "+011")],
    )
    def test_formats_of_c(self, tmp_path, pattern, want):
        context = make_context()
        layer = self.layer(
            f'file_name: "{tmp_path}/a.h5" dset_name: "{pattern}"', 1, context
        )
        context.state["iteration"] = 11
        (tmp_path / "a.h5").write_bytes(b"")
        h5py.File(tmp_path / "a.h5", "w").close()
        forward(layer, [torch.zeros(1)], context)
        assert list(self.read(tmp_path / "a.h5")) == [want]

    def test_a_constant_file_name_collects_datasets(self, tmp_path):
        path = tmp_path / "out.h5"
        path.write_bytes(b"what stood there before")
        options = f'file_name: "{path}" dset_name: "a%d" dset_name: "b%d"'
        written = self.run(options, times=3)
        content = self.read(path)
        assert sorted(content) == ["a0", "a1", "a2", "b0", "b1", "b2"]
        for i, (first, second) in enumerate(written):
            np.testing.assert_array_equal(content[f"a{i}"][1], first)
            np.testing.assert_array_equal(content[f"b{i}"][1], second)

    def test_constant_names_fail_at_the_second_forward(self, tmp_path):
        path = tmp_path / "out.h5"
        with pytest.raises(FileError, match="has a dataset 'data' already") as error:
            self.run(f'file_name: "{path}"', times=2)
        assert str(path) in str(error.value)
        assert sorted(self.read(path)) == ["data", "label"]
        assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]

    def test_names_that_become_one_are_refused(self, tmp_path):
        options = f'file_name: "{tmp_path}/a" dset_name: "x%d" dset_name: "x0"'
        with pytest.raises(CheckError, match="dset_name 'x0' is given twice"):
            self.run(options)

    def test_squeeze_leaves_out_axes_of_length_one(self, tmp_path):
        options = f'file_name: "{tmp_path}/a.h5" squeeze: true'
        context = make_context()
        self.run(options, shapes=[(2, 1, 3, 1), (1, 1)], context=context)
        content = self.read(tmp_path / "a.h5")
        assert content["data"][1].shape == (2, 3)
        assert content["label"][1].shape == ()
        assert [line for _, line in context.lines] == [
            f"Saving HDF5 file {tmp_path}/a.h5",
            "outshape = (2,3)",
            "outshape = ()",
            "Successfully saved 2 blobs",
        ]

    def test_nothing_is_written_while_recomputing_or_by_other_processes(self, tmp_path):
        for name, value in (("recomputing", True), ("rank", 1)):
            context = make_context()
            setattr(context, name, value)
            self.run(f'file_name: "{tmp_path}/a.h5"', context=context)
            assert not list(tmp_path.iterdir())
            assert context.state["iteration"] == 0

    def test_the_number_survives_a_restart(self, tmp_path):
        first, second = make_context(), make_context()
        options = f'file_name: "{tmp_path}/%d.h5"'
        self.run(options, times=2, context=first)
        layer = self.layer(options, context=second)
        second.state.update(first.state)
        forward(layer, [torch.zeros(1), torch.zeros(1)], second)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["0.h5", "1.h5", "2.h5"]

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileError, match="cannot be written: No such file or dir"):
            self.run(f'file_name: "{tmp_path}/nowhere/a.h5"')

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ("", "file_name is '': expected the name of a file"),
            (
                r'file_name: "a\000b"',
                r"file_name is 'a\\x00b': expected the name of a file",
            ),
            (
                'file_name: "a" dset_name: "x"',
                r"dset_name is given 1 times \(x\): expected as many as bottoms, 2",
            ),
            (
                'file_name: "a" dset_name: "x" dset_name: ""',
                "dset_name is '': expected a name without /",
            ),
            (
                'file_name: "a" dset_name: "x" dset_name: "y/z"',
                "dset_name is 'y/z': expected a name without /",
            ),
            ('file_name: "a%s"', "the name 'a%s' has a % that stands for no number"),
            ('file_name: "%d%d"', "the name '%d%d' has a % that stands for no numb"),
            ('file_name: "%9999d"', "the name '%9999d' has a % that stands for no"),
            ('file_name: "100%"', "the name '100%' has a % that stands for no number"),
        ],
    )
    def test_refuses_names(self, options, match):
        with pytest.raises(CheckError, match=match):
            self.layer(options)

    def test_refuses_one_bottom_without_a_name(self):
        with pytest.raises(
            CheckError, match=r"2 times \(data, label\): expected as many as bottoms"
        ):
            self.layer('file_name: "a"', bottoms=1)

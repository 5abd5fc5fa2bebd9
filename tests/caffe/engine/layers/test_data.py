import h5py
import numpy as np
import pytest
import torch

from caffe.errors import CheckError, FileError
from tests.support.layers import make_context, make_layer, run_layer, shapes_of


class TestInput:
    def test_declares_shapes(self):
        text = "input_param { shape { dim: 2 dim: 3 } shape { dim: 4 } }"
        assert shapes_of("Input", text, [], tops=2) == [(2, 3), (4,)]

    def test_one_shape_is_for_all(self):
        text = "input_param { shape { dim: 2 dim: 3 } }"
        assert shapes_of("Input", text, [], tops=2) == [(2, 3), (2, 3)]

    def test_is_empty_without_a_shape(self):
        assert shapes_of("Input", "", []) == [(0,)]

    def test_refuses_another_number_of_shapes(self):
        text = "input_param { shape { dim: 2 } shape { dim: 3 } }"
        with pytest.raises(
            CheckError, match="2 values of shape for 3 tops: expected 1 or 3"
        ):
            shapes_of("Input", text, [], tops=3)

    def test_has_no_values_of_its_own(self):
        with pytest.raises(CheckError, match="has no values of its own"):
            run_layer("Input", "", [])


class TestDummyData:
    def test_is_zero_by_default(self):
        text = "dummy_data_param { shape { dim: 2 dim: 3 } }"
        (top,) = run_layer("DummyData", text, [])
        assert top.tolist() == [[0, 0, 0], [0, 0, 0]]

    def test_four_axes_in_the_older_way(self):
        text = """dummy_data_param { num: 2 channels: 3 height: 4 height: 6 width: 5
                  data_filler { value: 1 } data_filler { value: 2 } }"""
        assert shapes_of("DummyData", text, [], tops=2) == [(2, 3, 4, 5), (2, 3, 6, 5)]
        first, second = run_layer("DummyData", text, [], tops=2)
        assert (first.unique().item(), second.unique().item()) == (1, 2)

    def test_constants_are_filled_once_and_the_others_each_time(self):
        text = """dummy_data_param { shape { dim: 3 }
                  data_filler { value: 1 } data_filler { type: "uniform" } }"""
        context = make_context()
        layer = make_layer("DummyData", text, tops=2, context=context)
        constant, random = layer.forward([], [], context)
        constant[0] = 7
        again, other = layer.forward([], [], context)
        assert again.tolist() == [7, 1, 1]
        assert not torch.equal(random, other)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("shape { dim: 1 } num: 1", "both shape and num, channels, height, width"),
            ("num: 1 channels: 1 height: 1", "0 values of width for 3 tops"),
            ("shape { dim: 1 } shape { dim: 1 }", "2 values of shape for 3 tops"),
            (
                "shape { dim: 1 } data_filler { } data_filler { }",
                "2 values of data_filler for 3 tops: expected 1 or 3",
            ),
        ],
    )
    def test_refuses(self, text, match):
        with pytest.raises(CheckError, match=match):
            make_layer("DummyData", f"dummy_data_param {{ {text} }}", tops=3)


MEMORY = """top: "data" top: "label" memory_data_param {
            batch_size: 2 channels: 1 height: 2 width: 3 }"""


def arrays(rows=4):
    data = np.arange(6 * rows, dtype=np.float32).reshape(rows, 1, 2, 3)
    return data, np.arange(rows, dtype=np.float32).reshape(rows, 1, 1, 1)


class TestMemoryData:
    def test_goes_through_the_arrays_in_a_circle(self):
        context = make_context()
        layer = make_layer("MemoryData", MEMORY, context=context)
        assert layer.shapes([]) == [(2, 1, 2, 3), (2,)]
        assert layer.batch_size == 2
        data, labels = arrays()
        layer.set_arrays(data, labels)
        for start in (0, 2, 0):
            top, label = layer.forward([], [], context)
            assert torch.equal(top, torch.from_numpy(data[start : start + 2]))
            assert label.tolist() == [start, start + 1]

    def test_sees_what_the_user_writes_and_keeps_what_it_gave(self):
        context = make_context()
        layer = make_layer("MemoryData", MEMORY, context=context)
        data, labels = arrays(2)
        layer.set_arrays(data, labels)
        before, _ = layer.forward([], [], context)
        data[0] = 77
        after, _ = layer.forward([], [], context)
        assert before[0, 0, 0, 0] == 0
        assert after[0].unique().item() == 77

    def test_goes_on_from_a_saved_state(self):
        context = make_context()
        layer = make_layer("MemoryData", MEMORY, context=context)
        layer.set_arrays(*arrays())
        context.state["row"] = np.array(2)
        assert layer.forward([], [], context)[1].tolist() == [2, 3]

    def test_does_not_transform_and_says_so(self):
        context = make_context()
        text = MEMORY + " transform_param { scale: 2 }"
        layer = make_layer("MemoryData", text, context=context)
        layer.set_arrays(*arrays())
        text = "MemoryData does not transform array data on Reset()"
        assert context.lines == [("memory_data_layer.cpp:88", text)]
        assert layer.forward([], [], context)[0][0, 0, 0].tolist() == [0, 1, 2]

    def test_wants_data(self):
        with pytest.raises(CheckError, match="needs to be initialized by calling Res"):
            run_layer("MemoryData", MEMORY, [], tops=2)

    def test_wants_a_shape(self):
        match = r"\(2,1,0,3\): batch_size, channels, height, and width must be"
        with pytest.raises(CheckError, match=match):
            make_layer("MemoryData", MEMORY.replace("height: 2", ""), tops=2)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda d, n: (d.tolist(), n), "data array must be C contiguous"),
            (lambda d, n: (d[:, :, :, ::-1], n), "data array must be C contiguous"),
            (lambda d, n: (d[0], n), "data array must be 4-d: it has 3 axes"),
            (lambda d, n: (d.astype(float), n), "must be float32: it is float64"),
            (
                lambda d, n: (np.tile(d, (1, 2, 1, 1)), n),
                "number of channels: 2, not 1",
            ),
            (lambda d, n: (np.tile(d, (1, 1, 2, 1)), n), "wrong height: 4, not 2"),
            (lambda d, n: (np.tile(d, (1, 1, 1, 2)), n), "wrong width: 6, not 3"),
            (lambda d, n: (d, n[:, 0, 0]), "labels array must be 4-d"),
            (
                lambda d, n: (d, n[:2]),
                "must have the same first dimension: they have 4",
            ),
            (
                lambda d, n: (d[:3], n[:3]),
                "must be a multiple of batch size 2: they are",
            ),
            (
                lambda d, n: (d[:0], n[:0]),
                "must be a multiple of batch size 2: they are",
            ),
        ],
    )
    def test_refuses_arrays(self, change, match):
        layer = make_layer("MemoryData", MEMORY)
        with pytest.raises(CheckError, match=match):
            layer.set_arrays(*change(*arrays()))


def write(name, rows, *, start=0, size=2, **datasets):
    """File whose row r of ``data`` is ``start + r`` everywhere, ``label`` its 10x."""
    values = start + np.arange(rows, dtype=np.float32)
    with h5py.File(name, "w") as file:
        file["data"] = np.tile(values[:, None, None], (1, 1, size))
        file["label"] = 10 * values[:, None]
        for key, value in datasets.items():
            file[key] = value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(batch_size=2, text="", tops=("data", "label")):
    names = " ".join(f'top: "{top}"' for top in tops)
    return (
        f'{names} hdf5_data_param {{ source: "list.txt" '
        f"batch_size: {batch_size} {text} }}"
    )


def make_list(*names):
    with open("list.txt", "w") as file:
        file.write("\n".join(names))


def rows_of(layer, context, forwards):
    """Row numbers of so many forwards, checking that label and data go together."""
    rows = []
    for _ in range(forwards):
        data, label = layer.forward([], [], context)
        assert torch.equal(label[:, 0], 10 * data[:, 0, 0])
        rows += data[:, 0, 0].int().tolist()
    return rows


@pytest.mark.usefixtures("folder")
class TestHDF5Data:
    def test_goes_through_all_files_in_a_circle(self):
        write("a.h5", 3)
        write("b.h5", 2, start=3)
        make_list("a.h5", "b.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2), context=context)
        assert layer.shapes([]) == [(2, 1, 2), (2, 1)]
        assert rows_of(layer, context, 6) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]

    def test_a_batch_may_be_larger_than_a_file(self):
        write("a.h5", 2)
        make_list("a.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(5), context=context)
        assert rows_of(layer, context, 1) == [0, 1, 0, 1, 0]

    @pytest.mark.parametrize("dtype", ["u1", "i8", "f2", "f8", "?"])
    def test_any_numbers_are_converted_to_float32(self, dtype):
        values = np.arange(12).reshape(3, 4).astype(dtype)
        with h5py.File("a.h5", "w") as file:
            file.create_dataset("x", data=values, chunks=(2, 3), compression="gzip")
        make_list("a.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(3, tops=["x"]), context=context)
        (top,) = layer.forward([], [], context)
        assert top.dtype == torch.float32
        assert top.tolist() == values.astype(float).tolist()

    def test_the_shape_follows_the_present_file(self):
        write("a.h5", 2, size=2)
        write("b.h5", 4, size=5)
        make_list("a.h5", "b.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2), context=context)
        sizes = []
        for _ in range(4):
            sizes.append(layer.shapes([])[0][2])
            assert layer.forward([], [], context)[0].shape == (2, 1, sizes[-1])
        assert sizes == [2, 5, 5, 2]

    def test_shuffle_gives_every_row_once_a_round(self):
        write("a.h5", 6)
        write("b.h5", 6, start=6)
        make_list("a.h5", "b.h5")
        context = make_context(seed=3)
        layer = make_layer("HDF5Data", options(6, "shuffle: true"), context=context)
        rounds = [rows_of(layer, context, 2) for _ in range(4)]
        for rows in rounds:
            assert sorted(rows) == list(range(12))
            assert {row // 6 for row in rows[:6]} in ({0}, {1})
        assert len({tuple(rows) for rows in rounds}) == 4
        assert len({rows[0] // 6 for rows in rounds}) == 2

    def test_goes_on_from_a_saved_state(self):
        write("a.h5", 5)
        write("b.h5", 7, start=5)
        make_list("a.h5", "b.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2, "shuffle: true"), context=context)
        rows_of(layer, context, 4)
        state = {key: np.array(value) for key, value in context.state.items()}
        generator = context.rng.bit_generator.state
        rows = rows_of(layer, context, 8)

        resumed = make_context(seed=99)
        layer = make_layer("HDF5Data", options(2, "shuffle: true"), context=resumed)
        resumed.state.update(state)
        resumed.rng.bit_generator.state = generator
        assert rows_of(layer, resumed, 8) == rows

    @pytest.mark.parametrize("shuffle", ["", "shuffle: true"])
    def test_rows_are_dealt_to_processes_one_by_one(self, shuffle):
        write("a.h5", 5)
        write("b.h5", 7, start=5)
        make_list("a.h5", "b.h5")
        rows, states = [], []
        for rank, ranks, batch in ((0, 1, 6), (0, 3, 2), (1, 3, 2), (2, 3, 2)):
            context = make_context(train=True)
            context.rank, context.ranks = rank, ranks
            layer = make_layer("HDF5Data", options(batch, shuffle), context=context)
            rows.append(rows_of(layer, context, 8))
            states.append(context.state)
        alone, *dealt = rows
        assert [row for group in zip(*dealt, strict=True) for row in group] == alone
        assert sorted(alone[:12]) == list(range(12))
        for state in states:
            for key, value in states[0].items():
                np.testing.assert_array_equal(state[key], value)

    def test_a_state_of_another_batch_size_is_an_error_where_shapes_differ(self):
        write("a.h5", 3, size=2)
        write("b.h5", 3, size=5)
        make_list("a.h5", "b.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(3), context=context)
        context.state.update(row=1, rows=np.arange(3))
        match = r"b.h5: rows of dataset 'data' have shape \(1, 5\): expected \(1, 2\)"
        with pytest.raises(FileError, match=match):
            layer.forward([], [], context)

    def test_files_are_also_looked_for_beside_the_list(self, folder, monkeypatch):
        write("a.h5", 2)
        make_list("a.h5")
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder / "elsewhere")
        context = make_context()
        text = options().replace("list.txt", "../list.txt")
        layer = make_layer("HDF5Data", text, context=context)
        assert rows_of(layer, context, 1) == [0, 1]

    def test_logs_what_caffe_logs(self):
        write("a.h5", 3)
        make_list("a.h5")
        context = make_context()
        make_layer("HDF5Data", options(2), context=context)
        assert context.lines == [
            (
                "hdf5_data_layer.cpp:82",
                "Loading list of HDF5 filenames from: list.txt",
            ),
            ("hdf5_data_layer.cpp:96", "Number of HDF5 files: 1"),
            ("hdf5_data_layer.cpp:134", "a.h5:  data (3,1,2)  label (3,1)"),
            ("hdf5_data_layer.cpp:138", "files_have_consistent_shapes: 1"),
            ("hdf5_data_layer.cpp:140", "hdf_blobs_divisible_by_batch_size: 0"),
        ]

    def test_refuses_options(self):
        write("a.h5", 2)
        make_list("a.h5")
        with pytest.raises(CheckError, match="batch_size is 0"):
            make_layer("HDF5Data", options(0))
        with pytest.raises(CheckError, match="transform_param is given"):
            make_layer("HDF5Data", options() + " transform_param { scale: 2 }")

    def test_refuses_files_of_different_shapes_that_a_batch_would_straddle(self):
        write("a.h5", 2, size=2)
        write("b.h5", 3, size=5)
        make_list("a.h5", "b.h5")
        with pytest.raises(FileError, match=r"list.txt: Cannot work with these files!"):
            make_layer("HDF5Data", options(2))

    def test_refuses_a_file_with_other_axes(self):
        write("a.h5", 2)
        with h5py.File("b.h5", "w") as file:
            file["data"], file["label"] = np.zeros((2, 1, 2)), np.zeros((2, 1, 1))
        make_list("a.h5", "b.h5")
        match = r"b.h5: dataset 'label' is \(2,1,1\): expected 2 axes, as in a.h5"
        with pytest.raises(FileError, match=match):
            make_layer("HDF5Data", options(2))

    def test_a_file_that_vanishes_is_an_error_when_its_turn_comes(self, folder):
        write("a.h5", 2)
        write("b.h5", 2)
        make_list("a.h5", "b.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2), context=context)
        (folder / "b.h5").unlink()
        layer.forward([], [], context)
        with pytest.raises(FileError, match=r"b.h5: no such file, though list.txt"):
            layer.forward([], [], context)

    def test_a_state_of_another_list_is_an_error(self):
        write("a.h5", 2)
        make_list("a.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2), context=context)
        context.state["file_order"] = np.array([1, 0])
        with pytest.raises(FileError, match=r"list.txt: lists 1 files: expected 2"):
            layer.shapes([])

    def test_a_state_of_other_rows_is_an_error(self):
        write("a.h5", 4)
        make_list("a.h5")
        context = make_context()
        layer = make_layer("HDF5Data", options(2), context=context)
        context.state.update(row=3, rows=np.arange(5))
        with pytest.raises(FileError, match=r"a.h5: has 4 rows: expected 5"):
            layer.forward([], [], context)

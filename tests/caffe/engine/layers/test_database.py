import time

import cv2
import lmdb
import numpy as np
import pytest
import torch

from caffe import io
from caffe.engine.layers.database import DataLayer
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from tests.support.layers import make_context, make_layer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_lmdb(records, path="db"):
    with (
        lmdb.open(path, map_size=1 << 28) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in records.items():
            transaction.put(key, value)


def datum(number, shape=(1, 2, 3)):
    return io.array_to_datum(np.full(shape, number, np.uint8), number)


def write_rows(count, path="db", **options):
    rows = {b"%05d" % i: datum(i, **options).SerializeToString() for i in range(count)}
    write_lmdb(rows, path)


def write_datum(**fields):
    write_lmdb({b"00000": caffe_pb2.Datum(**fields).SerializeToString()})


def data_text(text="batch_size: 2", rest=""):
    return (
        'top: "data" top: "label" data_param { source: "db" backend: LMDB '
        f"{text} }} {rest}"
    )


def rows_of(layer, context, forwards):
    """Labels of so many forwards; each image is full of its label."""
    rows = []
    for _ in range(forwards):
        data, label = layer.forward([], [], context)
        assert all((image == row).all() for image, row in zip(data, label, strict=True))
        rows += label.int().tolist()
    return rows


def resumed_from(state, type_name, text):
    """A new layer of another seed that goes on from a saved state."""
    context = make_context(train=True, seed=99)
    layer = make_layer(type_name, text, context=context)
    for key, value in state.items():
        context.state[key] = np.array(value)
    return layer, context


def dealt(type_name, text, batches, ranks):
    """Rows that each of several processes takes, interleaved again."""
    rows = []
    for rank in range(ranks):
        context = make_context(train=True)
        context.rank, context.ranks = rank, ranks
        layer = make_layer(type_name, text, context=context)
        rows.append(
            [
                row
                for _ in range(batches)
                for row in layer.forward([], [], context)[1].tolist()
            ]
        )
    return [int(row) for group in zip(*rows, strict=True) for row in group]


@pytest.mark.usefixtures("folder")
class TestData:
    def test_goes_through_all_rows_in_a_circle(self):
        write_rows(5)
        context = make_context()
        layer = make_layer("Data", data_text(), context=context)
        assert layer.shapes([]) == [(2, 1, 2, 3), (2,)]
        assert rows_of(layer, context, 6) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]

    def test_a_batch_may_be_larger_than_the_database(self):
        write_rows(2)
        context = make_context()
        layer = make_layer("Data", data_text("batch_size: 5"), context=context)
        assert rows_of(layer, context, 1) == [0, 1, 0, 1, 0]

    def test_leveldb_is_the_default(self):
        plyvel = pytest.importorskip("plyvel")
        with plyvel.DB("db", create_if_missing=True) as db:
            for i in range(3):
                db.put(b"%05d" % i, datum(i).SerializeToString())
        context = make_context()
        text = data_text().replace("backend: LMDB", "")
        layer = make_layer("Data", text, context=context)
        assert rows_of(layer, context, 2) == [0, 1, 2, 0]
        assert context.lines[0] == ("db_leveldb.cpp:18", "Opened leveldb db")

    def test_one_top_is_without_labels(self):
        write_rows(3)
        context = make_context()
        text = data_text().replace('top: "label"', "")
        layer = make_layer("Data", text, context=context)
        assert layer.shapes([]) == [(2, 1, 2, 3)]
        (top,) = layer.forward([], [], context)
        assert top[:, 0, 0, 0].tolist() == [0, 1]

    def test_floats(self):
        values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
        write_lmdb({b"0": io.array_to_datum(values, -7).SerializeToString()})
        context = make_context()
        layer = make_layer("Data", data_text("batch_size: 1"), context=context)
        top, label = layer.forward([], [], context)
        assert torch.equal(top[0], torch.from_numpy(values))
        assert label.tolist() == [-7]

    @pytest.mark.parametrize(
        ("options", "rest", "flag"),
        [
            ("", "", cv2.IMREAD_UNCHANGED),
            ("", "transform_param { force_color: true }", cv2.IMREAD_COLOR),
            ("", "transform_param { force_gray: true }", cv2.IMREAD_GRAYSCALE),
            ("force_encoded_color: true", "", cv2.IMREAD_COLOR),
        ],
    )
    @pytest.mark.parametrize("kind", ["png", "jpg"])
    @pytest.mark.parametrize("grey", [True, False])
    def test_encoded_images_are_as_opencv_decodes_them(
        self, options, rest, flag, kind, grey
    ):
        image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
        raw = cv2.imencode(f".{kind}", image[:, :, 0] if grey else image)[1]
        write_datum(data=raw.tobytes(), label=3, encoded=True)
        context = make_context()
        text = data_text(f"batch_size: 1 {options}", rest)
        layer = make_layer("Data", text, context=context)
        want = cv2.imdecode(raw, flag).reshape(9, 7, -1).transpose(2, 0, 1)
        top, _ = layer.forward([], [], context)
        np.testing.assert_array_equal(top[0].numpy(), want)

    def test_transforms(self):
        write_rows(4, shape=(1, 6, 8))
        context = make_context()
        rest = "transform_param { crop_size: 4 mean_value: 1 scale: 0.5 }"
        layer = make_layer("Data", data_text(rest=rest), context=context)
        data, label = layer.forward([], [], context)
        assert data.shape == (2, 1, 4, 4)
        assert data[:, 0, 0, 0].tolist() == [-0.5, 0]
        assert label.tolist() == [0, 1]

    def test_crops_and_mirrors_are_drawn_anew_in_each_round(self):
        image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
        write_lmdb({b"0": io.array_to_datum(image, 0).SerializeToString()})
        context = make_context(train=True)
        rest = "transform_param { crop_size: 4 mirror: true }"
        layer = make_layer("Data", data_text("batch_size: 4", rest), context=context)
        tops = [layer.forward([], [], context)[0] for _ in range(10)]
        assert len({image.numpy().tobytes() for top in tops for image in top}) > 20

    def test_the_shape_may_change_from_batch_to_batch(self):
        shapes = [(1, 2, 3), (3, 4, 2)]
        write_lmdb(
            {
                b"%d" % i: datum(i, shape).SerializeToString()
                for i, shape in enumerate(shapes)
            }
        )
        context = make_context()
        layer = make_layer("Data", data_text("batch_size: 1"), context=context)
        for shape in (*shapes, *shapes):
            assert layer.shapes([])[0] == (1, *shape)
            assert layer.forward([], [], context)[0].shape == (1, *shape)

    def test_goes_on_from_a_saved_state(self):
        write_rows(7, shape=(1, 9, 9))
        text = data_text(
            "batch_size: 3", "transform_param { crop_size: 4 mirror: true }"
        )
        context = make_context(train=True)
        layer = make_layer("Data", text, context=context)
        rows_of(layer, context, 3)
        state = dict(context.state)
        rest = [layer.forward([], [], context) for _ in range(5)]
        other, resumed = resumed_from(state, "Data", text)
        for tops in rest:
            for top, again in zip(tops, other.forward([], [], resumed), strict=True):
                assert torch.equal(top, again)

    @pytest.mark.parametrize("prefetch", [1, 7])
    def test_reading_ahead_changes_nothing(self, prefetch):
        write_rows(7, shape=(1, 9, 9))
        found = []
        for pause, depth in ((0, 4), (0.002, prefetch)):
            text = data_text(
                f"batch_size: 3 prefetch: {depth}",
                "transform_param { crop_size: 4 mirror: true }",
            )
            context = make_context(train=True)
            layer = make_layer("Data", text, context=context)
            found.append([])
            for _ in range(6):
                time.sleep(pause)
                found[-1] += layer.forward([], [], context)
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other)

    def test_rows_are_dealt_to_processes_one_by_one(self):
        write_rows(7)
        want = [i % 7 for i in range(24)]
        assert dealt("Data", data_text("batch_size: 4"), 2, 3) == want
        assert dealt("Data", data_text("batch_size: 12"), 2, 1) == want

    def test_the_state_is_the_same_in_all_processes(self):
        write_rows(7)
        states = []
        for rank in (0, 1):
            context = make_context(train=True)
            context.rank, context.ranks = rank, 2
            layer = make_layer("Data", data_text(), context=context)
            layer.forward([], [], context)
            states.append(
                {key: np.array(value).tolist() for key, value in context.state.items()}
            )
        assert states[0] == states[1]
        assert states[0]["row"] == 4

    def test_in_testing_every_process_has_all_rows(self):
        write_rows(4)
        context = make_context()
        context.rank, context.ranks = 1, 2
        layer = make_layer("Data", data_text(), context=context)
        assert rows_of(layer, context, 2) == [0, 1, 2, 3]

    def test_logs_what_caffe_logs(self):
        write_rows(3)
        context = make_context()
        layer = make_layer("Data", data_text("batch_size: 3"), context=context)
        layer.forward([], [], context)
        layer.forward([], [], context)
        assert context.lines[:1] == [("db_lmdb.cpp:35", "Opened lmdb db")]
        assert ("data_layer.cpp:45", "output data size: 3,1,2,3") in context.lines
        again = ("data_layer.cpp:73", "Restarting data prefetching from start.")
        assert again in context.lines

    def test_training_and_test_net_may_read_one_database(self):
        write_rows(4)
        context = make_context()
        first = make_layer("Data", data_text(), context=context)
        second = make_layer("Data", data_text(), context=make_context())
        assert isinstance(second, DataLayer)
        assert rows_of(first, context, 1) == [0, 1]

    @pytest.mark.parametrize(
        ("fields", "match"),
        [
            ({}, r"a Datum of shape \(0, 0, 0\): expected above 0"),
            (
                {"channels": 1, "height": 1, "width": 9, "data": b"1"},
                "a Datum .* has 1 values",
            ),
            ({"encoded": True, "data": b"\x89PNG"}, "is no image, or a damaged one"),
        ],
    )
    def test_a_bad_row_is_named(self, fields, match):
        write_datum(**fields)
        with pytest.raises(FileError, match=f"^db: key '00000': {match}"):
            make_layer("Data", data_text())

    def test_a_bad_row_is_an_error_when_its_turn_comes(self):
        rows = {b"%05d" % i: datum(i).SerializeToString() for i in range(6)}
        write_lmdb({**rows, b"00003": b"\xff\xff"})
        context = make_context()
        layer = make_layer("Data", data_text(), context=context)
        assert rows_of(layer, context, 1) == [0, 1]
        for _ in range(2):
            with pytest.raises(
                FileError, match=r"db: key '00003': 2 bytes that are no"
            ):
                layer.shapes([])
        context.state["key"] = np.frombuffer(b"00004", np.uint8)
        assert rows_of(layer, context, 1) == [4, 5]

    def test_a_batch_of_different_images_is_an_error(self):
        write_lmdb(
            {
                b"0": datum(0).SerializeToString(),
                b"1": datum(1, (1, 3, 3)).SerializeToString(),
            }
        )
        match = r"key '1': an image of shape \(1, 3, 3\): expected \(1, 2, 3\)"
        with pytest.raises(FileError, match=match):
            make_layer("Data", data_text())

    def test_a_state_of_another_database_is_an_error(self):
        write_rows(3)
        context = make_context()
        layer = make_layer("Data", data_text(), context=context)
        context.state["key"] = np.frombuffer(b"7", np.uint8)
        with pytest.raises(
            FileError, match="db: has no key '7', where it should go on"
        ):
            layer.forward([], [], context)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("batch_size: 0", "batch_size is 0: expected a number above 0"),
            ("batch_size: 1 prefetch: 0", "prefetch is 0: expected a number above 0"),
        ],
    )
    def test_refuses_options(self, text, match):
        write_rows(2)
        with pytest.raises(CheckError, match=match):
            make_layer("Data", data_text(text))

    def test_a_missing_database_is_named(self):
        with pytest.raises(FileError, match=r"^db: No such file or directory"):
            make_layer("Data", data_text())


def write_images(*shapes, kind="png"):
    """Image n is full of the number n; the list gives it the label n."""
    lines = []
    for i, shape in enumerate(shapes):
        cv2.imwrite(f"{i}.{kind}", np.full(shape, i, np.uint8))
        lines.append(f"{i}.{kind} {i}\n")
    with open("list.txt", "w") as file:
        file.writelines(lines)


def image_text(text="batch_size: 2", rest=""):
    return (
        'top: "data" top: "label" image_data_param { source: "list.txt" '
        f"{text} }} {rest}"
    )


@pytest.mark.usefixtures("folder")
class TestImageData:
    def test_goes_through_all_images_in_a_circle(self):
        write_images(*[(4, 5, 3)] * 5)
        context = make_context()
        layer = make_layer("ImageData", image_text(), context=context)
        assert layer.shapes([]) == [(2, 3, 4, 5), (2,)]
        assert rows_of(layer, context, 5) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]

    @pytest.mark.parametrize("color", [True, False])
    def test_is_resized_as_opencv_does_it(self, folder, color):
        image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
        (folder / "in").mkdir()
        cv2.imwrite("in/a b.png", image)
        (folder / "list.txt").write_text("a b.png 9\n")
        text = f"new_height: 8 new_width: 11 is_color: {str(color).lower()}"
        context = make_context()
        layer = make_layer(
            "ImageData", image_text(f'{text} root_folder: "in/"'), context=context
        )
        top, label = layer.forward([], [], context)
        want = cv2.resize(cv2.imread("in/a b.png", int(color)), (11, 8)).reshape(
            8, 11, -1
        )
        np.testing.assert_array_equal(top[0].numpy(), want.transpose(2, 0, 1))
        assert label.tolist() == [9]

    def test_the_shape_follows_the_images(self):
        shapes = [(4, 5, 3), (6, 3, 3), (2, 2, 3)]
        write_images(*shapes)
        context = make_context()
        layer = make_layer("ImageData", image_text(""), context=context)
        for height, width, _ in (*shapes, *shapes):
            assert layer.shapes([]) == [(1, 3, height, width), (1,)]
            assert layer.forward([], [], context)[0].shape == (1, 3, height, width)

    def test_shuffle_gives_every_image_once_a_round(self):
        write_images(*[(2, 2, 3)] * 8)
        context = make_context()
        layer = make_layer(
            "ImageData", image_text("batch_size: 8 shuffle: true"), context=context
        )
        rounds = [tuple(rows_of(layer, context, 1)) for _ in range(5)]
        assert all(sorted(rows) == list(range(8)) for rows in rounds)
        assert len(set(rounds)) == 5

    def test_goes_on_from_a_saved_state(self):
        write_images(*[(9, 9, 3)] * 7)
        text = image_text(
            "batch_size: 3 shuffle: true rand_skip: 5",
            "transform_param { crop_size: 4 mirror: true }",
        )
        context = make_context(train=True)
        layer = make_layer("ImageData", text, context=context)
        rows_of(layer, context, 2)
        state = dict(context.state)
        rest = rows_of(layer, context, 6)
        other, resumed = resumed_from(state, "ImageData", text)
        assert rows_of(other, resumed, 6) == rest

    def test_may_start_behind_some_images(self):
        write_images(*[(2, 2, 3)] * 6)
        starts = set()
        for seed in range(30):
            context = make_context(seed=seed)
            layer = make_layer("ImageData", image_text("rand_skip: 3"), context=context)
            (start,) = rows_of(layer, context, 1)
            text = f"Skipping first {start} data points."
            assert ("image_data_layer.cpp:70", text) in context.lines
            starts.add(start)
        assert starts == {0, 1, 2}

    def test_images_are_dealt_to_processes_one_by_one(self):
        write_images(*[(2, 2, 3)] * 7)
        assert dealt("ImageData", image_text("batch_size: 4"), 2, 3) == [
            i % 7 for i in range(24)
        ]
        shuffled = dealt("ImageData", image_text("batch_size: 4 shuffle: true"), 7, 2)
        assert all(
            sorted(shuffled[i : i + 7]) == list(range(7)) for i in range(0, 56, 7)
        )

    def test_logs_what_caffe_logs(self):
        write_images((4, 5, 3), (4, 5, 3))
        context = make_context()
        make_layer(
            "ImageData", image_text("batch_size: 1 shuffle: true"), context=context
        )
        assert context.lines == [
            ("image_data_layer.cpp:38", "Opening file list.txt"),
            ("image_data_layer.cpp:52", "Shuffling data"),
            ("image_data_layer.cpp:63", "A total of 2 images."),
            ("image_data_layer.cpp:90", "output data size: 1,3,4,5"),
        ]

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("batch_size: 0", "batch_size is 0: expected a number above 0"),
            (
                "new_height: 4",
                "new_height is 4 and new_width 0: Current implementation",
            ),
            (
                "rand_skip: 100000000",
                "Not enough points to skip: .* of 1: set rand_skip",
            ),
        ],
    )
    def test_refuses_options(self, text, match):
        write_images((4, 5, 3))
        with pytest.raises(CheckError, match=match):
            make_layer("ImageData", image_text(text))

    def test_a_missing_image_is_an_error_when_its_turn_comes(self, folder):
        write_images(*[(2, 2, 3)] * 4)
        (folder / "2.png").unlink()
        context = make_context()
        layer = make_layer("ImageData", image_text(), context=context)
        assert rows_of(layer, context, 1) == [0, 1]
        with pytest.raises(FileError, match=r"^2.png: Could not load it: No such file"):
            layer.forward([], [], context)

    def test_an_image_that_is_too_small_is_named(self):
        write_images((2, 2, 3))
        text = image_text("", "transform_param { crop_size: 3 }")
        with pytest.raises(FileError, match=r"^0.png: the image has 2 x 2 pixels"):
            make_layer("ImageData", text)

    def test_a_batch_of_different_images_is_an_error(self):
        write_images((2, 2, 3), (3, 2, 3))
        match = r"^1.png: an image of shape \(3, 3, 2\): expected \(3, 2, 2\)"
        with pytest.raises(FileError, match=match):
            make_layer("ImageData", image_text())

    def test_a_list_that_has_changed_is_an_error(self):
        write_images((2, 2, 3))
        context = make_context()
        layer = make_layer("ImageData", image_text(), context=context)
        context.state["images"] = 5
        with pytest.raises(FileError, match=r"list.txt: lists 1 images: expected 5"):
            layer.forward([], [], context)


WINDOWS = "# 0 0.png 3 20 30 2 5 0.9 1 2 11 12 2 0.1 3 3 9 9\n"


def window_text(text="batch_size: 4", transform="crop_size: 8"):
    return (
        'top: "data" top: "label" window_data_param { source: "w.txt" '
        f"{text} }} transform_param {{ {transform} }}"
    )


@pytest.fixture
def windows(folder):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite("0.png", image)
    (folder / "w.txt").write_text(WINDOWS)
    return image


class TestWindowData:
    def test_gives_windows_with_and_without_objects(self, windows):
        context = make_context(train=True)
        layer = make_layer("WindowData", window_text(), context=context)
        assert layer.shapes([]) == [(4, 3, 8, 8), (4,)]
        data, label = layer.forward([], [], context)
        assert label.tolist() == [0, 0, 0, 5]
        want = cv2.resize(windows[2:13, 1:12], (8, 8)).transpose(2, 0, 1)
        np.testing.assert_array_equal(data[3].numpy(), want)

    def test_the_middle_of_the_mean_file_is_taken_off(self, windows, folder):
        mean = np.random.default_rng(1).normal(100, 9, (3, 12, 12)).astype(np.float32)
        message = io.array_to_blobproto(mean[None])
        (folder / "mean").write_bytes(message.SerializeToString())
        context = make_context()
        text = window_text(
            "batch_size: 1 fg_fraction: 1 scale: 0.5",
            'crop_size: 8 mean_file: "mean" scale: 0.25',
        )
        layer = make_layer("WindowData", text, context=context)
        data, _ = layer.forward([], [], context)
        part = cv2.resize(windows[2:13, 1:12], (8, 8)).transpose(2, 0, 1)
        want = (part.astype(np.float32) - mean[:, 2:10, 2:10]) * np.float32(0.125)
        np.testing.assert_array_equal(data[0].numpy(), want)

    def test_mean_values(self, windows):
        context = make_context()
        text = window_text(
            "batch_size: 1 fg_fraction: 1",
            "crop_size: 8 mean_value: 1 mean_value: 2 mean_value: 3",
        )
        layer = make_layer("WindowData", text, context=context)
        data, _ = layer.forward([], [], context)
        part = cv2.resize(windows[2:13, 1:12], (8, 8)).transpose(2, 0, 1)
        want = part - np.array([1, 2, 3], np.float32)[:, None, None]
        np.testing.assert_array_equal(data[0].numpy(), want)

    def test_goes_on_from_a_saved_state(self, windows, folder):
        boxes = [f"1 0.9 {i} {i} {i + 5} {i + 5}" for i in range(10)]
        text = f"# 0 0.png 3 20 30 11 {' '.join(boxes)} 1 0.0 2 2 9 9"
        (folder / "w.txt").write_text(text)
        options = window_text(
            'batch_size: 3 context_pad: 1 crop_mode: "square" cache_images: true',
            "crop_size: 8 mirror: true",
        )
        context = make_context(train=True)
        layer = make_layer("WindowData", options, context=context)
        layer.forward([], [], context)
        state = dict(context.state)
        rest = [layer.forward([], [], context)[0] for _ in range(4)]
        other, resumed = resumed_from(state, "WindowData", options)
        for top in rest:
            assert torch.equal(other.forward([], [], resumed)[0], top)

    @pytest.mark.usefixtures("windows")
    def test_logs_what_caffe_logs(self):
        context = make_context()
        make_layer("WindowData", window_text(), context=context)
        assert [text for _, text in context.lines] == [
            "Window data layer:\n"
            "  foreground (object) overlap threshold: 0.5\n"
            "  background (non-object) overlap threshold: 0.5\n"
            "  foreground sampling fraction: 0.25\n"
            "  cache_images: 0\n"
            "  root_folder: ",
            "num: 0 0.png 3 20 30 windows to process: 2",
            "Number of images: 1",
            "class 0 has 1 samples",
            "class 5 has 1 samples",
            "Amount of context padding: 0",
            "Crop mode: warp",
            "output data size: 4,3,8,8",
        ]

    @pytest.mark.usefixtures("windows")
    @pytest.mark.parametrize(
        ("text", "transform", "match"),
        [
            ("batch_size: 0", "crop_size: 8", "batch_size is 0"),
            ("batch_size: 1", "", "crop_size is 0: expected a number above 0"),
            (
                "batch_size: 1 context_pad: 4",
                "crop_size: 8",
                "context_pad is 4: expected less than half of crop_size 8",
            ),
            (
                "batch_size: 1 fg_fraction: 1.5",
                "crop_size: 8",
                "fg_fraction is 1.5: expected 0 to 1",
            ),
            (
                "batch_size: 1",
                "crop_size: 8 mean_value: 1 mean_value: 2",
                "mean_value has 2 values: Specify either 1",
            ),
            (
                "batch_size: 1",
                'crop_size: 8 mean_value: 1 mean_file: "m"',
                "Cannot specify mean_file and mean_value at the same time",
            ),
        ],
    )
    def test_refuses_options(self, text, transform, match):
        with pytest.raises(CheckError, match=match):
            make_layer("WindowData", window_text(text, transform))

    @pytest.mark.parametrize("shape", [(3, 7, 7), (3, 7, 12), (1, 12, 12)])
    @pytest.mark.usefixtures("windows")
    def test_refuses_a_mean_file_that_does_not_hold_a_crop(self, folder, shape):
        message = io.array_to_blobproto(np.zeros(shape, np.float32))
        (folder / "mean").write_bytes(message.SerializeToString())
        text = window_text(transform='crop_size: 8 mean_file: "mean"')
        with pytest.raises(
            CheckError, match=r"the mean file mean has shape .*: expected 3"
        ):
            make_layer("WindowData", text)

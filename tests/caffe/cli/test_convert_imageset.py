import cv2
import numpy as np
import pytest

import caffe
from caffe.cli.convert_imageset import main
from caffe.engine.sources.databases import image_of, open_database, parse_datum


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


def write(*shapes, kind="png"):
    rng, lines = np.random.default_rng(0), []
    for i, shape in enumerate(shapes):
        cv2.imwrite(f"in/{i}.{kind}", rng.integers(0, 256, shape, np.uint8))
        lines.append(f"{i}.{kind} {10 * i}\n")
    with open("list.txt", "w") as file:
        file.writelines(lines)


def rows(backend="lmdb"):
    database = open_database(backend, "db", lambda *line: None)
    return [
        (key.decode(), parse_datum(value(), "db")) for key, value in database.records()
    ]


def lines(capsys):
    return [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("folder")
class TestConvertImageset:
    @pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
    def test_writes_pixels_as_caffe_does(self, capsys, backend):
        pytest.importorskip("plyvel")
        write((4, 5, 3), (6, 3, 3))
        assert main(["in/", "list.txt", "db", "-backend", backend]) == 0
        found = rows(backend)
        assert [key for key, _ in found] == ["00000000_0.png", "00000001_1.png"]
        for i, (_, datum) in enumerate(found):
            want = cv2.imread(f"in/{i}.png").transpose(2, 0, 1)
            assert (datum.channels, datum.height, datum.width) == want.shape
            assert datum.data == want.tobytes()
            assert (datum.label, datum.encoded) == (10 * i, False)
        assert lines(capsys) == [
            "A total of 2 images.",
            f"Opened {backend} db",
            "Processed 2 files.",
        ]

    def test_grey_and_resized(self):
        write((14, 15, 3))
        flags = ["-gray", "-resize_width=6", "-resize_height", "7"]
        assert main([*flags, "in/", "list.txt", "db"]) == 0
        ((_, datum),) = rows()
        want = cv2.resize(cv2.imread("in/0.png", cv2.IMREAD_GRAYSCALE), (6, 7))
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), want[None])

    def test_one_extent_alone_does_not_resize(self, capsys):
        write((4, 5, 3))
        assert main(["-resize_width=6", "in/", "list.txt", "db"]) == 0
        assert rows()[0][1].width == 5
        assert "-resize_height 0: images keep their size" in capsys.readouterr().err

    def test_an_encoded_file_is_kept_as_it_is(self):
        write((4, 5, 3), kind="jpeg")
        assert main(["-encoded", "in/", "list.txt", "db"]) == 0
        ((_, datum),) = rows()
        with open("in/0.jpeg", "rb") as file:
            assert datum.data == file.read()
        assert datum.encoded

    def test_jpeg_is_jpg(self):
        write((4, 5, 3), kind="jpeg")
        assert main(["-encode_type", "jpg", "in/", "list.txt", "db"]) == 0
        with open("in/0.jpeg", "rb") as file:
            assert rows()[0][1].data == file.read()

    @pytest.mark.parametrize("extra", [[], ["-resize_width=6", "-resize_height=7"]])
    def test_an_encoding_may_be_asked_for(self, capsys, extra):
        write((4, 5, 3), kind="bmp")
        assert main(["-encode_type", "png", *extra, "in/", "list.txt", "db"]) == 0
        assert "encode_type specified, assuming encoded=true." in lines(capsys)
        ((_, datum),) = rows()
        want = cv2.imread("in/0.bmp")
        want = cv2.resize(want, (6, 7)) if extra else want
        found = cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, want)
        np.testing.assert_array_equal(image_of(datum), want.transpose(2, 0, 1))

    def test_a_name_without_an_ending_says_no_encoding(self, folder, capsys):
        write((4, 5, 3))
        (folder / "in" / "0.png").rename(folder / "in" / "image")
        (folder / "list.txt").write_text("image 1\n")
        assert main(["-encoded", "in/", "list.txt", "db"]) == 1
        err = capsys.readouterr().err
        assert "Failed to guess the encoding of 'image'" in err
        assert err.splitlines()[-1].startswith(
            "convert_imageset: encoding 'image' is unknown: expected one of "
        )
        assert not (folder / "db").exists()

    def test_shuffles(self, capsys):
        write(*[(1, 1, 3)] * 30)
        assert main(["-shuffle", "in/", "list.txt", "db"]) == 0
        labels = [datum.label for _, datum in rows()]
        assert labels != sorted(labels)
        assert sorted(labels) == [10 * i for i in range(30)]
        assert lines(capsys)[0] == "Shuffling data"

    def test_images_that_can_not_be_read_are_left_out_and_named(self, folder, capsys):
        write((4, 5, 3), (4, 5, 3), (4, 5, 3))
        (folder / "in" / "0.png").unlink()
        (folder / "in" / "1.png").write_text("text")
        assert main(["in/", "list.txt", "db"]) == 0
        assert [key for key, _ in rows()] == ["00000002_2.png"]
        found = lines(capsys)
        assert found[2].startswith("Could not open or find file in/0.png")
        assert found[3].startswith("Could not open or find file in/1.png")

    def test_tells_how_far_it_is(self, capsys, monkeypatch):
        monkeypatch.setattr("caffe.cli.convert_imageset.AT_ONCE", 2)
        write(*[(1, 1, 3)] * 5)
        assert main(["in/", "list.txt", "db"]) == 0
        counts = [line for line in lines(capsys) if line.startswith("Processed")]
        assert counts == [f"Processed {count} files." for count in (2, 4, 5)]
        assert len(rows()) == 5

    def test_checks_sizes_when_asked_to(self, folder, capsys):
        write((4, 5, 3), (5, 4, 3), (4, 4, 3))
        assert main(["-check_size", "in/", "list.txt", "db"]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        text = "in/2.png: Incorrect data field size 48; expected 60"
        assert last.startswith(f"convert_imageset: {text}")
        assert not (folder / "db").exists()

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["in/", "list.txt"], "2 arguments; expected ROOTFOLDER/ LISTFILE DB"),
            (["in/", "no.txt", "db"], "no.txt: No such file or directory"),
            (["in/", "list.txt", "in"], "in: is there already"),
            (["no/", "list.txt", "db"], "list.txt: none of its 1 images could be read"),
            (["in/", "list.txt", "db", "-backend=x"], "Unknown database backend 'x'"),
            (["in/", "list.txt", "db", "-resize_width=x"], "illegal value 'x'"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, folder, capsys, arguments, text):
        write((4, 5, 3))
        assert main(arguments) == 1
        assert (
            capsys.readouterr()
            .err.splitlines()[-1]
            .startswith(f"convert_imageset: {text}")
        )
        assert sorted(path.name for path in folder.iterdir()) == ["in", "list.txt"]

    def test_version(self, capsys):
        assert main(["-version"]) == 0
        assert capsys.readouterr().out == "caffe version 1.0.0\n"

    def test_a_data_layer_reads_what_it_wrote(self, folder):
        write(*[(4, 5, 3)] * 3)
        assert main(["in/", "list.txt", "db"]) == 0
        (folder / "net.prototxt").write_text(
            'layer { name: "d" type: "Data" top: "data" top: "label" '
            'data_param { source: "db" backend: LMDB batch_size: 2 } }'
        )
        out = caffe.Net("net.prototxt", caffe.TEST).forward()
        assert out["label"].tolist() == [0, 10]
        for i in range(2):
            want = cv2.imread(f"in/{i}.png").transpose(2, 0, 1)
            np.testing.assert_array_equal(out["data"][i], want)

"""Images and boxes become a database."""

import cv2
import numpy as np
import pytest

from caffe.cli.convert_annoset import main
from caffe.engine.sources.databases import open_database
from caffe.proto import caffe_pb2

VOC = """<annotation><size><width>40</width><height>20</height><depth>3</depth></size>
{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>
<xmin>4</xmin><ymin>5</ymin><xmax>20</xmax><ymax>15</ymax></bndbox></object>"""
LABELS = """
item { name: "none_of_the_above" label: 0 display_name: "background" }
item { name: "cat" label: 1 display_name: "cat" }
item { name: "dog" label: 2 display_name: "dog" }
"""
FLAGS = ["-anno_type=detection", "-label_map_file=map.prototxt"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (20, 40, 3), np.uint8)
    for name in ("a", "b"):
        cv2.imwrite(f"in/{name}.png", picture)
    animals = (("dog", 0), ("cat", 1), ("dog", 0))
    objects = "".join(OBJECT.format(name=n, difficult=d) for n, d in animals)
    (tmp_path / "in" / "a.xml").write_text(VOC.format(objects=objects))
    (tmp_path / "in" / "a.txt").write_text("2 4 5 20 15\n\n1 0 0 40 20\n")
    (tmp_path / "list.txt").write_text("a.png a.xml\nb.png missing.xml\n")
    (tmp_path / "map.prototxt").write_text(LABELS)
    return picture


def rows():
    database = open_database("lmdb", "db", lambda *line: None)
    return [
        (key.decode(), caffe_pb2.AnnotatedDatum.FromString(value()))
        for key, value in database.records()
    ]


def boxes(datum):
    return [
        (group.group_label, one.instance_id, one.bbox.difficult)
        for group in datum.annotation_group
        for one in group.annotation
    ]


def test_boxes_of_voc_are_told_in_parts_of_the_image(folder, capsys):
    assert main([*FLAGS, "in/", "list.txt", "db"]) == 0
    (key, first), (_, second) = rows()
    assert key == "00000000_a.png"
    assert first.datum.data == folder.transpose(2, 0, 1).tobytes()
    assert (first.datum.label, first.type) == (-1, caffe_pb2.AnnotatedDatum.BBOX)
    assert boxes(first) == [(2, 0, False), (2, 1, False), (1, 0, True)]
    box = first.annotation_group[0].annotation[0].bbox
    corners = box.xmin, box.ymin, box.xmax, box.ymax
    assert corners == pytest.approx((0.1, 0.25, 0.5, 0.75))
    assert boxes(second) == []  # its annotation is not there
    shown = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert shown[0] == "A total of 2 images."
    assert shown[-1] == "Processed 2 files."


def test_boxes_of_text_files_and_images_of_another_size():
    flags = ["-anno_type=detection", "-label_type=txt", "-resize_width=8"]
    with open("list.txt", "w") as file:
        file.write("a.png a.txt\n")
    assert main([*flags, "-resize_height=4", "in/", "list.txt", "db"]) == 0
    [(_, datum)] = rows()
    assert (datum.datum.height, datum.datum.width) == (4, 8)
    assert boxes(datum) == [(2, 0, False), (1, 0, False)]
    box = datum.annotation_group[0].annotation[0].bbox
    assert (box.xmin, box.ymax) == pytest.approx((0.1, 0.75))


@pytest.mark.parametrize(
    ("flags", "size"),
    [(["-min_dim=30"], (30, 60)), (["-min_dim=30", "-max_dim=50"], (25, 50))],
)
def test_images_are_made_as_large_as_asked(flags, size):
    assert main([*FLAGS, *flags, "in/", "list.txt", "db"]) == 0
    datum = rows()[0][1].datum
    assert (datum.height, datum.width) == size


def test_labels_of_images():
    with open("list.txt", "w") as file:
        file.write("a.png 7\n")
    assert main(["in/", "list.txt", "db", "-encoded"]) == 0
    [(_, datum)] = rows()
    assert datum.datum.label == 7
    assert datum.datum.encoded
    assert not datum.HasField("type")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            ["-anno_type=boxes"],
            "-anno_type boxes: expected classification or detection",
        ),
        (["-anno_type=detection"], "-label_map_file is not given"),
        (["-anno_type=detection", "-label_type=json"], "expected xml or txt"),
        ([], "label 'a.xml': expected a whole number"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(flags, complaint, capsys):
    assert main([*flags, "in/", "list.txt", "db"]) == 1
    assert complaint in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("in/a.xml", "<annotation>", "is no annotation of Pascal VOC"),
        ("in/a.xml", "<annotation/>", "has no 'size/width'"),
        (
            "in/a.xml",
            VOC.format(objects=OBJECT.format(name="cow", difficult=0)),
            "'cow'",
        ),
        ("map.prototxt", LABELS + 'item { name: "dog" label: 5 }', "'dog' of label 5"),
        ("list.txt", "a.png\n", "line 1"),
    ],
)
def test_broken_files_are_named(name, text, complaint, capsys):
    with open(name, "w") as file:
        file.write(text)
    assert main([*FLAGS, "in/", "list.txt", "db"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert name in last
    assert complaint in last

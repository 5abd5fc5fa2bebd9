import subprocess
import sys

import pytest

from pyunet_fiji.doctor import imagej
from tests.support.fiji_programs import levels, only

NEITHER = {"caffe_unet": "caffe_unet", "caffe": "caffe"}


def write(tmp_path, *lines):
    path = tmp_path / "IJ_Prefs.txt"
    path.write_text("# ImageJ 1.53t Preferences\n" + "\n".join(lines) + "\n")
    return path


def test_without_preferences_the_plugin_calls_the_bare_names(tmp_path):
    assert imagej.typed(imagej.read(tmp_path / "none.txt")) == NEITHER


def test_caffe_is_looked_for_beside_caffe_unet(tmp_path):
    path = write(tmp_path, ".unet.caffe_unetBinary=/opt/u-net/bin/caffe_unet")
    assert imagej.typed(imagej.read(path))["caffe"] == "/opt/u-net/bin/caffe"


def test_an_empty_value_is_the_default(tmp_path):
    path = write(tmp_path, ".unet.caffe_unetBinary=", "unet.caffeBinary=")
    assert imagej.typed(imagej.read(path)) == NEITHER
    assert list(imagej.check(path, imagej.read(path))) == []


def test_java_writes_backslashes_twice(tmp_path):
    path = write(tmp_path, r".unet.caffe_unetBinary=C\:\\unet\\caffe_unet.exe")
    prefs = imagej.read(path)
    assert prefs["unet.caffe_unetBinary"] == r"C:\unet\caffe_unet.exe"
    assert levels(imagej.check(path, prefs), "ok") == [
        r"ImageJ remembers unet.caffe_unetBinary=C:\unet\caffe_unet.exe"
    ]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("unet.caffeBinary", "caffe_unet", "which is caffe_unet, not caffe"),
        ("unet.caffe_unetBinary", "/bin/caffe.bin", "which is caffe, not caffe_unet"),
    ],
)
def test_a_program_at_the_place_of_the_other_is_a_problem(tmp_path, key, value, said):
    path = write(tmp_path, f".{key}={value}", ".other=1")
    found = only(imagej.check(path, imagej.read(path)), "problem")
    assert said in found.what
    command = found.mend.removeprefix("close Fiji, then: ")
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert imagej.typed(imagej.read(path)) == NEITHER
    assert ".other=1" in path.read_text()


@pytest.mark.parametrize(
    ("system", "folder"),
    [("linux", ".imagej"), ("win32", ".imagej"), ("darwin", "Library/Preferences")],
)
def test_preferences_lie_where_imagej_keeps_them(home, monkeypatch, system, folder):
    monkeypatch.setattr(sys, "platform", system)
    assert imagej.prefs_file() == home / folder / "IJ_Prefs.txt"

"""Snapshots that the plugin writes under one name and reads under another."""

import h5py
import pytest

from pyunet.cli import main
from pyunet.errors import DataError
from pyunet_fiji.doctor import snapshots


def snapshot(path, write):
    with h5py.File(path, "w") as file:
        file["commandLine"] = "caffe train -solver s -snapshot x"
        write(file)
    return path


def as_attribute(file):
    file.attrs["HostConfiguration"] = "me@gpu:22"


def as_dataset(file):
    file["HostConfiguration"] = "me@gpu:22"


def as_group(file):
    file.create_group("HostConfiguration").attrs["hostname"] = "gpu"


def content(path, name):
    with h5py.File(path) as file:
        if name in file.attrs:
            return file.attrs[name]
        found = file[name]
        return dict(found.attrs) if isinstance(found, h5py.Group) else found[()]


@pytest.mark.parametrize("write", [as_attribute, as_dataset, as_group])
def test_the_settings_are_also_there_under_the_name_that_is_read(tmp_path, write):
    path = snapshot(tmp_path / "s.h5", write)
    assert snapshots.mend(path)
    found = content(path, "Hostconfiguration")
    assert found == content(path, "HostConfiguration")
    assert content(path, "commandLine") == b"caffe train -solver s -snapshot x"
    assert not snapshots.mend(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.h5"]


def test_a_file_without_the_settings_is_left_as_it_is(tmp_path):
    path = snapshot(tmp_path / "s.h5", lambda file: None)
    before = path.read_bytes()
    with pytest.raises(DataError, match="has no HostConfiguration"):
        snapshots.mend(path)
    assert path.read_bytes() == before


def test_the_verb_mends_and_says_so(tmp_path, capsys):
    path = snapshot(tmp_path / "s.h5", as_attribute)
    assert main(["doctor", "--mend", str(path)]) == 0
    assert "mended" in capsys.readouterr().out
    assert content(path, "Hostconfiguration") == "me@gpu:22"
    assert main(["doctor", "--mend", str(path)]) == 0
    assert "needed no mending" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "no HDF5"])
def test_what_is_no_snapshot_is_refused_in_a_line(tmp_path, text, capsys):
    path = tmp_path / "s.h5"
    if text:
        path.write_text(text)
    assert main(["doctor", "--mend", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "expected a snapshot of the plugin" in said

"""Models are found by file, folder and name."""

import pytest

from pyunet.errors import DataError
from pyunet.zoo import finding as zoo


def test_a_folder_gives_its_deploy_file(tmp_path):
    (tmp_path / "deploy.prototxt").touch()
    assert zoo.find_model(tmp_path) == tmp_path / "deploy.prototxt"


def test_a_file_is_taken_whatever_its_name(tmp_path):
    path = tmp_path / "net.prototxt"
    path.touch()
    assert zoo.find_model(str(path)) == path


def test_a_name_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = zoo.find_model("unet_isbi2012")
    assert path.is_file()
    assert path.parts[-2:] == ("unet_isbi2012", "deploy.prototxt")


def test_the_packaged_model_goes_before_that_of_the_clone(tmp_path, monkeypatch):
    package = tmp_path / "pyunet"
    for folder in (package / "_prototxt" / "a", tmp_path / "prototxt" / "a"):
        folder.mkdir(parents=True)
        (folder / "deploy.prototxt").touch()
    (tmp_path / "prototxt" / "b").mkdir()
    (tmp_path / "prototxt" / "b" / "deploy.prototxt").touch()
    monkeypatch.setattr(zoo.resources, "files", lambda _: package)
    assert zoo.find_model("a") == package / "_prototxt" / "a" / "deploy.prototxt"
    assert zoo.model_names() == ["a", "b"]


def test_a_folder_without_a_deploy_file_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: the folder has no deploy"):
        zoo.find_model(tmp_path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"nonesuch: no such file.*unet_isbi2012"):
        zoo.find_model("nonesuch")


def test_a_path_is_not_looked_up_among_the_names():
    with pytest.raises(DataError, match="no such file"):
        zoo.find_model("missing/unet_isbi2012")


def test_a_definition_is_found_by_file_folder_and_name(tmp_path, monkeypatch):
    folder = tmp_path / "pyunet" / "_prototxt" / "cells"
    folder.mkdir(parents=True)
    path = folder / "cells.modeldef.h5"
    path.touch()
    monkeypatch.setattr(zoo.resources, "files", lambda _: tmp_path / "pyunet")
    for model in (path, folder, "cells", "cells.modeldef.h5"):
        assert zoo.find_file(model, ".modeldef.h5") == path
    assert zoo.find_model("cells.modeldef.h5") == path
    assert zoo.model_names() == []
    with pytest.raises(DataError, match=r"none: no such file.*\.modeldef\.h5: cells$"):
        zoo.find_file("none", ".modeldef.h5")


@pytest.mark.parametrize(("names", "said"), [((), "none"), (("a", "b"), "a.*, b.*")])
def test_a_folder_with_none_or_several_definitions_is_refused(tmp_path, names, said):
    for name in names:
        (tmp_path / f"{name}.modeldef.h5").touch()
    with pytest.raises(DataError, match=f"expected one file .*, got {said}"):
        zoo.find_file(tmp_path, ".modeldef.h5")

import pytest

from pyunet_fiji.cli.doctor import FAMILIES as TYPED
from pyunet_fiji.doctor import FAMILIES, Request, examination, examine, machine
from pyunet_fiji.doctor.findings import ok
from pyunet_fiji.modeldef import write_modeldef
from tests.support import modeldefs
from tests.support.fiji_programs import SSH, healthy, levels, ours, write


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(machine, "check", lambda: iter([ok("machine")]))


@pytest.fixture
def set_up(programs_folder, home):
    """A computer that is set up as docs/fiji.md says."""
    line = f'export PATH="{programs_folder}:$PATH"\n'
    (home / ".bashrc").write_text(line)
    (home / ".profile").write_text(line)
    return programs_folder


def test_a_computer_that_is_set_up_has_no_problem_and_no_warning(set_up):
    found = list(examine(Request()))
    assert {f.level for f in found} == {"ok"}, found
    places = ("in this terminal", "started by a double click", "over SSH to this")
    for place in places:
        assert any(f"caffe_unet {place}" in f.what or f"caffe_unet with Fiji {place}"
                   in f.what for f in found)  # fmt: skip


def test_only_the_families_that_are_asked_for_are_checked(set_up):
    assert [f.what for f in examine(Request(only=("machine",)))] == ["machine"]
    assert TYPED == FAMILIES


def test_what_matters_over_ssh_only_is_a_warning_at_the_computer(set_up, home):
    (home / ".bashrc").write_text("echo hello\n")
    found = list(examine(Request(only=("ssh",))))
    assert levels(found, "problem") == []
    assert len(levels(found, "warning")) == 3


def test_it_is_a_problem_for_who_came_over_ssh(set_up, home, monkeypatch):
    (home / ".bashrc").write_text("echo hello\n")
    monkeypatch.setenv("SSH_CONNECTION", "::1 1 ::1 22")
    assert len(levels(examine(Request(only=("ssh",))), "problem")) == 3
    found = list(examine(Request(only=("programs",))))
    assert not any("double click" in f.what for f in found)


def test_what_the_preferences_say_is_what_is_called(set_up, home, tmp_path):
    other = healthy(tmp_path / "other")
    write(other / "caffe_unet", "exit 3")
    (home / ".imagej").mkdir()
    prefs = f".unet.caffe_unetBinary={other / 'caffe_unet'}\n"
    (home / ".imagej" / "IJ_Prefs.txt").write_text(prefs)
    found = list(examine(Request(only=("programs",))))
    assert any(f"{other}/caffe_unet ends with exit status 3" in what
               for what in levels(found, "problem"))  # fmt: skip


def test_on_windows_there_is_nothing_to_say_of_ssh(set_up, monkeypatch):
    monkeypatch.setattr(examination, "ssh_here", lambda: None)
    monkeypatch.setattr(examination, "desktop", lambda: None)
    assert list(examine(Request(only=("ssh",)))) == []
    assert levels(examine(Request(only=("programs",))), "problem") == []


def test_another_computer_is_checked_instead_of_this_one(set_up, home, tmp_path):
    write(tmp_path / "bin" / "ssh", SSH)
    found = list(examine(Request(host="me@host")))
    assert levels(found, "problem") == []
    assert all("me@host" in f.what or "on me@host" in f.what for f in found)


def test_a_model_and_weights_are_asked_about(set_up, tmp_path):
    model = tmp_path / "m.modeldef.h5"
    write_modeldef(model, modeldefs.threshold())
    weights = str(modeldefs.threshold_weights(tmp_path / "w.caffemodel.h5"))

    def check(**options):
        return list(examine(Request(only=("model",), model=model, **options)))

    assert levels(check(), "problem") == []
    found = check(weights=weights)
    assert found[-1].what.endswith("fit together, says caffe_unet")
    write(set_up / "caffe_unet", ours("caffe_unet", "exit 134"))
    assert len(levels(check(weights=weights, channels=2), "problem")) == 2
    (only,) = check(weights=str(model))
    assert "is a model definition" in only.what
    assert list(examine(Request(only=("model",)))) == []


def test_called_by_its_whole_path_it_says_what_to_give_the_dialog(
    home, tmp_path, monkeypatch
):
    away = healthy(tmp_path / "away")
    monkeypatch.setattr(examination.mending, "scripts", lambda: away)
    monkeypatch.setattr(examination, "desktop", lambda: None)
    found = list(examine(Request(only=("programs",))))
    assert levels(found, "problem") == []
    (said,) = [f for f in found if f.level == "warning"]
    assert said.mend == f"give the plugin's dialog the path {away / 'caffe_unet'}"
    for name in ("caffe_unet", "caffe"):
        assert any(f"{away / name}, " in f.what and f.level == "ok" for f in found)

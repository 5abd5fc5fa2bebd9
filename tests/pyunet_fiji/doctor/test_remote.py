import pytest

from pyunet_fiji.doctor import remote
from pyunet_fiji.doctor.models import Question
from pyunet_fiji.modeldef import write_modeldef
from tests.support import modeldefs
from tests.support.fiji_programs import SCP, SSH, healthy, levels, only, ours, write

NAMES = {"caffe_unet": "caffe_unet", "caffe": "caffe"}


@pytest.fixture
def host(home, tmp_path):
    """A computer that ssh and scp reach, with both programs and pyunet."""
    write(tmp_path / "bin" / "ssh", SSH)
    write(tmp_path / "bin" / "scp", SCP)
    healthy(tmp_path / "there")
    write(tmp_path / "there" / "pyunet", 'echo "ok       torch 2.9, $*"')
    (home / ".bashrc").write_text(f"export PATH={tmp_path / 'there'}:$PATH\n")
    (home / "jobs").mkdir()
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ecdsa").write_text("-----BEGIN EC PRIVATE KEY-----\n")
    return tmp_path / "there"


def check(**options):
    return list(remote.check("me@host", NAMES, **options))


def test_a_computer_with_all_in_place_is_fine(host):
    found = check(folder="jobs")
    assert [f.level for f in found] == ["ok"] * 6
    assert found[0].what.startswith("the first line of a command on me@host")
    assert "gets into me@host with " in found[1].what
    assert f"{host}/caffe_unet, of pyunet, answers" in found[2].what
    assert "process folder jobs on me@host: " in found[4].what
    assert found[5].what == "me@host: torch 2.9, doctor --only machine"


def test_what_is_not_on_the_path_over_ssh_is_a_problem(host, home):
    (home / ".bashrc").write_text("")
    said = levels(check(), "problem")
    assert said == ["caffe_unet on me@host: not found", "caffe on me@host: not found"]


def test_a_computer_that_greets_is_a_problem(host, home):
    text = (home / ".bashrc").read_text()
    (home / ".bashrc").write_text(text + "echo 'Welcome!'\n")
    assert "print 'Welcome!'" in only(check(), "problem").what


def test_a_computer_that_cannot_be_reached_is_all_that_is_said(host, tmp_path):
    write(tmp_path / "bin" / "ssh", "echo 'Connection refused' >&2; exit 255")
    (found,) = check()
    assert "cannot be reached without a password: Connection refused" in found.what


@pytest.mark.parametrize(
    ("folder", "said"),
    [("none", "there is none"), ("my jobs", "its path has a blank")],
)
def test_a_process_folder_that_cannot_serve_is_a_problem(host, home, folder, said):
    if " " in folder:
        (home / folder).mkdir()
    assert said in only(check(folder=folder), "problem").what


def test_a_process_folder_that_cannot_be_written_is_a_problem(host):
    assert "cannot be written" in only(check(folder="/proc"), "problem").what


def test_the_home_folder_is_the_default(host):
    assert any("process folder HOME" in f.what for f in check())


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ("Filesystem 1024-blocks Used Available Capacity Mounted\n"
         "/dev/sda1 1000000000 1 999999999 1% /home", "ok"),
        ("/dev/sda1 1000000000 1 1000 99% /home", "problem"),
        ("strange", "warning"),
    ],
)  # fmt: skip
def test_free_disk_is_read_from_df(table, level):
    assert remote._room(table, "folder").level == level


def test_a_failing_df_is_told(host, monkeypatch):
    monkeypatch.setattr(remote, "_FOLDER", "echo df: broken >&2; exit 1")
    assert only(check(), "problem").what.endswith("df: broken")


def test_a_computer_without_pyunet_beside_is_a_warning(host):
    (host / "pyunet").unlink()
    assert "there is no pyunet beside" in only(check(), "warning").what


@pytest.fixture
def question(tmp_path):
    write_modeldef(tmp_path / "m.modeldef.h5", modeldefs.threshold())
    return Question(tmp_path / "m.modeldef.h5", "weights/w.h5", gpu="0")


def test_a_model_is_copied_asked_for_and_removed(host, home, question):
    more = 'echo "$@" > said; [ -s "$3" ]'
    write(host / "caffe_unet", ours("caffe_unet", more))
    found = check(folder="jobs/", question=question)
    assert found[-1].level == "ok"
    assert "weights/w.h5 on me@host fit together" in found[-1].what
    said = (home / "said").read_text().split()
    assert said[:2] == ["check_model_and_weights_h5", "-model"]
    assert said[2].startswith("jobs/unet-doctor-")
    assert said[3:] == ["-weights", "weights/w.h5", "-n_channels", "1", "-gpu", "0"]
    assert list((home / "jobs").iterdir()) == []


def test_weights_that_are_missing_there_are_a_problem(host, question):
    text = 'echo "F1122 x] Could not open weights/w.h5" >&2; exit 134'
    write(host / "caffe_unet", ours("caffe_unet", text))
    found = only(check(question=question), "problem")
    assert "refuses them: Could not open weights/w.h5" in found.what


def test_a_model_that_cannot_be_copied_is_a_problem(host, question, tmp_path):
    write(tmp_path / "bin" / "scp", "echo 'subsystem request failed' >&2; exit 255")
    found = only(check(question=question), "problem")
    assert found.what.endswith("subsystem request failed")

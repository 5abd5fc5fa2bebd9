import sys

import pytest

from pyunet_fiji.doctor import mending, places
from pyunet_fiji.doctor.places import Place, desktop, ssh, ssh_here, terminal
from tests.support.fiji_programs import healthy


@pytest.fixture
def installed(home, tmp_path, monkeypatch):
    folder = healthy(tmp_path / "mine")
    monkeypatch.setattr(mending, "scripts", lambda: folder)
    return folder


def test_without_the_programs_they_are_installed_first(home, monkeypatch):
    monkeypatch.setattr(mending, "scripts", lambda: home)
    assert mending.ours_first(terminal()).endswith("pip install .")


def test_a_terminal_gets_the_folder_for_itself(installed):
    assert mending.ours_first(terminal()) == (
        f'export PATH="{installed}:$PATH"    (and start Fiji from the same terminal)'
    )


def test_the_desktop_of_linux_reads_the_profile(installed, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert "~/.profile" in mending.ours_first(desktop())


def test_the_desktop_of_a_mac_needs_the_whole_path_in_the_dialog(
    installed, monkeypatch
):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert mending.ours_first(desktop()) == (
        f"give the plugin's dialog the path {installed}/caffe_unet"
    )


def test_windows_needs_the_whole_path_in_the_dialog(installed, monkeypatch):
    monkeypatch.setattr(places, "WINDOWS", True)
    assert mending.ours_first(terminal()).endswith("caffe_unet.exe")


@pytest.mark.parametrize(
    ("shell", "said"),
    [("bash", "~/.bashrc"), ("zsh", "~/.zshenv"), ("dash", "/usr/local/bin/")],
)
def test_each_login_shell_has_its_own_file(installed, shell, said):
    assert mending.ours_first(ssh_here(f"/bin/{shell}")).endswith(said)


def test_another_computer_is_mended_there(installed):
    assert mending.ours_first(ssh("me@host")).startswith("ssh me@host, there ")


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("/bin/sh: 1: exec: /opt/caffe: Permission denied", "chmod +x /opt/caffe"),
        ("caffe: Permission denied", "chmod +x FILE"),
        ("OSError: Exec format error", "export PATH="),
        ("/a/caffe: bad interpreter: /b/python", "in the folder of pyunet's source"),
        ("Segmentation fault", "export PATH="),
    ],
)
def test_what_a_program_said_tells_what_mends_it(installed, stderr, said):
    place = Place("here")
    assert mending.bare_call_failed(stderr, place).startswith(said)

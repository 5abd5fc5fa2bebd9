import pytest

from pyunet_fiji.doctor import places
from tests.support import fiji_programs


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and an environment as after logging in at the computer."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("SSH_CONNECTION", "PYTHONPATH", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "login_shell", lambda: "/bin/bash")
    monkeypatch.setattr(places, "SSHD_PATH", "/usr/bin:/bin")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def programs_folder(home, tmp_path):
    """A folder on PATH with both programs."""
    return fiji_programs.healthy(tmp_path / "bin")

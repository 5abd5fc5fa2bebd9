import os
import signal
import sys

import pytest

from pyunet_fiji.doctor import places
from pyunet_fiji.doctor.places import Place, desktop, ssh, ssh_here, terminal
from tests.support import fiji_programs


def test_a_program_gets_an_input_that_is_open_and_empty(home):
    code = (
        "import select, sys; print(select.select([sys.stdin], [], [], 0.05)[0] == [])"
    )
    assert terminal().run(sys.executable, "-c", code).stdout == "True\n"


def test_a_program_that_does_not_end_is_ended(home):
    answer = terminal().run("/bin/sh", "-c", "sleep 60; :", patience_s=0.2)
    assert answer.status is None
    assert answer.seconds >= 0.2


def test_the_status_is_negative_after_a_signal(home):
    answer = terminal().run("/bin/sh", "-c", "kill -2 $$")
    assert answer.status == -signal.SIGINT


def test_what_cannot_be_started_has_the_status_126(home):
    answer = terminal().run("no-such-program")
    assert answer.status == 126
    assert answer.last_line == "no-such-program: No such file or directory"


@pytest.mark.parametrize(
    ("words", "last"), [("echo a; echo b >&2", "b"), ("echo a", "a"), (":", "")]
)
def test_the_last_line_is_that_of_stderr_or_else_of_stdout(home, words, last):
    assert terminal().run("/bin/sh", "-c", words).last_line == last


def test_ssh_starts_the_login_shell_in_the_home_folder_with_little_environment(
    home, monkeypatch
):
    monkeypatch.setenv("SECRET", "x")
    answer = ssh_here().run_text('echo "$PWD|$SECRET|$PATH|$SHELL"')
    assert answer.stdout == f"{home}||/usr/bin:/bin|/bin/bash\n"


def test_bash_reads_its_file_over_ssh(home):
    (home / ".bashrc").write_text("export SEEN=yes\n")
    assert ssh_here().run_text("echo $SEEN").stdout == "yes\n"


def test_variables_of_all_sessions_come_from_the_systems_file(home, tmp_path):
    file = tmp_path / "environment"
    file.write_text('PATH="/opt/bin:/bin"\n# comment\nexport LANG=C\nno variable\n')
    env = places._minimal_env(file)
    assert (env["PATH"], env["LANG"]) == ("/opt/bin:/bin", "C")
    assert "# comment" not in env


def test_a_double_click_has_the_path_of_the_profile(home, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    (home / ".profile").write_text("echo welcome; PATH=/mine:$PATH\n")
    assert desktop().env["PATH"].startswith("/mine:")


def test_a_double_click_on_a_mac_has_a_short_path(home, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert desktop().env["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"


def test_on_windows_there_is_neither_a_desktop_of_its_own_nor_sshd(home, monkeypatch):
    monkeypatch.setattr(places, "WINDOWS", True)
    assert desktop() is None
    assert ssh_here() is None


def test_on_windows_only_exe_files_are_found(home, monkeypatch, tmp_path):
    fiji_programs.write(tmp_path / "bin" / "caffe.cmd", "")
    exe = fiji_programs.write(tmp_path / "bin" / "caffe.exe", "")
    place = Place("here", {"PATH": str(tmp_path / "bin")})
    monkeypatch.setattr(places.shutil, "which", lambda name, path: f"{path}/{name}")
    monkeypatch.setattr(places, "WINDOWS", True)
    assert place.which("caffe") == f"{exe.parent}/caffe.exe"
    assert place.which("caffe.exe") == f"{exe.parent}/caffe.exe"


def test_looking_gives_path_and_beginning_in_either_kind_of_place(programs_folder):
    path, head = terminal().look("caffe")
    assert path == str(programs_folder / "caffe")
    assert head.startswith("#!/bin/sh\n# caffe.cli\n")
    (programs_folder.parent / "home" / ".bashrc").write_text(
        f"echo noise\nPATH={programs_folder}:$PATH\n"
    )
    assert ssh_here().look("caffe") == (path, head)
    assert ssh_here().look("no-such-program") is None
    assert terminal().look("no-such-program") is None


def test_another_computer_is_asked_without_a_password():
    assert ssh("me@host").shell[:3] == ("ssh", "-o", "BatchMode=yes")
    assert ssh("me@host").shell[-2:] == ("--", "me@host")


def test_the_login_shell_is_that_of_the_account(monkeypatch):
    import pwd

    assert places.login_shell() == (pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh")

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert places.login_shell() == "/bin/zsh"


def test_on_windows_programs_are_run_and_ended_by_other_means(home, monkeypatch):
    monkeypatch.setattr(places, "WINDOWS", True)
    assert terminal().run("/bin/sh", "-c", "echo a").stdout == "a\n"
    answer = terminal().run("/bin/sleep", "60", patience_s=0.1)
    assert answer.status is None

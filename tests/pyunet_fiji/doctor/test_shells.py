import pytest

from pyunet_fiji.doctor import places, shells
from pyunet_fiji.doctor.places import ssh, ssh_here
from tests.support.fiji_programs import SSH, write


def only(place):
    (found,) = shells.check(place)
    return found


def test_the_first_line_over_ssh_is_a_number(home):
    assert only(ssh_here()).level == "ok"


def test_a_file_of_bash_that_greets_is_a_problem(home):
    (home / ".bashrc").write_text("echo Welcome to gpu1\n")
    found = only(ssh_here())
    assert found.level == "problem"
    assert "print 'Welcome to gpu1' before anything else" in found.what
    assert found.mend.endswith("case $- in *i*) ;; *) return ;; esac")


def test_the_line_that_silences_bash_does_so(home):
    guard = only_mend(home)
    (home / ".bashrc").write_text(f"{guard}\necho Welcome\n")
    assert only(ssh_here()).level == "ok"


def only_mend(home):
    (home / ".bashrc").write_text("echo Welcome\n")
    return only(ssh_here()).mend.partition("prints it: ")[2]


def test_a_greeting_of_zsh_belongs_into_another_file(home, tmp_path):
    zsh = write(tmp_path / "zsh", 'echo hello; exec /bin/sh "$@"')
    assert only(ssh_here(str(zsh))).mend == (
        "move what prints it from ~/.zshenv to ~/.zshrc"
    )


def test_a_shell_that_knows_no_process_number_is_a_problem(home, tmp_path):
    fish = write(tmp_path / "fish", "echo 'fish: $$ is not the pid' >&2; exit 127")
    found = only(ssh_here(str(fish)))
    assert "does not know `echo $$ && exec`: fish: $$ is not the pid" in found.what
    assert found.mend == "chsh -s /bin/bash"


def test_a_shell_that_ends_silently_is_a_problem(home):
    assert "no answer" in only(ssh_here("/bin/false")).what


def test_a_shell_that_waits_is_a_problem(home, tmp_path, monkeypatch):
    monkeypatch.setattr(shells, "PATIENCE_S", 0.2)
    waits = write(tmp_path / "bash", "sleep 60")
    assert "does not end" in only(ssh_here(str(waits))).what


def test_another_computer_is_asked_by_ssh(home, tmp_path):
    write(tmp_path / "bin" / "ssh", SSH)
    assert only(ssh("me@host")).what.endswith("on me@host is its process number")


@pytest.mark.parametrize(
    ("text", "said", "mend"),
    [
        ("echo 'Permission denied.' >&2", "Permission denied.", "ssh-copy-id me@host"),
        (":", "no answer", "ssh me@host"),
    ],
)
def test_a_computer_that_cannot_be_reached_is_one_problem(
    home, tmp_path, text, said, mend
):
    write(tmp_path / "bin" / "ssh", f"{text}; exit 255")
    found = only(ssh("me@host"))
    assert found.what == f"me@host cannot be reached without a password: {said}"
    assert found.mend.startswith(mend)


def test_a_shell_of_another_computer_is_called_that(home, tmp_path):
    write(tmp_path / "bin" / "ssh", "exit 1")
    assert only(ssh("h")).what.startswith("the login shell on h does not know")


def test_patience_is_that_of_places():
    assert shells.PATIENCE_S == places.PATIENCE_S

import subprocess
import sys

import pytest

from pyunet_fiji.doctor import mending, programs
from pyunet_fiji.doctor.places import Answer, ssh_here, terminal
from tests.support.fiji_programs import healthy, levels, only, ours, write

NAMES = {"caffe_unet": "caffe_unet", "caffe": "caffe"}
BUILD = b"\x7fELF"


def check(place=None, **options):
    return list(programs.check(place or terminal(), NAMES, **options))


def test_two_programs_of_pyunet_are_fine(programs_folder):
    found = check(silent=True)
    assert [f.level for f in found] == ["ok"] * 3
    assert f"{programs_folder}/caffe_unet, of pyunet, answers in" in found[0].what
    assert found[2].what == "caffe train in this terminal leaves stdout empty"


def test_the_command_caffe_of_this_project_is_ours_and_silent(programs_folder):
    text = f"#!{sys.executable}\nimport sys\nfrom caffe.cli import main\n"
    (programs_folder / "caffe").write_text(text + "sys.exit(main())\n")
    assert [f.level for f in check(silent=True)] == ["ok"] * 3


def test_a_program_that_is_not_there_is_a_problem_with_the_line_that_mends_it(
    programs_folder, monkeypatch
):
    (programs_folder / "caffe_unet").unlink()
    monkeypatch.setattr(mending, "scripts", lambda: programs_folder.parent / "mine")
    write(programs_folder.parent / "mine" / "caffe_unet", ours("caffe_unet"))
    found = only(check(), "problem")
    assert found.what == "caffe_unet in this terminal: not found"
    mine = programs_folder.parent / "mine"
    assert found.mend.startswith(f'export PATH="{mine}:$PATH"')


def test_a_path_of_the_dialog_that_is_not_there_is_named(programs_folder):
    typed = {"caffe_unet": "/opt/old/caffe_unet", "caffe": "caffe"}
    found = only(list(programs.check(terminal(), typed)), "problem")
    assert found.what.endswith("not found as /opt/old/caffe_unet")
    assert "dialog" in found.mend


def test_a_bare_call_that_fails_is_a_problem(programs_folder):
    write(programs_folder / "caffe_unet", "echo broken >&2; exit 7")
    found = only(check(), "problem")
    assert found.what.endswith("ends with exit status 7: broken")


def test_a_program_that_waits_for_input_is_a_problem(programs_folder, monkeypatch):
    write(programs_folder / "caffe_unet", "cat")
    monkeypatch.setattr(programs, "PATIENCE_S", 0.3)
    found = only(check(), "problem")
    assert "does not end when called without arguments" in found.what


def test_a_slow_program_is_a_warning(programs_folder, monkeypatch):
    monkeypatch.setattr(programs, "SLOW_S", 0.0)
    assert "takes 0 s for a bare call" in only_first(check(), "warning")


def only_first(found, level):
    return levels(found, level)[0]


def test_a_plain_caffe_in_place_of_caffe_unet_is_a_problem(programs_folder):
    write(programs_folder / "caffe_unet", "echo usage: caffe: train test time")
    found = only(check(), "problem")
    assert "is another program: its usage text has no tiled_predict" in found.what


def test_a_program_without_usage_text_is_a_warning(programs_folder):
    write(programs_folder / "caffe_unet", "# pyunet_fiji.backend")
    assert "prints no usage text" in only(check(), "warning").what


def compiled(monkeypatch, folder, *names):
    """Let files with the signature of a compiled program answer."""
    for name in names:
        (folder / name).write_bytes(BUILD)
    run = programs.Place.run

    def answer(self, *words, **options):
        if words[0] in names:
            return Answer(0, "usage: train tiled_predict" * (len(words) == 1), "", 0.1)
        return run(self, *words, **options)

    monkeypatch.setattr(programs.Place, "run", answer)


def test_a_compiled_caffe_beside_our_caffe_unet_is_a_problem(
    programs_folder, monkeypatch
):
    compiled(monkeypatch, programs_folder, "caffe")
    found = check()
    assert "is a compiled Caffe" in only(found, "warning").what
    assert "finetuning would start the other Caffe" in only(found, "problem").what


def test_the_whole_old_backend_is_a_warning(programs_folder, monkeypatch):
    compiled(monkeypatch, programs_folder, "caffe", "caffe_unet")
    assert [f.level for f in check(silent=True)] == ["warning", "warning", "ok"]


def test_an_old_build_that_lacks_libraries_says_which(programs_folder):
    text = "error while loading shared libraries: libcudart.so.10.0: cannot open"
    write(programs_folder / "caffe_unet", f"echo '{text}' >&2; exit 127")
    assert "libcudart.so.10.0" in only(check(), "problem").what


def test_a_program_of_a_removed_environment_says_so(programs_folder):
    (programs_folder / "caffe_unet").write_text(
        "#!/gone/python\n# pyunet_fiji.backend\n"
    )
    found = only(check(), "problem")
    assert "No such file" in found.what
    assert "pip install --force-reinstall" in found.mend


def test_a_program_whose_packages_are_gone_says_so(programs_folder):
    said = "ModuleNotFoundError: No module named 'torch'"
    write(programs_folder / "caffe_unet", f'echo "{said}" >&2; exit 1')
    found = only(check(), "problem")
    assert said in found.what
    assert found.mend.startswith("unset PYTHONPATH; ")


def test_programs_of_two_installations_are_a_warning(programs_folder, home):
    other = healthy(home / "other")
    typed = {"caffe_unet": "caffe_unet", "caffe": str(other / "caffe")}
    found = only(list(programs.check(terminal(), typed)), "warning")
    assert "are of two installations" in found.what


def test_a_caffe_that_greets_on_stdout_is_a_problem(programs_folder):
    greeting = 'echo "Loading module cuda"; exec false'
    write(programs_folder / "caffe", ours("caffe", greeting))
    found = only(check(silent=True), "problem")
    assert "prints 'Loading module cuda' on its stdout" in found.what
    assert found.mend.endswith("print that on stderr: echo ... >&2")
    assert levels(check(), "problem") == []


def test_a_training_that_waits_though_its_files_are_missing_is_a_problem(
    programs_folder, monkeypatch
):
    write(programs_folder / "caffe", ours("caffe", "sleep 60"))
    monkeypatch.setattr(programs, "PATIENCE_S", 0.3)
    found = only(check(silent=True), "problem")
    assert "does not end although its solver file is not there" in found.what


def test_a_wrapper_is_looked_at(programs_folder):
    text = ours("caffe_unet", "apptainer exec caffe_unet").replace(
        "pyunet_fiji.backend", ""
    )
    write(programs_folder / "caffe_unet", text)
    found = check()
    assert "caffe_unet, a wrapper, answers" in found[0].what
    assert "without exec" in only(found, "warning").what


def test_the_line_for_bashrc_mends_what_ssh_does_not_find(
    programs_folder, home, monkeypatch
):
    monkeypatch.setattr(mending, "scripts", lambda: programs_folder)
    (home / ".bashrc").write_text("case $- in *i*) ;; *) return ;; esac\n")
    found = check(ssh_here())
    assert levels(found, "problem") == [
        "caffe_unet over SSH to this computer: not found",
        "caffe over SSH to this computer: not found",
    ]
    subprocess.run(["/bin/bash", "-c", found[0].mend], check=True)
    assert levels(check(ssh_here()), "problem") == []
    assert "esac" in (home / ".bashrc").read_text()


def test_the_level_of_what_is_missing_can_be_chosen(home):
    assert len(levels(check(missing="warning"), "warning")) == 2


@pytest.mark.parametrize("end", ["", ".exe"])
def test_on_windows_the_programs_of_this_python_are_ours(home, monkeypatch, end):
    monkeypatch.setattr(programs.sysconfig, "get_path", lambda _: str(home))
    kind = programs._kind("caffe", str(home / f"caffe{end}"), "MZ")
    assert kind == (programs.OURS if end else programs.COMPILED)

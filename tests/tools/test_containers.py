"""Container files and the scripts that let caffe and caffe_unet run inside."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pyunet_fiji.doctor import wrappers
from tests.support.fiji_programs import write

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "containers"
SCRIPTS = {"docker": "with_docker.sh", "apptainer": "with_apptainer.sh"}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


@pytest.fixture(params=SCRIPTS)
def program(request, tmp_path, monkeypatch):
    """caffe_unet as a link to a script; docker or apptainer writes its words."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("PYUNET_IMAGE", "PYUNET_FOLDERS", "APPTAINER", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYUNET_FOLDERS", "/data /scratch")
    text = 'for word; do printf "%s\\n" "$word"; done; exit ${STATUS:-0}'
    write(tmp_path / request.param, text)
    link = tmp_path / "caffe_unet"
    link.symlink_to(FOLDER / SCRIPTS[request.param])
    return link


def run(*words, cwd):
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_the_program_of_the_links_name_gets_all_words_as_they_are(program, tmp_path):
    given = ["tiled_predict", "-weights", "my weights.h5", "-n_tiles", "2x2"]
    status, words = run(program, *given, cwd=tmp_path)
    assert status == 0
    image = "pyunet" if "run" in words else f"{tmp_path}/home/pyunet.sif"
    assert words[words.index(image) + 1 :] == ["caffe_unet", *given]


def test_data_folders_have_the_same_path_inside(program, tmp_path):
    _, words = run(program, cwd=tmp_path)
    assert {"/data:/data", "/scratch:/scratch"} <= set(words)


def test_the_exit_status_is_the_programs(program, tmp_path, monkeypatch):
    monkeypatch.setenv("STATUS", "134")
    assert run(program, cwd=tmp_path)[0] == 134


def test_a_signal_reaches_the_container_program(program, tmp_path):
    kind = "docker" if "docker" in str(program.resolve()) else "apptainer"
    write(tmp_path / kind, "echo ready; exec sleep 60")
    with subprocess.Popen([program], stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_doctor_has_nothing_to_say_of_the_scripts(script):
    assert list(wrappers.check(script, (FOLDER / script).read_text(), "here")) == []


def test_docker_runs_where_it_is_called_and_as_who_calls_it(tmp_path, monkeypatch):
    write(tmp_path / "docker", 'printf "%s\\n" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    _, words = run(FOLDER / "with_docker.sh", cwd=tmp_path)
    assert words[:3] == ["run", "--rm", "--init"]
    assert f"{os.getuid()}:{os.getgid()}" in words
    assert words[words.index("--workdir") + 1] == str(tmp_path)
    assert f"{tmp_path}:{tmp_path}" in words
    assert "/:/" not in run(FOLDER / "with_docker.sh", cwd="/")[1]


def test_a_clusters_choice_of_gpus_is_handed_on(tmp_path, monkeypatch):
    write(tmp_path / "apptainer", 'printf "%s\\n" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    _, words = run(FOLDER / "with_apptainer.sh", cwd=tmp_path)
    assert words[:2] == ["exec", "--cleanenv"]
    assert "CUDA_VISIBLE_DEVICES=2,3" in words


@pytest.mark.parametrize("name", ["Dockerfile", "pyunet.def"])
def test_an_image_is_made_of_files_that_are_there(name):
    text = (FOLDER / name).read_text()
    if name == "Dockerfile":
        copied = " ".join(re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)).split()
        ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
        assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    else:
        copied = re.findall(r"^    (\S+) /src/", text, re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {"setup.py", *packages, "prototxt", "weights"} <= set(copied)
    assert all((ROOT / each).exists() for each in copied)

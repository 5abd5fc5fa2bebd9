"""What is installed: versions, import rules at run time, the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import pyunet

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("README.md", "deploy.prototxt", "solver.prototxt", "train.prototxt")
NETS = (
    "2d_cell_net_v0",
    "3dUnet_miccai2016_no_BN",
    "fcn8s",
    "ocr_hrnetv2_w48",
    "phseg_v5",
    "phseg_v5new6",
    "phseg_v7",
    "snemi_v6",
    "unet_cells",
    "unet_demo",
    "unet_isbi2012",
    "unet_isbi2012_narrow",
    "unet_isbi2012_online",
    "unet_vessels",
)
# what some nets bring besides: a model definition for the Fiji plugin, and its text
# where that is not train.prototxt; the script that wrote the prototxts
BESIDES = {
    "fcn8s": ("make.py",),
    "ocr_hrnetv2_w48": ("make.py",),
    "unet_vessels": ("retinal-vessels.toml",),
    "2d_cell_net_v0": ("2d_cell_net_v0.modeldef.h5",),
    "3dUnet_miccai2016_no_BN": ("3dUnet_miccai2016_no_BN.modeldef.h5",),
    "phseg_v5new6": ("phseg_v5new6.modeldef.h5", "finetune.prototxt"),
    "phseg_v7": ("phseg_v7.modeldef.h5", "finetune.prototxt"),
    "snemi_v6": ("snemi_v6.modeldef.h5",),
}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestVersion:
    def test_is_the_newest_of_the_changelog(self):
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
        assert newest is not None
        assert newest.group(1) == pyunet.__version__


class TestImports:
    @pytest.mark.parametrize(
        "module", ["caffe", "caffe.cli", "caffe.proto.caffe_pb2", "pyunet.cli"]
    )
    def test_do_not_load_torch(self, module):
        code = f"import sys, {module}; print('torch' in sys.modules)"
        assert run(sys.executable, "-c", code) == "False\n"


class TestConstraints:
    def test_pin_every_requirement(self):
        pinned = {
            line.partition("==")[0]
            for line in (ROOT / "constraints.txt").read_text().splitlines()
            if not line.startswith("#")
        }
        listed = re.findall(
            r'^ +"([a-z0-9-]+)[<>=0-9.]*",$', (ROOT / "setup.py").read_text(), re.M
        )
        assert {"torch", "numpy", "pytest", "ruff"} <= set(listed)
        assert set(listed) <= pinned


def built_wheel(folder: Path) -> Path:
    """Wheel of the source archive of a copy of this tree."""
    source = folder / "source"
    source.mkdir()
    packages = [path.parent.name for path in ROOT.glob("*/__init__.py")]
    for name in (*packages, "prototxt", "weights"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", cwd=source)
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = built_wheel(folder)
    venv.create(folder / "env", with_pip=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    programs = folder / "env" / "bin"
    run(programs / "python", "-m", "pip", "install", "--no-deps", wheel, cwd=folder)
    # what the wheel requires, without installing it again
    (site / "required.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.mark.skipif(os.name == "nt", reason="the environment's folders differ")
class TestWheel:
    def test_brings_both_commands(self, installed, tmp_path):
        assert "train" in run(installed / "caffe", cwd=tmp_path)
        assert "segment" in run(installed / "pyunet", "--help", cwd=tmp_path)

    def test_imports_come_from_the_wheel(self, installed, tmp_path):
        code = "import caffe, pyunet; print(caffe.__file__, pyunet.__file__)"
        files = run(installed / "python", "-c", code, cwd=tmp_path).split()
        assert all(str(installed.parent) in file for file in files)

    def test_brings_every_net_whole(self, installed, tmp_path):
        code = (
            "from importlib.resources import files; "
            "root = files('pyunet') / '_prototxt'; "
            "print(*sorted(f'{net.name}/{file.name}'"
            " for net in root.iterdir() for file in net.iterdir() if file.is_file()))"
        )
        found = run(installed / "python", "-c", code, cwd=tmp_path).split()
        assert found == sorted(
            f"{net}/{file}" for net in NETS for file in (*KINDS, *BESIDES.get(net, ()))
        )

    def test_brings_the_schema(self, installed, tmp_path):
        code = (
            "from caffe.proto import caffe_pb2; "
            "print(caffe_pb2.NetParameter(name='n').name)"
        )
        assert run(installed / "python", "-c", code, cwd=tmp_path) == "n\n"

    def test_brings_the_list_of_weights(self, installed, tmp_path):
        code = (
            "from importlib.resources import files; "
            "print((files('pyunet') / '_weights' / 'manifest.toml').is_file())"
        )
        assert run(installed / "python", "-c", code, cwd=tmp_path) == "True\n"

import builtins
import sys

import pytest

from pyunet_fiji.doctor import machine
from pyunet_fiji.doctor.places import Answer, Place
from tests.support.fiji_programs import levels, only, write

GIB = 2**30
CPU = {"torch": "2.9.0", "cuda": None, "hip": None, "threads": 2, "arch": [],
       "devices": []}  # fmt: skip
GPU = {"name": "Some GPU", "free": 20 * GIB, "total": 24 * GIB, "capability": 86}
CUDA = {**CPU, "cuda": "12.6", "arch": ["sm_80", "sm_90"], "devices": [GPU]}


@pytest.fixture
def look(home, monkeypatch):
    """Check a machine whose torch says what the test gives."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(home / "bin"))

    def use(said):
        monkeypatch.setattr(machine, "ask_torch", lambda: said)
        return list(machine.check())

    return use


def test_a_computer_without_gpu_has_no_problem(look):
    found = look(CPU)
    assert levels(found, "problem") == []
    assert "torch 2.9.0 (CPU only), 2 threads on the CPU" in levels(found, "ok")
    assert any("choose `none` for the GPU" in what for what in levels(found, "ok"))


def test_versions_are_said(look):
    import h5py

    said = levels(look(CPU), "ok")
    assert any(what.startswith("Python 3.") for what in said)
    assert f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}" in said


def test_a_gpu_is_said_with_its_memory(look):
    found = look(CUDA)
    assert "GPU 0: Some GPU, 20.0 of 24.0 GiB free" in levels(found, "ok")
    assert "torch 2.9.0 (CUDA 12.6), 2 threads on the CPU" in levels(found, "ok")


def test_a_gpu_that_others_fill_is_a_warning(look):
    found = look({**CUDA, "devices": [{**GPU, "free": GIB}]})
    assert "little for a net" in levels(found, "warning")[0]


def test_a_gpu_that_torch_is_not_built_for_is_a_problem(look):
    found = only(look({**CUDA, "devices": [{**GPU, "capability": 120}]}), "problem")
    assert "not built for it (sm_120)" in found.what
    assert "--upgrade torch" in found.mend


def test_a_build_for_later_gpus_too_is_fine(look):
    arch = [*CUDA["arch"], "compute_90"]
    found = look({**CUDA, "arch": arch, "devices": [{**GPU, "capability": 120}]})
    assert levels(found, "problem") == []


def test_a_build_for_amd_is_not_judged_by_numbers(look):
    found = look({**CUDA, "hip": "6.4", "arch": ["gfx90a"]})
    assert levels(found, "problem") == []
    assert any("ROCm 6.4" in what for what in levels(found, "ok"))


def test_a_gpu_that_does_not_answer_is_a_problem(look):
    device = {"name": "", "error": "CUDA error: busy"}
    found = only(look({**CUDA, "devices": [device]}), "problem")
    assert found.what == "GPU 0: CUDA error: busy"


def test_a_driver_beside_a_torch_for_cpus_is_a_problem(look, home):
    write(home / "bin" / "nvidia-smi", "")
    found = only(look(CPU), "problem")
    assert "this torch is a build for CPUs" in found.what
    assert "pip install --force-reinstall torch --index-url" in found.mend


def test_a_driver_too_old_for_torch_is_a_problem(look, home):
    write(home / "bin" / "nvidia-smi", "")
    found = only(look({**CUDA, "devices": []}), "problem")
    assert "torch for CUDA 12.6 sees no GPU" in found.what


def test_gpus_hidden_by_a_variable_are_a_warning(look, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "unset CUDA_VISIBLE_DEVICES" in [f.mend for f in look(CUDA | CPU)]


def test_a_torch_that_cannot_be_loaded_is_a_problem(look):
    found = only(look("OSError: libcudart.so.12: cannot open"), "problem")
    assert found.what == "torch cannot be used: OSError: libcudart.so.12: cannot open"


def test_libraries_of_an_old_caffe_are_a_warning(look, home, monkeypatch):
    (home / "lib").mkdir()
    (home / "lib" / "libcaffe.so.1.0.0").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{home}:{home / 'lib'}")
    (found,) = [f for f in look(CPU) if "LD_LIBRARY_PATH" in f.what]
    assert found.level == "warning"
    assert found.mend.startswith("unset LD_LIBRARY_PATH")


def test_a_foreign_caffe_on_pythonpath_is_a_problem(look, home, monkeypatch):
    (home / "python" / "caffe").mkdir(parents=True)
    (home / "python" / "caffe" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(home / "python"))
    assert "holds another caffe" in only(look(CPU), "problem").what


def test_our_own_caffe_on_pythonpath_is_fine(look, monkeypatch):
    from pathlib import Path

    import pyunet

    monkeypatch.setenv("PYTHONPATH", str(Path(pyunet.__file__).parents[1]))
    assert levels(look(CPU), "problem") == []


def test_little_memory_is_a_warning(look, monkeypatch):
    sizes = {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(machine.os, "sysconf", sizes.__getitem__)
    assert "4.0 GiB of memory: finetuning" in levels(look(CPU), "warning")[0]


def test_memory_is_left_out_where_the_system_does_not_tell(look, monkeypatch):
    monkeypatch.setattr(machine.os, "sysconf_names", {})
    assert not any("of memory" in finding.what for finding in look(CPU))


def test_a_newer_python_is_a_warning(look, monkeypatch):
    monkeypatch.setattr(machine.sys, "version_info", (3, 15, 0))
    assert "newer than 3.14" in levels(look(CPU), "warning")[0]


def test_an_h5py_that_cannot_be_loaded_is_a_problem(look, monkeypatch):
    load = builtins.__import__

    def refuse(name, *rest):
        if name == "h5py":
            raise ImportError("libhdf5.so: wrong version")
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "h5py cannot be used: libhdf5.so" in only(look(CPU), "problem").what


def test_torch_is_asked_in_a_process_of_its_own(home):
    import torch

    said = machine.ask_torch()
    assert said["torch"] == torch.__version__
    assert len(said["devices"]) == torch.cuda.device_count()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(1, "", "Traceback\nImportError: no", 0.1), "ImportError: no"),
        (Answer(-11, "", "", 0.1), "exit status -11"),
    ],
)
def test_a_process_that_dies_says_its_last_line(home, monkeypatch, answer, said):
    monkeypatch.setattr(Place, "run", lambda *_: answer)
    assert machine.ask_torch() == said


def test_this_python_is_asked(home, monkeypatch):
    asked = []
    monkeypatch.setattr(
        Place, "run", lambda _, *words: asked.append(words) or Answer(1, "", "", 0)
    )
    machine.ask_torch()
    assert asked[0][:2] == (sys.executable, "-c")

"""What a command loads before it is asked to work: nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyunet.cli import verb_names

HEAVY = {
    "google", "h5py", "matplotlib", "numpy", "onnx", "PIL", "scipy",
    "skimage", "tifffile", "torch", "tqdm",
}  # fmt: skip
UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"


def loaded(code, among):
    """Which of some modules a fresh interpreter has after a piece of code."""
    script = (
        "import sys, contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    {code}\n"
        "print(*{name for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "GLOG_minloglevel": "2"},
    )  # fmt: skip
    return set(done.stdout.split()) & set(among)


@pytest.mark.parametrize("verb", verb_names())
def test_the_help_of_a_verb_loads_nothing_heavy(verb):
    code = f"from pyunet.cli import main; main([{verb!r}, '--help'])"
    assert not loaded(code, HEAVY)


def test_the_help_of_pyunet_loads_nothing_heavy():
    assert not loaded("from pyunet.cli import main; main(['--help'])", HEAVY)


def test_the_help_of_caffe_loads_no_library():
    code = "from caffe.cli import main; main(['--help'])"
    assert not loaded(code, HEAVY)


def test_to_segment_an_image_needs_no_library_of_other_options(tmp_path):
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint8))
    words = [
        "segment", "--model", str(UNET), "--out", str(tmp_path / "out"),
        "--weights", str(UNET / "weights.caffemodel"), str(tmp_path / "a.tif"),
    ]  # fmt: skip
    others = {
        "pyunet.zoo.fetching", "pyunet_fiji.modeldef", "matplotlib", "onnx",
        "onnxruntime", "openvino", "scipy.sparse", "skimage",
    }  # fmt: skip
    code = f"from pyunet.cli import main; assert main({words!r}) == 0"
    assert not loaded(code, others)
    assert (tmp_path / "out" / "a_labels.tif").is_file()

"""The names that `import caffe` gives, and what it does not load."""

import subprocess
import sys

import pytest

import caffe


def loaded(code):
    """Whether torch is loaded after a piece of code in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


@pytest.mark.parametrize(
    "code",
    [
        "import caffe",
        "import caffe; caffe.proto",
        "from caffe.proto import caffe_pb2",
        "import caffe.cli",
        "import caffe; caffe.log('text')",
        "from caffe import layers, params, NetSpec",
    ],
)
def test_torch_is_not_loaded_by(code):
    assert not loaded(code)


def test_torch_is_loaded_with_the_net():
    assert loaded("import caffe; caffe.Net")


@pytest.mark.parametrize("name", caffe.__all__)
def test_every_public_name_is_there(name):
    assert getattr(caffe, name) is not None


def test_phases_are_the_numbers_of_caffe():
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = caffe.nothing


def test_layer_types_are_listed_by_their_caffe_names():
    assert {"Convolution", "SoftmaxWithLoss", "IoU"} <= set(caffe.layer_type_list())


@pytest.mark.slow
def test_torch_is_loaded_without_looking_for_garbage_which_goes_on_afterwards():
    code = (
        "import gc, caffe; seen = []\n"
        "gc.callbacks.append(lambda phase, info: seen.append('torch' in sys.modules))\n"
        "caffe.Net; gc.callbacks.clear(); assert gc.isenabled() and not any(seen)"
    )
    assert loaded(code)


@pytest.mark.slow
def test_garbage_that_nobody_looks_for_is_not_looked_for_afterwards():
    assert loaded(
        "import gc, caffe; gc.disable(); caffe.Net; assert not gc.isenabled()"
    )

"""What BVLC's own tests of `param_str` check, in our words."""

import pytest

import caffe

MODULE = "tests.support.python_layers"


def times(name, bottom, factor):
    return (
        f"layer {{ type: 'Python' name: '{name}' bottom: '{bottom}' top: '{name}' "
        f"python_param {{ module: '{MODULE}' layer: 'TimesParameter' "
        f"param_str: '{factor}' }} }}"
    )


def build(folder, *factors):
    names = ["data", *(f"by{factor}" for factor in factors)]
    layers = [
        times(name, bottom, factor)
        for bottom, name, factor in zip(names, names[1:], factors, strict=False)
    ]
    path = folder / "net.prototxt"
    path.write_text(
        "force_backward: true input: 'data' input_shape { dim: 10 dim: 9 dim: 8 }"
        + "".join(layers)
    )
    return caffe.Net(str(path), caffe.TRAIN)


def test_forward_multiplies_by_both(tmp_path):
    net = build(tmp_path, 10, 2)
    net.blobs["data"].data[...] = 8
    net.forward()
    assert (net.blobs["by2"].data == 160).all()


def test_backward_multiplies_by_both(tmp_path):
    net = build(tmp_path, 10, 2)
    net.blobs["by2"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 140).all()


def test_what_the_layer_raises_reaches_the_caller(tmp_path):
    with pytest.raises(ValueError, match="could not convert"):
        build(tmp_path, "ten")

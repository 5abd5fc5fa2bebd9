import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import CheckError, FileError
from caffe.export import build_module, module_source, write_module
from caffe.export.module import class_name
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net
from tests.support.exported import (
    FLAT,
    assert_same,
    filled,
    net_of,
    scores,
    small_net,
)

ALONE = """\
import sys
import numpy, torch
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("net", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
image = torch.from_numpy(numpy.load(sys.argv[2]))
with torch.no_grad():
    numpy.save(sys.argv[3], module.load()(image).numpy())
assert not {"caffe", "pyunet"} & set(sys.modules)
"""


def answer(net: caffe.Net) -> np.ndarray:
    inputs = [torch.from_numpy(net.blobs[n].data.copy()) for n in net.inputs]
    with torch.no_grad():
        return build_module(net)(*inputs).numpy()


@pytest.mark.parametrize("name", FLAT)
def test_u_nets_give_the_same_scores_and_labels(name):
    net = small_net(name)
    assert_same(answer(net), scores(net))


@pytest.mark.parametrize(
    ("name", "tile"),
    [("3dUnet_miccai2016_no_BN", (92, 92, 92)), ("snemi_v6", (44, 204, 204))],
)
def test_volumes_give_the_same_scores_and_labels(name, tile):
    net = small_net(name, tile)
    assert_same(answer(net), scores(net))


def test_the_written_module_stands_alone(tmp_path):
    net = small_net("unet_demo")
    write_module(net, tmp_path / "net.py", tmp_path / "net.pt")
    np.save(tmp_path / "image.npy", net.blobs["data"].data)
    paths = [tmp_path / name for name in ("net.py", "image.npy", "out.npy")]
    command = [sys.executable, "-I", "-W", "error", "-c", ALONE, *map(str, paths)]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert_same(np.load(tmp_path / "out.npy"), scores(net))


def test_the_module_reads_like_one_written_by_hand():
    source = module_source(small_net("unet_demo"))
    lines = [line.strip() for line in source.splitlines()]
    assert 'd1b = self["conv_d1a-b"](d1a)' in lines
    assert "d1a = F.max_pool2d(d0c, 2, 2, ceil_mode=True)" in lines
    assert max(map(len, lines)) <= 88
    assert "caffe." not in source


def test_sizes_are_free():
    net = small_net("unet_demo", (188, 188))
    module = build_module(net)
    net.blobs["data"].reshape(2, 1, 60, 92)
    net.reshape()
    image = np.random.default_rng(5).random((2, 1, 60, 92), np.float32)
    net.blobs["data"].data[...] = image
    with torch.no_grad():
        assert_same(module(torch.from_numpy(image)).numpy(), scores(net))


def deployed(name: str) -> caffe.Net:
    """A model without its data, loss and accuracy."""
    message = read_net(Path(__file__).parents[2] / "models" / f"{name}.prototxt")
    shape = message.layer[0].dummy_data_param.shape[0]
    kept = [layer for layer in message.layer[1:] if "label" not in layer.bottom]
    del message.layer[:]
    first = message.layer.add(name="data", type="Input", top=["data"])
    first.input_param.shape.add().CopyFrom(shape)
    message.layer.extend(kept)
    return filled(caffe.Net(message, caffe.TEST))


@pytest.mark.parametrize("name", ["lenet", "cifar10_full", "googlenet"])
def test_nets_that_are_no_u_nets_give_the_same_scores(name):
    net = deployed(name)
    outputs = net.forward()
    x = torch.from_numpy(net.blobs["data"].data.copy())
    with torch.no_grad():
        answers = build_module(net)(x)
    answers = answers if isinstance(answers, tuple) else (answers,)
    for got, output in zip(answers, net.outputs, strict=True):
        want = outputs[output]
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_layers_that_share_weights_share_them_in_the_module():
    net = net_of(
        """layer { name: "x" type: "Input" top: "x"
             input_param { shape { dim: 2 dim: 3 } } }
           layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
             param { name: "w" } inner_product_param { num_output: 3 } }
           layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
             param { name: "w" } inner_product_param { num_output: 3 } }"""
    )
    module = build_module(net)
    assert module["a"].weight is module["b"].weight
    assert module["a"].bias is not module["b"].bias
    np.testing.assert_allclose(answer(net), scores(net), atol=1e-5)


def test_several_outputs_come_in_the_nets_order():
    net = net_of(
        """layer { name: "in" type: "Input" top: "x"
             input_param { shape { dim: 1 dim: 2 } } }
           layer { name: "z" type: "TanH" bottom: "x" top: "z" }
           layer { name: "y" type: "Power" bottom: "x" top: "y"
             power_param { scale: 2 } }"""
    )
    x = torch.tensor([[1.0, -2.0]])
    y, z = build_module(net)(x)
    torch.testing.assert_close((y, z), (2 * x, x.tanh()))


NAMES = """name: "1 \\"odd\\" net\\\\"
layer { name: "for" type: "Input" top: "class" top: "mean"
  input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "forward" type: "Convolution" bottom: "class" top: "0/0"
  convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "a.b" type: "Convolution" bottom: "mean" top: "0-0"
  convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "" type: "Eltwise" bottom: "0/0" bottom: "0-0" top: "torch" }"""


def test_names_that_python_does_not_take_are_changed():
    net = net_of(NAMES)
    np.testing.assert_allclose(answer(net), scores(net), atol=1e-5)


@pytest.mark.parametrize("name", ["{x}", "{}", "a{0}", "}{"])
def test_braces_in_a_layers_name_are_part_of_it(name):
    net = net_of(NAMES.replace("forward", name))
    np.testing.assert_allclose(answer(net), scores(net), atol=1e-5)


def test_no_name_in_a_net_becomes_code():
    hostile = '"""\\"]\nraise SystemExit\n"""'
    net = caffe_pb2.NetParameter(name=hostile)
    first = net.layer.add(name=hostile, type="Input", top=[hostile])
    first.input_param.shape.add().dim[:] = [1, 1, 4, 4]
    second = net.layer.add(name=f"c{hostile}", type="Convolution", bottom=[hostile])
    second.top[:] = [f"y{hostile}"]
    second.convolution_param.num_output = 1
    second.convolution_param.kernel_size[:] = [1]
    built = filled(caffe.Net(net, caffe.TEST))
    np.testing.assert_allclose(answer(built), scores(built), atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "mode"),
    [(2, 3, 0, "CEIL"), (3, 2, 2, "CEIL"), (3, 2, 2, "FLOOR"), (2, 3, 0, "FLOOR")],
)
def test_windows_that_torch_lays_otherwise_are_caffes(kernel, stride, pad, mode):
    net = net_of(
        f"""layer {{ name: "x" type: "Input" top: "x"
              input_param {{ shape {{ dim: 1 dim: 2 dim: 9 dim: 10 }} }} }}
            layer {{ name: "y" type: "Pooling" bottom: "x" top: "y"
              pooling_param {{ kernel_size: {kernel} stride: {stride} pad: {pad}
                round_mode: {mode} }} }}"""
    )
    np.testing.assert_allclose(answer(net), scores(net))


SINGLE = """layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ {dims} }} }} }}
layer {{ name: "y" {layer} bottom: "x" top: "y" }}"""


def single(layer: str, *shape: int) -> caffe.Net:
    dims = " ".join(f"dim: {size}" for size in shape)
    return net_of(SINGLE.format(dims=dims, layer=layer))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }',
         (1, 2, 5, 6)),
        ('type: "Pooling" pooling_param { axis: 2 kernel_size: 2 }', (2, 2, 3, 5, 6)),
        ('type: "Pooling" pooling_param { axis: 0 kernel_size: 2 }', (3, 5, 6)),
        ('type: "Clip" clip_param { min: 0.2 max: inf }', (2, 3)),
        ('type: "Power" power_param { scale: 0 shift: 3 power: 2 }', (2, 3)),
        ('type: "Swish" swish_param { beta: 2 }', (2, 3)),
        ('type: "Scale" scale_param { num_axes: 0 bias_term: true }', (2, 3)),
        ('type: "Bias" bias_param { axis: 0 num_axes: -1 }', (2, 3)),
        ('type: "BatchNorm" batch_norm_param { use_global_stats: false }', (4, 3, 5)),
        ('type: "BatchNorm"', (4, 3)),
        ('type: "Flatten" flatten_param { axis: 1 end_axis: 0 }', (2, 3)),
        ('type: "Reduction"', (2, 3, 4)),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 } }', (3, 8)),
        ('type: "ArgMax" argmax_param { out_max_val: true top_k: 2 }', (2, 3, 4, 5)),
        ('type: "ArgMax" argmax_param { out_max_val: true axis: 1 }', (2, 3, 4, 5)),
        ('type: "MVN" mvn_param { across_channels: true }', (2, 5)),
        ('type: "MVN" mvn_param { normalize_variance: false }', (2, 3, 4)),
        ('type: "Slice" slice_param { axis: 1 }', (2, 3)),
        ('type: "Concat"', (2, 3)),
        ('type: "GradientReversal"', (2, 3)),
    ],
)  # fmt: skip
def test_options_beyond_the_stored_answers_are_caffes(layer, shape):
    net = single(layer, *shape)
    np.testing.assert_allclose(answer(net), scores(net), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ('type: "Convolution" convolution_param { num_output: 2 }', (2, 3)),
        ('type: "BatchNorm"', (2,)),
        ('type: "MVN"', (2, 3)),
        ('type: "Pooling" pooling_param { global_pooling: true pool: STOCHASTIC }',
         (1, 2, 3, 3)),
        ('type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 3 }',
         (1, 2, 5, 6)),
    ],
)  # fmt: skip
def test_options_without_counterpart_name_their_layer(layer, shape):
    with pytest.raises(CheckError, match=r"layer 'y' .*: has no counterpart in torch"):
        module_source(single(layer, *shape))


def test_a_net_with_a_data_layer_is_refused_by_its_name():
    net = net_of(
        """layer { name: "d" type: "DummyData" top: "x"
             dummy_data_param { shape { dim: 1 dim: 2 } } }"""
    )
    with pytest.raises(CheckError, match=r"'d' \(DummyData\)"):
        module_source(net)


def test_a_net_without_output_is_refused():
    net = net_of(
        """layer { name: "x" type: "Input" top: "x"
             input_param { shape { dim: 1 } } }
           layer { name: "s" type: "Silence" bottom: "x" }"""
    )
    with pytest.raises(CheckError, match="one or more of each"):
        module_source(net)


def test_two_layers_of_one_name_with_weights_are_refused():
    text = SINGLE.format(dims="dim: 1 dim: 2", layer='type: "PReLU"')
    again = 'layer { name: "y" type: "PReLU" bottom: "y" top: "z" }'
    with pytest.raises(CheckError, match="'y' is used twice"):
        module_source(net_of(text + again))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    net = single('type: "ReLU"', 1, 2)
    with pytest.raises(FileError, match=r"no/net\.pt: cannot be written"):
        write_module(net, tmp_path / "net.py", tmp_path / "no" / "net.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["Scale", "path", "none", "ä", "3d"])
def test_classes_have_names_of_their_own(name):
    word = class_name(name)
    assert word.isidentifier()
    assert word not in {"Scale", "Path", "None"}

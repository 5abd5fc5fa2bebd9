"""Every public name of BVLC's python/caffe 1.0, and how it is called."""

import inspect
from importlib import import_module

import numpy as np
import pytest

import caffe

SOLVERS = [
    f"{name}Solver"
    for name in ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
]
COMPILED = [
    "init_log",
    "log",
    "has_nccl",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "set_device",
    "solver_count",
    "set_solver_count",
    "solver_rank",
    "set_solver_rank",
    "set_multiprocess",
    "layer_type_list",
    "get_solver",
    "Layer",
    "__version__",
]
NAMES = {
    "caffe": [
        *[
            "Net",
            "NCCL",
            "Timer",
            "Classifier",
            "Detector",
            "TRAIN",
            "TEST",
            "io",
            "layers",
            "params",
        ],
        *["NetSpec", "to_proto", "proto", "pycaffe", "net_spec", "_caffe"],
        *SOLVERS,
        *COMPILED,
    ],
    "caffe.pycaffe": ["Net", "NCCL", "Timer", *SOLVERS],
    "caffe._caffe": [
        *[
            "Net",
            "Blob",
            "Solver",
            "SolverParameter",
            "LayerParameter",
            "NCCL",
            "Timer",
        ],
        *SOLVERS,
        *COMPILED,
    ],
    "caffe.proto.caffe_pb2": [
        "NetParameter",
        "SolverParameter",
        "LayerParameter",
        "BlobProto",
        "BlobProtoVector",
        "Datum",
        "SolverState",
        "NetState",
        "TRAIN",
        "TEST",
    ],
}

# name: the arguments of BVLC's function, with its defaults
SIGNATURES = {
    "caffe.Net": "network_file phase level=0 stages=None weights=None",
    "caffe.Net.forward": "self blobs=None start=None end=None **kwargs",
    "caffe.Net.backward": "self diffs=None start=None end=None **kwargs",
    "caffe.Net.forward_all": "self blobs=None **kwargs",
    "caffe.Net.forward_backward_all": "self blobs=None diffs=None **kwargs",
    "caffe.Net.set_input_arrays": "self data labels",
    "caffe.Net.reshape": "self",
    "caffe.Net.clear_param_diffs": "self",
    "caffe.Net._batch": "self blobs",
    "caffe.io.blobproto_to_array": "blob return_diff=False",
    "caffe.io.array_to_blobproto": "arr diff=None",
    "caffe.io.arraylist_to_blobprotovecor_str": "arraylist",
    "caffe.io.blobprotovector_str_to_arraylist": "text",
    "caffe.io.array_to_datum": "arr label=None",
    "caffe.io.datum_to_array": "datum",
    "caffe.io.load_image": "filename color=True",
    "caffe.io.resize_image": "im new_dims interp_order=1",
    "caffe.io.oversample": "images crop_dims",
    "caffe.io.Transformer": "inputs",
    "caffe.io.Transformer.preprocess": "self in_ data",
    "caffe.io.Transformer.deprocess": "self in_ data",
    "caffe.io.Transformer.set_transpose": "self in_ order",
    "caffe.io.Transformer.set_channel_swap": "self in_ order",
    "caffe.io.Transformer.set_raw_scale": "self in_ scale",
    "caffe.io.Transformer.set_input_scale": "self in_ scale",
    "caffe.io.Transformer.set_mean": "self in_ mean",
    "caffe.net_spec.param_name_dict": "",
    "caffe.net_spec.to_proto": "*tops",
    "caffe.net_spec.assign_proto": "proto name val",
    "caffe.net_spec.Top": "fn n",
    "caffe.net_spec.Function": "type_name inputs params",
    "caffe.net_spec.NetSpec": "",
    "caffe.coord_map.conv_params": "fn",
    "caffe.coord_map.crop_params": "fn",
    "caffe.coord_map.coord_map": "fn",
    "caffe.coord_map.compose": "base_map next_map",
    "caffe.coord_map.inverse": "coord_map",
    "caffe.coord_map.coord_map_from_to": "top_from top_to",
    "caffe.coord_map.crop": "top_from top_to",
    "caffe.draw.get_pooling_types_dict": "",
    "caffe.draw.get_edge_label": "layer",
    "caffe.draw.get_layer_lr_mult": "layer",
    "caffe.draw.get_layer_label": "layer rankdir display_lrm=False",
    "caffe.draw.choose_color_by_layertype": "layertype",
    "caffe.draw.get_pydot_graph": (
        "caffe_net rankdir label_edges=True phase=None display_lrm=False"
    ),
    "caffe.draw.draw_net": "caffe_net rankdir ext='png' phase=None display_lrm=False",
    "caffe.draw.draw_net_to_file": (
        "caffe_net filename rankdir='LR' phase=None display_lrm=False"
    ),
    "caffe.Classifier": (
        "model_file pretrained_file image_dims=None mean=None input_scale=None "
        "raw_scale=None channel_swap=None"
    ),
    "caffe.Classifier.predict": "self inputs oversample=True",
    "caffe.Detector": (
        "model_file pretrained_file mean=None input_scale=None raw_scale=None "
        "channel_swap=None context_pad=None"
    ),
    "caffe.Detector.detect_windows": "self images_windows",
    "caffe.Detector.detect_selective_search": "self image_fnames",
    "caffe.Detector.crop": "self im window",
    "caffe.Detector.configure_crop": "self context_pad",
}
NET = """force_backward: true
layer { name: "in" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 weight_filler { value: 2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l"
  loss_weight: 3 }
"""


def find(path):
    """Object of a dotted name; modules are imported."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise AssertionError(path)


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return caffe.Net(str(path), caffe.TRAIN)


@pytest.mark.parametrize("module", sorted(NAMES))
def test_modules_have_their_names(module):
    found = import_module(module)
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


def test_names_of_both_modules_are_the_same_objects():
    for name in (*SOLVERS, "Net", "Timer", "NCCL"):
        assert find(f"caffe.{name}") is find(f"caffe.pycaffe.{name}")
        assert find(f"caffe.{name}") is find(f"caffe._caffe.{name}")
    assert issubclass(caffe.AdamSolver, find("caffe._caffe.Solver"))


@pytest.mark.parametrize("path", sorted(SIGNATURES))
def test_arguments_are_named_and_preset_as_in_bvlc(path):
    public = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(find(path)).parameters.values()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert [str(parameter) for parameter in public] == SIGNATURES[path].split()


class TestNet:
    """The members of the compiled class, which converters and old scripts use."""

    def test_blobs_and_layers_have_numbers(self, net):
        assert net._blob_names == ["x", "t", "y", "l"]
        assert net._layer_names == ["in", "fc", "loss"]
        assert (net._inputs, net._outputs) == ([0, 1], [3])
        assert [net._bottom_ids(i) for i in range(3)] == [[], [0], [2, 1]]
        assert [net._top_ids(i) for i in range(3)] == [[0, 1], [2], [3]]
        assert net._blobs == list(net.blobs.values())

    def test_weights_of_losses_are_listed(self, net):
        assert net._blob_loss_weights == [0, 0, 0, 3]
        assert list(net.blob_loss_weights.items()) == [
            ("x", 0),
            ("t", 0),
            ("y", 0),
            ("l", 3),
        ]

    def test_layers_run_by_number(self, net):
        net.blobs["x"].data[...] = 1
        assert net._forward(0, 2) == 3 * (6**2 + 6**2) / 2 / 2
        net.blobs["y"].data[...] = 0
        assert net._forward(2, 2) == 0
        assert net._forward(1, 1) == 0
        net._forward(2, 2)
        net._backward(2, 1)
        assert net.blobs["y"].diff.tolist() == [[9], [9]]
        assert net.blobs["x"].diff.tolist() == [[18] * 3] * 2
        assert net.params["fc"][0].diff.tolist() == [[18] * 3]

    def test_samples_are_cut_into_batches(self, net):
        samples = np.arange(9).reshape(3, 3)
        batches = [batch["x"].tolist() for batch in net._batch({"x": samples})]
        assert batches == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [0, 0, 0]]]

    def test_views_are_ordered_by_the_net(self, net):
        assert list(net.blobs) == ["x", "t", "y", "l"]
        assert list(net.params) == ["fc"]
        assert [len(layer.blobs) for layer in net.layers] == [0, 2, 0]
        assert net.inputs == ["x", "t"]
        with pytest.raises(KeyError):
            _ = net.blobs["z"]

    def test_inputs_that_are_not_the_nets_are_refused(self, net):
        with pytest.raises(Exception, match="the net's inputs are: x, t"):
            net.forward(x=np.zeros((2, 3)))
        with pytest.raises(Exception, match="its batch size must be 2"):
            net.forward(x=np.zeros((3, 3)), t=np.zeros((2, 1)))

    def test_input_arrays_need_a_memory_data_layer(self, net):
        with pytest.raises(Exception, match="MemoryDataLayer"):
            net._set_input_arrays(np.zeros((2, 1, 1, 1)), np.zeros(2))


class TestBlob:
    def test_a_shape_is_read_and_set(self, net):
        blob = net.blobs["x"]
        assert tuple(blob.shape) == (2, 3)
        assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 1, 1)
        blob.reshape(4, 3)
        net.blobs["t"].reshape(4, 1)
        net.reshape()
        assert (blob.count, net.blobs["y"].data.shape) == (12, (4, 1))

    def test_arrays_are_the_memory_itself(self, net):
        blob = net.blobs["x"]
        for array in (blob.data, blob.diff):
            assert (array.dtype, array.flags.c_contiguous) == (np.float32, True)
        blob.data.flat = range(6)
        blob.diff[:, 1] = 7
        assert blob.data[1].tolist() == [3, 4, 5]
        assert blob.diff.tolist() == [[0, 7, 0], [0, 7, 0]]


class TestProcess:
    """What is set for the whole process."""

    def test_ranks_are_told_and_asked(self):
        caffe.set_solver_count(3)
        caffe.set_solver_rank(2)
        caffe.set_multiprocess(True)
        try:
            assert (caffe.solver_count(), caffe.solver_rank()) == (3, 2)
        finally:
            caffe.set_solver_count(1)
            caffe.set_solver_rank(0)
            caffe.set_multiprocess(False)

    def test_a_seed_makes_fillers_repeat(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text(NET.replace("value: 2", 'type: "gaussian"'))
        weights = []
        for seed in (5, 5, 6):
            caffe.set_random_seed(seed)
            net = caffe.Net(str(path), caffe.TEST)
            weights.append(net.params["fc"][0].data.copy())
        assert (weights[0] == weights[1]).all()
        assert (weights[0] != weights[2]).any()

    def test_a_timer_measures_milliseconds(self):
        timer = caffe.Timer()
        timer.start()
        timer.stop()
        assert 0 <= timer.ms < 60_000

    def test_the_log_is_written_and_set(self, monkeypatch, capfd):
        monkeypatch.delenv("GLOG_minloglevel", raising=False)
        caffe.init_log(0, True)
        caffe.log("words of a script")
        assert "words of a script" in capfd.readouterr().err
        caffe.init_log(2)
        caffe.log("unheard")
        assert "unheard" not in capfd.readouterr().err
        caffe.init_log()

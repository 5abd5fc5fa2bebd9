"""Graphs of nets, without Graphviz's programs where they are not installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pydot
import pytest

import caffe.draw
from caffe.errors import CaffeError, CheckError
from caffe.proto import caffe_pb2, files
from caffe.proto.text import parse_text
from tests.support.marks import slow

ROOT = Path(__file__).parents[2]
NETS = sorted((ROOT / "prototxt").glob("*/[dt]*.prototxt"))
HAS_DOT = shutil.which("dot") is not None
TEXT = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { batch_size: 64 } }
layer { name: "in" type: "Input" top: "data" include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 pad: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" exclude { phase: TEST } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip:0"
  inner_product_param { num_output: 7 } }
"""


def layer(text):
    return parse_text(text, caffe_pb2.LayerParameter())


@pytest.fixture
def net():
    return parse_text(TEXT, caffe_pb2.NetParameter())


def nodes(graph):
    return {node.get_name(): node for node in graph.get_node_list()}


class TestLabels:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ('name: "r" type: "ReLU"', '"r (ReLU)"'),
            (
                'name: "c" type: "Convolution"',
                '"c (Convolution) kernel size: 1 stride: 1 pad: 0"',
            ),
            (
                'name: "d" type: "Deconvolution" convolution_param { kernel_size: 4 '
                "stride: 2 pad: 1 }",
                '"d (Deconvolution) kernel size: 4 stride: 2 pad: 1"',
            ),
            (
                'name: "c" type: "Convolution" convolution_param { kernel_h: 1 '
                "kernel_w: 5 pad_h: 0 pad_w: 2 }",
                '"c (Convolution) kernel size: 1x5 stride: 1 pad: 0x2"',
            ),
            (
                'name: "p" type: "Pooling"',
                '"p (Pooling MAX) kernel size: 0 stride: 1 pad: 0"',
            ),
            (
                'name: "p" type: "Pooling" pooling_param { pool: AVE kernel_size: 1 '
                "kernel_size: 2 kernel_size: 2 stride: 2 }",
                '"p (Pooling AVE) kernel size: 1x2x2 stride: 2 pad: 0"',
            ),
        ],
    )
    def test_name_type_and_window_are_shown(self, text, label):
        assert caffe.draw.get_layer_label(layer(text), "TB") == label
        assert caffe.draw.get_layer_label(layer(text), "BT") == label

    @pytest.mark.parametrize("rankdir", ["LR", "RL"])
    def test_a_horizontal_graph_has_a_line_for_each(self, rankdir):
        label = caffe.draw.get_layer_label(layer('name: "r" type: "ReLU"'), rankdir)
        assert label == r'"r\n(ReLU)"'

    @pytest.mark.parametrize(
        ("rates", "shown"),
        [
            ([], " lr mult: 1.0, 1.0"),
            ([0.5], " lr mult: 0.5, 1.0"),
            ([1, 2], " lr mult: 1.0, 2.0"),
            ([0, 0], ""),
        ],
    )
    def test_learning_rates_are_shown_when_asked_for(self, rates, shown):
        param = caffe_pb2.LayerParameter(name="i", type="InnerProduct")
        for rate in rates:
            param.param.add(lr_mult=rate)
        label = caffe.draw.get_layer_label(param, "TB", display_lrm=True)
        assert label == f'"i (InnerProduct){shown}"'

    def test_layers_that_do_not_learn_have_no_learning_rate(self):
        param = layer('name: "r" type: "ReLU"')
        label = caffe.draw.get_layer_label(param, "TB", display_lrm=True)
        assert label == '"r (ReLU)"'
        with pytest.raises(ValueError, match="ReLU layers do not have a learning rate"):
            caffe.draw.get_layer_lr_mult(param)

    def test_more_than_two_learning_rates_are_refused(self):
        param = layer('name: "i" type: "InnerProduct" param {} param {} param {}')
        with pytest.raises(CheckError, match="3 learning rate multipliers"):
            caffe.draw.get_layer_lr_mult(param)

    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ('type: "Data" data_param { batch_size: 3 }', "Batch 3"),
            ('type: "Convolution" convolution_param { num_output: 4 }', "4"),
            ('type: "Deconvolution" convolution_param { num_output: 5 }', "5"),
            ('type: "InnerProduct" inner_product_param { num_output: 6 }', "6"),
            ('type: "ReLU"', '""'),
        ],
    )
    def test_edges_say_how_many_leave_a_layer(self, text, label):
        assert caffe.draw.get_edge_label(layer(text)) == label

    @pytest.mark.parametrize(
        ("kind", "color"),
        [
            ("Convolution", "#FF5050"),
            ("Deconvolution", "#FF5050"),
            ("Pooling", "#FF9900"),
            ("InnerProduct", "#CC33FF"),
            ("Softmax", "#6495ED"),
        ],
    )
    def test_kinds_have_colors(self, kind, color):
        assert caffe.draw.choose_color_by_layertype(kind) == color

    def test_pooling_methods_have_names(self):
        of_bvlc = {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
        assert caffe.draw.get_pooling_types_dict().items() >= of_bvlc.items()


class TestGraph:
    def test_layers_and_blobs_are_nodes(self, net):
        graph = caffe.draw.get_pydot_graph(net, "TB")
        found = nodes(graph)
        assert graph.get_name() == "small"
        assert graph.get_rankdir() == "TB"
        assert '"conv (Convolution) kernel size: 5 stride: 1 pad: 2"' in found
        assert found["conv"].get_shape() == "octagon"
        assert found["label"].get_shape() is None
        assert found['"relu (ReLU)"'].get_fillcolor() == "#90EE90"
        assert found['"ip (InnerProduct)"'].get_fillcolor() == "#CC33FF"
        assert '"ip:0"' in found
        assert caffe.draw.LAYER_STYLE_DEFAULT["fillcolor"] == "#6495ED"

    def test_edges_follow_the_data(self, net):
        graph = caffe.draw.get_pydot_graph(net, "TB")
        edges = {
            (e.get_source(), e.get_destination()): e.get_label()
            for e in graph.get_edge_list()
        }
        pool = '"pool (Pooling AVE) kernel size: 2 stride: 3 pad: 0"'
        assert edges["conv", pool] == '""'
        assert edges[pool, "pool"] == '""'
        assert edges['"ip (InnerProduct)"', '"ip:0"'] == "7"
        assert edges['"data (Data)"', "label"] == "Batch 64"

    def test_edges_may_go_without_labels(self, net):
        graph = caffe.draw.get_pydot_graph(net, "TB", label_edges=False)
        assert {edge.get_label() for edge in graph.get_edge_list()} == {'""'}

    @pytest.mark.parametrize(
        ("phase", "shown"),
        [
            (None, {"data", "in", "conv", "relu", "pool", "ip"}),
            (caffe.TRAIN, {"data", "conv", "relu", "pool", "ip"}),
            (caffe.TEST, {"in", "conv", "pool", "ip"}),
        ],
    )
    def test_a_phase_leaves_layers_out(self, net, phase, shown):
        found = nodes(caffe.draw.get_pydot_graph(net, "TB", phase=phase))
        names = {name.strip('"').split(" (")[0] for name in found if " (" in name}
        assert names == shown

    def test_rules_of_both_kinds_are_refused(self, net):
        net.layer[0].exclude.add(phase=caffe.TEST)
        with pytest.raises(ValueError, match="layer 'data' has both include and excl"):
            caffe.draw.get_pydot_graph(net, "TB", phase=caffe.TEST)

    def test_a_net_without_a_name_is_called_net(self):
        graph = caffe.draw.get_pydot_graph(caffe_pb2.NetParameter(), "LR")
        assert graph.get_name() == "Net"

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydot's, of pyparsing
    @pytest.mark.parametrize(
        "path",
        [p if p.parent.name == "unet_demo" else slow(p) for p in NETS],
        ids=lambda p: f"{p.parent.name}/{p.name}",
    )
    def test_every_net_becomes_a_text_that_graphviz_can_parse(self, path):
        param = files.read_net(path)
        graph = caffe.draw.get_pydot_graph(param, "LR", display_lrm=True)
        (again,) = pydot.graph_from_dot_data(graph.to_string())
        assert len(again.get_edge_list()) == sum(
            len(item.bottom) + len(item.top) for item in param.layer
        )

    def test_without_pydot_the_error_says_what_to_install(self, net, monkeypatch):
        monkeypatch.setitem(sys.modules, "pydot", None)
        with pytest.raises(CaffeError, match="pip install pydot"):
            caffe.draw.get_pydot_graph(net, "TB")


class Dot:
    """Stands for Graphviz's program: notes what it is asked for."""

    def __init__(self, answer):
        self.answer = answer
        self.formats = []

    def create(self, graph, format):
        self.formats.append(format)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def dot(monkeypatch):
    def install(answer):
        stand_in = Dot(answer)
        monkeypatch.setattr(
            pydot.Dot, "create", lambda graph, format: stand_in.create(graph, format)
        )
        return stand_in

    return install


class TestDrawing:
    def test_a_net_is_drawn_as_png(self, net, dot):
        program = dot(b"picture")
        assert caffe.draw.draw_net(net, "LR") == b"picture"
        assert program.formats == ["png"]

    def test_the_ending_of_a_file_is_the_kind_of_picture(self, net, dot, tmp_path):
        program = dot(b"picture")
        caffe.draw.draw_net_to_file(net, tmp_path / "a.b.svg")
        assert (tmp_path / "a.b.svg").read_bytes() == b"picture"
        assert program.formats == ["svg"]

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (FileNotFoundError('"dot" not found in path.'), "apt install graphviz"),
            (AssertionError('"dot" with args [] returned code: 1'), "cannot draw 'xyz"),
        ],
    )
    def test_what_goes_wrong_is_said_in_one_line(
        self, answer, told, net, dot, tmp_path
    ):
        dot(answer)
        with pytest.raises(CaffeError, match=told):
            caffe.draw.draw_net_to_file(net, tmp_path / "net.xyz")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(not HAS_DOT, reason="Graphviz is not installed")
    def test_graphviz_draws(self, net):
        assert caffe.draw.draw_net(net, "LR").startswith(b"\x89PNG")

    @pytest.mark.skipif(HAS_DOT, reason="Graphviz is installed")
    def test_without_graphviz_the_error_says_what_to_install(self, net):
        with pytest.raises(CaffeError, match="apt install graphviz"):
            caffe.draw.draw_net(net, "LR")


def test_drawing_loads_no_torch():
    code = "import sys, caffe.draw; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]

from pathlib import Path

import pytest

import caffe
from caffe.engine.cost import layer_costs, multiply_adds

MODELS = Path(__file__).parents[3] / "prototxt"


def test_of_the_papers_net_are_those_that_torch_counts():
    # 2 * multiply-adds = 300856848896 by torch's FlopCounterMode on the same net
    net = caffe.Net(str(MODELS / "unet_isbi2012" / "deploy.prototxt"), caffe.TEST)
    costs = layer_costs(net)
    assert sum(cost.parameters for cost in costs) == 31_030_658
    assert sum(cost.multiply_adds for cost in costs) == 300_856_848_896 // 2


@pytest.mark.parametrize(
    ("kind", "weights", "bottoms", "tops", "expected"),
    [
        ("Convolution", [(4, 3, 3, 3)], [(2, 6, 9, 8)], [(2, 4, 5, 4)], 108 * 2 * 20),
        ("Convolution", [(4, 3, 3)], [(0, 3, 9)], [(0, 4, 7)], 0),
        ("Convolution", [(1, 1, 1)], [(2, 1, 3)] * 2, [(2, 1, 3)] * 2, 12),
        ("Deconvolution", [(4, 3, 2, 2)], [(2, 4, 5, 4)], [(2, 3, 10, 8)], 48 * 40),
        ("InnerProduct", [(11, 240)], [(2, 3, 10, 8)], [(2, 11)], 2 * 240 * 11),
        ("LSTM", [(28, 3), (28,), (28, 7)], [(5, 2, 3)], [(5, 2, 7)], 10 * 28 * 10),
        ("RNN", [(6, 3), (6,), (6, 2), (6, 6), (4, 6), (4,)], [(5, 2, 3)], [],
         2 * (5 * (18 + 36 + 24) + 12)),
        ("Scale", [(4,)], [(2, 4)], [(2, 4)], 0),
        ("ReLU", [], [(2, 4)], [(2, 4)], 0),
    ],
)  # fmt: skip
def test_are_products_with_weights(kind, weights, bottoms, tops, expected):
    assert multiply_adds(kind, weights, bottoms, tops) == expected


def test_of_shared_weights_count_their_numbers_once(tmp_path):
    twin = (
        'layer {{ name: "{0}" type: "InnerProduct" bottom: "d" top: "{0}" '
        'param {{ name: "w" }} '
        "inner_product_param {{ num_output: 2 bias_term: false }} }}"
    )
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" '
        "input_param { shape { dim: 1 dim: 3 } } }\n"
        + twin.format("one") + twin.format("two")
    )  # fmt: skip
    costs = layer_costs(caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST))
    numbers = {cost.name: cost.parameters for cost in costs}
    assert (numbers["one"], numbers["two"]) == (6, 0)
    assert sum(cost.multiply_adds for cost in costs) == 12

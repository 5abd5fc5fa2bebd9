"""The net as pycaffe's users know it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from tests.support.stored import load_arrays

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { %s } } }\n'
CONV = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 2 kernel_size: 1
    weight_filler { type: "constant" value: 2 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "sum" type: "Convolution" bottom: "conv" top: "y"
  convolution_param { num_output: 1 kernel_size: 1 bias_term: false
    weight_filler { type: "constant" value: 1 } } }
"""


@pytest.fixture
def build(tmp_path):
    """A net from its text."""

    def make(lines, phase=caffe.TEST, **kwargs):
        path = tmp_path / "net.prototxt"
        path.write_text(lines)
        return caffe.Net(str(path), phase, **kwargs)

    return make


def dims(*shape):
    return INPUT % " ".join(f"dim: {d}" for d in shape)


@pytest.fixture
def small(build):
    """x (1, 1, 1, 2) -> conv 2 channels of 2x, ReLU in place -> their sum 4 relu(x)."""
    return build(dims(1, 1, 1, 2) + CONV)


def test_forward_returns_the_outputs_by_name(small):
    small.blobs["x"].data[...] = [[[[-1, 3]]]]
    assert small.forward()["y"].tolist() == [[[[0, 12]]]]


def test_inputs_may_be_given_as_keywords(small):
    assert small.forward(x=np.array([[[[1, 2]]]]))["y"].tolist() == [[[[4, 8]]]]


def test_an_unknown_input_is_refused_with_the_names_of_the_real_ones(small):
    with pytest.raises(caffe.CheckError, match="the net's inputs are: x"):
        small.forward(q=np.zeros((1, 1, 1, 2)))


def test_an_input_of_another_batch_size_is_refused(small):
    with pytest.raises(caffe.CheckError, match="batch size must be 1"):
        small.forward(x=np.zeros((2, 1, 1, 2)))


def test_a_blob_inside_the_net_can_be_read_after_a_forward(small):
    small.forward(x=np.array([[[[-1, 3]]]]))
    assert small.blobs["conv"].data.tolist() == [[[[0, 6]], [[0, 6]]]]


def test_a_blob_read_late_belongs_to_the_inputs_of_the_last_forward(small):
    small.forward(x=np.array([[[[-1, 3]]]]))
    small.blobs["x"].data[...] = 100
    assert small.blobs["conv"].data.max() == 6


def test_an_old_view_of_an_inner_blob_follows_every_forward(small):
    small.forward(x=np.array([[[[-1, 3]]]]))
    view = small.blobs["conv"].data
    small.forward(x=np.array([[[[5, 3]]]]))
    assert view[0, 0].tolist() == [[10, 6]]


def test_writing_into_an_old_view_of_a_parameter_changes_both_executors(small):
    weight = small.params["sum"][0].data
    small.forward(x=np.array([[[[1, 2]]]]))
    weight[...] = 10
    fused = small.forward()["y"].tolist()
    inspected = small.forward(start="in")["y"].tolist()
    assert fused == inspected == [[[[40, 80]]]]


def test_part_of_a_net_runs_from_what_stands_in_the_blobs(small):
    small.forward(x=np.array([[[[1, 2]]]]))
    small.blobs["conv"].data[...] = 7
    assert small.forward(start="sum")["y"].tolist() == [[[[14, 14]]]]


def test_writing_a_bottom_after_a_forward_does_not_change_a_top_cut_from_it(build):
    net = build(
        dims(1, 4) + 'layer { name: "cut" type: "Slice" bottom: "x" top: "y" top: "z" }'
    )
    net.blobs["x"].data[...] = [[1, 2, 3, 4]]
    net.forward(start="in")
    net.blobs["x"].data[...] = 9
    assert net.blobs["z"].data.tolist() == [[3, 4]]


DUMMY = """
layer { name: "d" type: "DummyData" top: "c" top: "r" dummy_data_param {
  shape { dim: 3 } data_filler { value: 7 } data_filler { type: "gaussian" } } }
layer { name: "a" type: "ReLU" bottom: "c" top: "y" }
layer { name: "b" type: "ReLU" bottom: "r" top: "z" }
"""


@pytest.mark.parametrize("start", [None, "d"])
def test_constant_dummy_data_is_filled_once_and_then_the_users(build, start):
    net = build(DUMMY)
    assert net.forward(start=start)["y"].tolist() == [7, 7, 7]
    net.blobs["c"].data[...] = [1, 2, 3]
    assert net.forward(start=start)["y"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("start", [None, "d"])
def test_random_dummy_data_is_new_at_every_forward(build, start):
    net = build(DUMMY)
    net.forward(start=start)
    first = net.blobs["r"].data.copy()
    net.forward(start=start)
    assert (net.blobs["r"].data != first).all()


@pytest.mark.parametrize(
    "arguments",
    [
        ((caffe.TEST,), {"weights": "w.caffemodel"}),
        ((), {"phase": caffe.TEST, "weights": "w.caffemodel"}),
        ((caffe.TEST, 0, None, "w.caffemodel"), {}),
        (("w.caffemodel", caffe.TEST), {}),
    ],
)
def test_weights_are_taken_in_every_order_of_arguments_that_pycaffe_has(
    small, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    small.params["sum"][0].data[...] = 5
    small.save("w.caffemodel")
    positional, keywords = arguments
    net = caffe.Net("net.prototxt", *positional, **keywords)
    assert net.phase == caffe.TEST
    assert net.params["sum"][0].data.ravel().tolist() == [5, 5]


def test_level_and_stages_choose_layers(build):
    text = dims(1, 2) + (
        'layer { name: "a" type: "ReLU" bottom: "x" top: "y" '
        'include { min_level: 1 stage: "deploy" } }'
    )
    assert build(text, level=1, stages=["deploy"]).outputs == ["y"]
    assert build(text).outputs == ["x"]


def test_an_input_with_two_consumers_is_not_taken_for_a_freed_blob(build):
    net = build(
        dims(1, 2)
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "y" }\n'
        + 'layer { name: "b" type: "ReLU" bottom: "x" top: "z" }\n'
    )
    net.forward()
    assert net.blobs["x"].data_memory.pending is None
    assert net.blobs["x_in_0_split_1"].data_memory.pending is None


def test_end_returns_the_tops_of_the_last_layer_that_ran(small):
    small.blobs["x"].data[...] = [[[[1, 2]]]]
    assert list(small.forward(end="conv")) == ["conv"]


def test_backward_gives_the_gradient_of_parameters_and_adds_to_it(build):
    net = build("force_backward: true\n" + dims(1, 1, 1, 2) + CONV)
    net.forward(x=np.array([[[[-1, 3]]]]))
    net.blobs["y"].diff[...] = 1
    net.backward()
    net.backward()
    assert net.params["sum"][0].diff.ravel().tolist() == [12, 12]
    assert net.params["conv"][0].diff.ravel().tolist() == [6, 6]
    assert net.blobs["x"].diff.ravel().tolist() == [0, 4]


def test_backward_goes_through_all_layers_after_only_the_last_ran_again(build):
    net = build("force_backward: true\n" + dims(1, 1, 1, 2) + CONV)
    net.forward(x=np.array([[[[-1, 3]]]]))
    net.forward(start="sum")
    net.backward(y=np.ones((1, 1, 1, 2)))
    assert net.blobs["x"].diff.ravel().tolist() == [0, 4]


def test_the_diff_of_a_blob_changed_in_place_is_that_before_the_change(build):
    net = build("force_backward: true\n" + dims(1, 1, 1, 2) + CONV)
    net.forward(x=np.array([[[[-1, 3]]]]))
    net.backward(y=np.ones((1, 1, 1, 2)))
    assert net.blobs["conv"].diff[0, 0].tolist() == [[0, 1]]


def test_gradients_of_a_blob_with_two_consumers_add_up(build):
    net = build(
        "force_backward: true\n"
        + dims(1, 2)
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "y" }\n'
        + 'layer { name: "b" type: "ReLU" bottom: "x" top: "z" }\n'
    )
    assert "x_in_0_split_1" in net.blobs
    net.forward(x=np.array([[1, 2]]))
    net.backward(y=np.array([[3, 4]]), z=np.array([[10, 20]]))
    assert net.blobs["x"].diff.tolist() == [[13, 24]]


def test_a_net_takes_a_new_input_size_after_reshape(small):
    small.blobs["x"].reshape(1, 1, 2, 3)
    small.reshape()
    assert small.blobs["y"].shape == (1, 1, 2, 3)
    small.blobs["x"].data[...] = 1
    assert small.forward()["y"].shape == (1, 1, 2, 3)


def test_parameters_of_one_name_are_one_memory(build):
    shared = (
        'layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" '
        'param { name: "w" } inner_product_param { num_output: 2 bias_term: false '
        'weight_filler { type: "xavier" } } }\n'
    )
    net = build(dims(1, 3) + shared % ("a", "ya") + shared % ("b", "yb"))
    net.params["b"][0].data[...] = 5
    assert net.params["a"][0].data.tolist() == [[5, 5, 5], [5, 5, 5]]
    assert len(net.learnable) == 1


def test_parameters_of_one_name_but_two_shapes_are_refused(build):
    layer = (
        'layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" '
        'param { name: "w" } inner_product_param { num_output: %d } }\n'
    )
    with pytest.raises(caffe.CheckError, match=r"shape \(2, 3\) there, \(4, 3\) here"):
        build(dims(1, 3) + layer % ("a", "ya", 2) + layer % ("b", "yb", 4))


def test_nets_that_share_weights_see_each_other(build):
    first, second = build(dims(1, 1, 1, 2) + CONV), build(dims(1, 1, 1, 2) + CONV)
    second.share_with(first)
    first.params["sum"][0].data[...] = 3
    assert second.forward(x=np.array([[[[1, 0]]]]))["y"].ravel().tolist() == [12, 0]


def test_a_missing_bottom_is_named_with_file_and_layer(build):
    with pytest.raises(caffe.CheckError) as caught:
        build(dims(1, 2) + 'layer { name: "a" type: "ReLU" bottom: "gone" top: "y" }')
    text = str(caught.value)
    assert "net.prototxt: layer 'a' (ReLU): unknown bottom blob 'gone'" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Nope", r"; caffe\.layer_type_list\(\) names the \d+ known ones"),
        ("Convolutoin", ": did you mean 'Convolution'\\?"),
    ],
)
def test_an_unknown_type_is_answered_with_the_known_ones(build, name, advice):
    unknown = rf"unknown layer type '{name}' \(layer 'a'\)"
    with pytest.raises(caffe.CheckError, match=unknown + advice):
        build(f'layer {{ name: "a" type: "{name}" }}')


def test_a_top_made_twice_is_refused(build):
    twice = 'layer { name: "%s" type: "ReLU" bottom: "x" top: "y" }\n'
    with pytest.raises(caffe.CheckError, match="'y' is made by more than one layer"):
        build(dims(1, 2) + twice % "a" + twice % "b")


def test_a_wrong_number_of_bottoms_is_refused(build):
    with pytest.raises(caffe.CheckError, match="has 2 bottom blobs, needs 1"):
        build(
            dims(1, 2)
            + 'layer { name: "a" type: "ReLU" bottom: "x" bottom: "x" top: "y" }'
        )


def test_layer_names_and_types_are_those_of_pycaffe(small):
    assert list(small._layer_names) == ["in", "conv", "relu", "sum"]
    assert [layer.type for layer in small.layers] == [
        "Input",
        "Convolution",
        "ReLU",
        "Convolution",
    ]
    assert list(small.params) == ["conv", "sum"]
    assert small.bottom_names["relu"] == small.top_names["relu"] == ["conv"]


def test_layers_and_params_build_a_net_after_a_net_was_built(small):
    from caffe import layers as L  # noqa: N812
    from caffe import params as P  # noqa: N812

    spec = caffe.NetSpec()
    spec.data = L.Input(shape=[{"dim": [1, 1, 4, 4]}])
    spec.pool = L.Pooling(spec.data, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    assert [layer.type for layer in spec.to_proto().layer] == ["Input", "Pooling"]


def test_activation_bytes_are_the_peak_of_a_forward(small):
    # conv (2 channels of 2 floats) and y beside it, after x was dropped at its use; the
    # weights of both layers, 2 and 2, in the order of the kernels
    assert small.activation_bytes() == 4 * (2 + 4) + 4 * (2 + 2)


def test_a_seed_fills_two_nets_alike(build):
    text = dims(1, 4) + (
        'layer { name: "a" type: "InnerProduct" bottom: "x" top: "y" '
        'inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }'
    )
    values = []
    for _ in range(2):
        caffe.set_random_seed(3)
        values.append(build(text).params["a"][0].data.copy())
    assert np.array_equal(*values)


def test_a_gpu_that_is_not_there_is_a_clear_error():
    with pytest.raises(caffe.DeviceError, match="GPU 99: invalid device ordinal"):
        caffe.set_device(99)


REFERENCE = Path(__file__).parents[2] / "reference"


def relative(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def test_a_v1_net_with_its_binary_weights_gives_the_numbers_of_caffe():
    folder = REFERENCE / "upgrade"
    want = load_arrays(folder / "v1_forward.npz")
    net = caffe.Net(
        str(folder / "v1.prototxt"), str(folder / "v1.caffemodel"), caffe.TEST
    )
    net.forward(data=want["data"])
    for name in ("prob", "ip", "cat"):
        assert relative(net.blobs[name].data, want[name]) <= 1e-5, name


@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_a_small_unet_gives_the_scores_of_caffe_from_either_weight_file(suffix):
    folder = REFERENCE / "tiled" / "unet2d"
    want = load_arrays(folder / "forward.npz")
    net = caffe.Net(
        str(folder / "deploy.prototxt"),
        caffe.TEST,
        weights=str(folder / f"weights.{suffix}"),
    )
    assert relative(net.forward(data=want["data"])["score"], want["score"]) <= 1e-5


ALIAS = """
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 4 weight_filler { type: "constant" value: 1 } } }
layer { name: "r" type: "Reshape" bottom: "a" top: "r"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 } } }
layer { name: "f" type: "Flatten" bottom: "r" top: "f" }
layer { name: "y" type: "Power" bottom: "f" top: "y" power_param { scale: 3 } }
"""


@pytest.mark.parametrize("start", [None, "in"])
def test_reshape_and_flatten_share_values_and_gradients_with_their_bottom(build, start):
    net = build("force_backward: true\n" + dims(1, 2) + ALIAS)
    net.blobs["x"].data[...] = [[1, 2]]
    assert net.forward(start=start)["y"].tolist() == [[9, 9, 9, 9]]
    net.blobs["a"].data[0, 3] = 7
    assert net.blobs["r"].data.tolist() == [[[3, 3], [3, 7]]]
    assert net.blobs["f"].data.tolist() == [[3, 3, 3, 7]]
    net.blobs["y"].diff[...] = [[1, 2, 3, 4]]
    net.backward()
    for name in ("a", "r", "f"):
        assert net.blobs[name].diff.ravel().tolist() == [3, 6, 9, 12]
    assert net.blobs["x"].diff.tolist() == [[30, 30]]


@pytest.mark.parametrize("start", [None, "in"])
def test_an_in_place_layer_behind_a_reshape_changes_what_later_layers_read(
    build, start
):
    net = build(
        dims(1, 2)
        + """
        layer { name: "a" type: "Power" bottom: "x" top: "a" }
        layer { name: "early" type: "Power" bottom: "a" top: "early" }
        layer { name: "f" type: "Flatten" bottom: "a" top: "f" }
        layer { name: "relu" type: "ReLU" bottom: "f" top: "f" }
        layer { name: "late" type: "Power" bottom: "a" top: "late" }
        """
    )
    net.blobs["x"].data[...] = [[-1, 2]]
    found = net.forward(start=start)
    assert found["early"].tolist() == [[-1, 2]]
    assert found["late"].tolist() == [[0, 2]]


def test_a_parameter_layer_shows_its_parameter_and_learns(build):
    net = build(
        """
        layer { name: "p" type: "Parameter" top: "p"
          parameter_param { shape { dim: 2 } } }
        layer { name: "y" type: "Power" bottom: "p" top: "y" power_param { scale: 3 }
          loss_weight: 1 }
        """,
        caffe.TRAIN,
    )
    net.params["p"][0].data[...] = [1, 2]
    assert net.forward()["y"].tolist() == [3, 6]
    net.blobs["p"].data[0] = 5
    assert net.params["p"][0].data.tolist() == [5, 2]
    net.backward()
    assert net.params["p"][0].diff.tolist() == [3, 3]
    net.clear_param_diffs()
    assert net.forward_backward() == 21
    assert net.params["p"][0].diff.tolist() == [3, 3]


def test_layers_behind_filter_see_how_many_samples_it_left(build):
    text = """
    force_backward: true
    layer { name: "s" type: "Input" top: "keep" input_param { shape { dim: 3 } } }
    layer { name: "f" type: "Filter" bottom: "x" bottom: "keep" top: "some" }
    layer { name: "y" type: "InnerProduct" bottom: "some" top: "y"
      inner_product_param { num_output: 1 weight_filler { value: 2 } } }
    """
    net = build(dims(3, 1) + text)
    net.blobs["x"].data[...] = [[1], [2], [3]]
    net.blobs["keep"].data[...] = [1, 0, 1]
    for start in (None, "in"):
        assert net.forward(start=start)["y"].tolist() == [[2], [6]]
        assert net.blobs["some"].shape == (2, 1)
    net.blobs["y"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[2], [0], [2]]


NORMALIZED = """
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "p" type: "PReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Dropout" bottom: "c" top: "c" }
layer { name: "y" type: "Reduction" bottom: "c" top: "y"
  reduction_param { operation: SUMSQ } loss_weight: 1 }
"""


def test_in_place_normalisation_trains_alike_in_both_executors(build):
    rng = np.random.default_rng(0)
    picture = rng.normal(size=(2, 1, 7, 8))
    found = []
    for hooked in (False, True):
        caffe.set_random_seed(3)
        net = build(dims(2, 1, 7, 8) + NORMALIZED, caffe.TRAIN)
        if hooked:
            net.after_forward(lambda index: None)
        net.blobs["x"].data[...] = picture
        loss = net.forward_backward()
        diffs = [b.diff.copy() for blobs in net.params.values() for b in blobs]
        statistics = [blob.data.copy() for blob in net.params["bn"]]
        found.append([np.float32(loss), *diffs, *statistics])
    for fused, inspected in zip(*found, strict=True):
        np.testing.assert_allclose(fused, inspected, rtol=1e-4, atol=1e-5)
    assert found[0][-1].tolist() == [1]


def test_reading_a_freed_blob_does_not_update_statistics_again(build):
    net = build(
        dims(2, 1, 7, 8)
        + NORMALIZED.replace(
            'top: "c" }', 'top: "c" batch_norm_param { use_global_stats: false } }', 1
        )
    )
    net.blobs["x"].data[...] = np.arange(112).reshape(2, 1, 7, 8)
    net.forward()
    (mean, _, count) = (blob.data.copy() for blob in net.params["bn"])
    assert count.tolist() == [1]
    assert net.blobs["c"].data.any()
    assert net.params["bn"][0].data.tolist() == mean.tolist()


def test_statistics_of_batch_normalisation_have_no_learning_rate(build):
    net = build(dims(2, 1, 7, 8) + NORMALIZED)
    (written,) = (layer for layer in net.to_proto().layer if layer.name == "bn")
    assert [spec.lr_mult for spec in written.param] == [0, 0, 0]
    with pytest.raises(caffe.CheckError, match="batch normalization statistics"):
        build(
            dims(2, 1, 7, 8)
            + NORMALIZED.replace(
                'type: "BatchNorm"', 'type: "BatchNorm" param { lr_mult: 1 }'
            )
        )


def test_hooks_are_called_with_the_numbers_of_the_layers(build):
    net = build("force_backward: true\n" + dims(1, 2) + ALIAS)
    calls = []
    net.before_forward(lambda i: calls.append(("before", i)))
    net.after_forward(lambda i: calls.append(("after", i)))
    net.before_backward(lambda i: calls.append(("before back", i)))
    net.after_backward(lambda i: calls.append(("after back", i)))
    net.forward(end="r")
    assert calls == [(w, i) for i in range(3) for w in ("before", "after")]
    net.forward()
    calls.clear()
    net.backward(end="f")
    assert calls == [(f"{w} back", i) for i in (4, 3) for w in ("before", "after")]


def test_diffs_of_outputs_may_be_given_as_keywords(build):
    net = build("force_backward: true\n" + dims(1, 2) + ALIAS)
    net.forward()
    found = net.backward(y=np.ones((1, 4)), diffs=["f"])
    assert found["x"].tolist() == [[12, 12]]
    assert found["f"].tolist() == [[3, 3, 3, 3]]
    with pytest.raises(caffe.CheckError, match="the net's outputs are: y"):
        net.backward(a=np.ones((1, 4)))
    with pytest.raises(caffe.CheckError, match=r"diff of 'y' .* batch size must be 1"):
        net.backward(y=np.ones((2, 4)))


def test_arrays_may_be_given_only_to_a_net_that_begins_with_memory_data(small, build):
    with pytest.raises(caffe.CheckError, match="first layer is a MemoryDataLayer"):
        small.set_input_arrays(np.zeros((1, 1, 1, 2)), np.zeros(1))
    with pytest.raises(caffe.CheckError, match="it is missing"):
        build("").set_input_arrays(np.zeros((1, 1, 1, 2)), np.zeros(1))


def test_a_blob_of_too_many_numbers_is_refused_with_layer_and_file(build):
    match = r"net.prototxt: layer '\w+' \(Input\): .* expected at most 2305843009"
    with pytest.raises(caffe.CheckError, match=match):
        build(dims(2**40, 2**40))


def test_what_the_machine_has_no_memory_for_is_not_tried(build):
    net = build(
        dims(3, 2) + 'layer { name: "t" type: "Tile" bottom: "x" top: "t" '
        "tile_param { axis: 0 tiles: 2000000000 } }"
    )
    net.blobs["x"].reshape(2**20, 2)
    match = r"layer 't' \(Tile\): out of memory on the CPU: a blob of 4194304\d* numb"
    with pytest.raises(caffe.OutOfMemoryError, match=match):
        net.forward()


def test_a_loss_with_its_own_weight_that_is_read_too_counts_as_in_caffe(build):
    net = build(
        dims(1, 2)
        + """
        layer { name: "l" type: "Reduction" bottom: "x" top: "l" loss_weight: 2 }
        layer { name: "y" type: "Power" bottom: "l" top: "y" }
        """,
        caffe.TRAIN,
    )
    net.blobs["x"].data[...] = [[1, 2]]
    assert net.forward_loss() == net.forward_backward() == 6


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("SoftmaxWithLoss", "dim: 2"),
        ("HingeLoss", "dim: 2"),
        ("EuclideanLoss", "dim: 2 dim: 3"),
        ("SigmoidCrossEntropyLoss", "dim: 2 dim: 3"),
    ],
)
def test_a_loss_without_a_top_counts_and_is_written_without_one(build, loss, targets):
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" top: "t"
      input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ {targets} }} }} }}
    layer {{ name: "loss" type: "{loss}" bottom: "x" bottom: "t" """
    net = build(text + "}", caffe.TRAIN)
    named = build(text + 'top: "l" }', caffe.TRAIN)
    for each in (net, named):
        each.blobs["x"].data[...] = [[1, 2, 3], [-1, 0, 2]]
    assert net.forward_loss() == named.forward_loss() != 0
    assert list(net.to_proto().layer[-1].top) == []


def test_parameters_that_a_file_fills_are_not_drawn(build, tmp_path, monkeypatch):
    trained = build(dims(1, 1, 1, 2) + CONV)
    path = str(tmp_path / "w.caffemodel")
    trained.save(path)
    drawn = []
    monkeypatch.setattr(
        "caffe.engine.fillers.fill",
        lambda filler, shape, generator: drawn.append(shape) or torch.full(shape, 7.0),
    )
    text = dims(1, 1, 1, 2) + CONV.replace('"sum"', '"other"')
    (tmp_path / "other.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "other.prototxt"), path, caffe.TEST)
    assert drawn == [(1, 2, 1, 1)]  # the layer that the file does not have
    assert net.params["conv"][0].data.ravel().tolist() == [2, 2]
    assert net.params["other"][0].data.ravel().tolist() == [7, 7]

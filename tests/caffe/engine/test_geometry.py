"""Valid tile sizes, borders and usable outputs of nets."""

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import Axis, NetSpec
from caffe import layers as L  # noqa: N812 - as every net is written

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
MODELS = Path(__file__).parents[3] / "prototxt"
FILLER = {"type": "msra"}


def start(axes=2, channels=1):
    n = NetSpec()
    n.data = L.Input(input_param={"shape": {"dim": [1, channels] + [8] * axes}})
    return n


def conv(bottom, kernel=3, **options):
    return L.Convolution(
        bottom, kernel_size=kernel, num_output=4, weight_filler=FILLER, **options
    )


def pool(bottom, size=2, **options):
    return L.Pooling(bottom, kernel_size=size, stride=size, **options)


def up(bottom, kernel=2, stride=2, pad=0):
    options = {
        "kernel_size": kernel,
        "stride": stride,
        "pad": pad,
        "num_output": 4,
        "weight_filler": FILLER,
    }
    return L.Deconvolution(bottom, convolution_param=options)


def unet(levels=2, *, kernel=3, pad=0, size=2, up_kernel=None, axes=2, repeat=1):
    n = start(axes)
    blob, skips = n.data, []

    def block(blob):
        for _ in range(repeat):
            blob = L.ReLU(conv(blob, kernel, pad=pad))
        return blob

    for _ in range(levels):
        blob = block(blob)
        skips.append(blob)
        blob = pool(blob, size)
    blob = block(blob)
    for skip in reversed(skips):
        wide = up_kernel or size
        extra = 0 if up_kernel is None else (up_kernel - size) // 2
        blob = block(L.Concat(up(blob, wide, size, extra), skip))
    n.score = conv(blob, 1)
    proto = n.to_proto()
    smallest = [axis.smallest for axis in caffe.geometry(proto).axes]
    proto.layer[0].input_param.shape[0].dim[2:] = smallest
    return proto


def axis_of(n):
    first, *others = caffe.geometry(n.to_proto(), "data", "score").axes
    assert all(axis == first for axis in others)
    return first


def test_the_mini_unet_of_the_original_has_factor_4_and_border_20():
    # 60 -> 20 pixels is what the original Caffe computed (forward.npz).
    y, x = caffe.geometry(REFERENCE / "unet2d" / "deploy.prototxt").axes
    assert y == x == Axis(factor=4, smallest=44, shrink=40, before=20, first=0)


def test_the_mini_3d_unet_of_the_original_has_factor_2_and_border_8():
    geometry = caffe.geometry(REFERENCE / "unet3d" / "deploy.prototxt")
    assert geometry.axes == (Axis(2, smallest=18, shrink=16, before=8, first=0),) * 3


@pytest.mark.parametrize("name", ["phseg_v5", "unet_isbi2012", "unet_isbi2012_narrow"])
def test_the_unets_of_2015_map_188_to_4_and_572_to_388(name):
    geometry = caffe.geometry(MODELS / name / "deploy.prototxt")
    assert (geometry.source, geometry.output) == ("data", "score")
    axis = geometry.axes[0]
    assert axis == Axis(factor=16, smallest=188, shrink=184, before=92, first=0)
    assert axis.output_of(572) == 388


def test_a_built_net_has_the_geometry_of_its_text():
    path = MODELS / "unet_demo" / "deploy.prototxt"
    net = caffe.Net(str(path), caffe.TEST)
    assert caffe.geometry(net).axes == caffe.geometry(path).axes


def test_axes_may_have_different_factors():
    # snemi_v6's first levels: 1x3x3 kernels and 1x2x2 poolings.
    sizes = [1, 2, 2]
    n = start(3)
    n.a = conv(n.data, [1, 3, 3])
    n.b = L.Pooling(n.a, kernel_size=sizes, stride=sizes)
    n.score = up(n.b, sizes, sizes, [0, 0, 0])
    z, y, _ = caffe.geometry(n.to_proto()).axes
    assert z == Axis(factor=1, smallest=1, shrink=0, before=0, first=0)
    assert y.factor == 2


def test_kernel_h_and_kernel_w_are_y_and_x():
    n = start()
    options = {"kernel_h": 3, "kernel_w": 5, "num_output": 1}
    n.score = L.Convolution(n.data, convolution_param=options)
    y, x = caffe.geometry(n.to_proto()).axes
    assert (y.shrink, x.shrink) == (2, 4)


def test_a_padded_net_loses_what_saw_the_padding():
    # Two 3x3 convolutions with pad 1: outputs 0 and 1 saw zeros, 2 did not.
    n = start()
    n.score = conv(conv(n.data, pad=1), pad=1)
    assert axis_of(n) == Axis(factor=1, smallest=5, shrink=4, before=2, first=2)


def test_overlapping_up_convolutions_lose_their_border():
    # Kernel 4, stride 2, pad 1: the first and last output lack a contribution.
    n = start()
    n.score = up(pool(n.data), 4, 2, 1)
    assert axis_of(n) == Axis(factor=2, smallest=4, shrink=2, before=1, first=1)


def test_normalisation_within_a_channel_looks_at_a_window():
    n = start()
    n.score = L.LRN(n.data, norm_region=1, local_size=5)
    assert axis_of(n) == Axis(factor=1, smallest=5, shrink=4, before=2, first=2)


def test_a_crop_cuts_the_axes_that_it_names_from_its_offsets():
    n = start(3)
    n.a = conv(n.data)
    n.score = L.Crop(n.data, n.a, axis=-2, offset=[0, 1])
    whole, y, x = caffe.geometry(n.to_proto()).axes
    assert (whole.shrink, y.shrink, x.shrink) == (0, 2, 2)
    assert (y.before, x.before) == (1, 1)  # in the middle, as only the size tells


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kernel": 5},
        {"size": 3, "levels": 1},
        {"pad": 1},
        {"pad": 1, "up_kernel": 4},
        {"up_kernel": 4, "levels": 1},
    ],
)
def test_usable_outputs_are_exactly_those_that_saw_no_padding(settings):
    """Change what lies outside the tile: only outputs inside keep their values."""
    caffe.set_random_seed(3)
    net = caffe.Net(unet(**settings), caffe.TEST)
    axis = caffe.geometry(net).axes[0]
    size = axis.smallest + 4 * axis.factor
    margin = 6 * axis.factor
    large = size + 2 * margin
    image = np.random.default_rng(1).random((1, 1, large, large)).astype(np.float32)
    part = slice(margin, margin + size)
    small = scores(net, image[:, :, part, part])
    whole = scores(net, image)
    extent = small.shape[-1]
    begin = margin + (size - extent) // 2 - (large - whole.shape[-1]) // 2
    place = slice(begin, begin + extent)
    same = np.isclose(small, whole[:, place, place], rtol=1e-4, atol=1e-6).all(axis=0)
    usable = slice(axis.first, axis.first + axis.output_of(size))
    assert same[usable, usable].all()
    if axis.first:
        assert not same[axis.first - 1, usable].all()
        assert not same[usable.stop, usable].all()


def scores(net, image):
    net.blobs["data"].reshape(*image.shape)
    return net.forward(data=image)["score"][0].copy()


def test_extents_are_the_sizes_that_the_built_net_has():
    net = caffe.Net(unet(levels=2), caffe.TEST)
    geometry = caffe.geometry(net)
    size = geometry.axes[0].smallest + 3 * geometry.axes[0].factor
    net.blobs["data"].reshape(1, 1, size, size)
    net.reshape()
    sizes = {name: blob.shape[2] for name, blob in net.blobs.items()}
    assert geometry.extents(0, size) == sizes


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: L.InnerProduct(x, num_output=2),
        lambda x: L.Flatten(x),
        lambda x: L.MVN(x),
        lambda x: L.Softmax(x, axis=-1),
    ],
)
def test_a_layer_that_mixes_all_positions_is_refused(layer):
    n = start()
    n.mixed = layer(n.data)
    n.score = L.ReLU(n.mixed)
    with pytest.raises(caffe.CheckError, match=r"layer 'mixed' .* mixes all positions"):
        caffe.geometry(n.to_proto(), axes=2)


def test_a_layer_beside_the_scores_may_mix_all_positions():
    n = start()
    n.score = conv(n.data)
    n.count = L.InnerProduct(n.data, num_output=1)
    n.more = L.ReLU(n.count)
    assert axis_of(n).shrink == 2


def test_global_pooling_is_refused():
    n = start()
    n.score = L.Pooling(n.data, global_pooling=True)
    with pytest.raises(caffe.CheckError, match=r"layer 'score' .* pools over all"):
        caffe.geometry(n.to_proto())


def test_an_output_of_lower_resolution_is_refused():
    n = start()
    n.score = pool(n.data)
    with pytest.raises(caffe.CheckError, match="one pixel for 2 pixels of 'data'"):
        caffe.geometry(n.to_proto())


def test_an_output_that_does_not_come_from_the_input_is_refused():
    n = start()
    n.a = L.ReLU(n.data)
    with pytest.raises(caffe.CheckError, match="'x' does not depend on blob 'data'"):
        caffe.geometry(n.to_proto(), output="x")


def test_a_net_that_no_size_fits_is_refused():
    n = start()
    n.a = conv(n.data)
    n.score = L.Crop(n.a, n.data)
    with pytest.raises(caffe.CheckError, match="no input size up to 8192"):
        caffe.geometry(n.to_proto())


def test_layers_of_the_training_phase_are_left_out():
    n = start()
    n.score = conv(n.data)
    proto = n.to_proto()
    proto.layer.add(name="t", type="MVN", include=[{"phase": caffe.TRAIN}])
    proto.layer[-1].bottom.append("score")
    proto.layer[-1].top.append("score")
    assert caffe.geometry(proto).axes[0].shrink == 2


def test_texts_in_old_syntax_are_read(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layers { name: "a" type: CONVOLUTION bottom: "data" top: "a" '
        "convolution_param { num_output: 1 kernel_size: 3 } }"
        'layers { name: "b" type: POOLING bottom: "a" top: "b" '
        "pooling_param { kernel_size: 2 stride: 2 } }"
        'layers { name: "c" type: DECONVOLUTION bottom: "b" top: "score" '
        "convolution_param { num_output: 1 kernel_size: 2 stride: 2 } }"
    )
    assert caffe.geometry(path, axes=2).axes[0] == Axis(2, 4, 2, 1)
    with pytest.raises(caffe.CheckError, match="give axes"):
        caffe.geometry(path)

"""Maps of coordinates, against the published FCN nets and hand calculation."""

import numpy as np
import pytest

import caffe
from caffe import layers as L  # noqa: N812
from caffe import params as P  # noqa: N812
from caffe.coord_map import (
    PASS_THROUGH_LAYERS,
    AxisMismatchException,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)


def net(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    """Convolution, pooling and the deconvolution that undoes it, of twice its size."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 100, 100]})
    n.aux = L.Input(shape={"dim": [2, 1, 20, 20]})
    n.conv = L.Convolution(
        n.data, num_output=10, kernel_size=kernel, stride=stride, pad=pad
    )
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool, pad=0)
    options = {"num_output": 10, "kernel_size": 2 * up, "stride": up, "pad": up_pad}
    n.up = L.Deconvolution(n.pool, convolution_param=options)
    return n


def offset_of(top):
    return top.fn.params["crop_param"]


def conv(bottom, kernel, pad):
    return L.ReLU(
        L.Convolution(bottom, num_output=4, kernel_size=kernel, stride=1, pad=pad),
        in_place=True,
    )


def half(bottom):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2)


def score(bottom):
    return L.Convolution(bottom, num_output=21, kernel_size=1, pad=0)


def upscore(bottom, stride):
    options = {"num_output": 21, "kernel_size": 2 * stride, "stride": stride}
    return L.Deconvolution(bottom, convolution_param=options)


class TestFullyConvolutionalNets:
    """VGG-16 with a border of 100, as published with "Fully convolutional networks"."""

    @pytest.fixture
    def vgg(self):
        n = caffe.NetSpec()
        n.data = L.Input()
        n.pool1 = half(conv(conv(n.data, 3, 100), 3, 1))
        n.pool2 = half(conv(conv(n.pool1, 3, 1), 3, 1))
        n.pool3 = half(conv(conv(conv(n.pool2, 3, 1), 3, 1), 3, 1))
        n.pool4 = half(conv(conv(conv(n.pool3, 3, 1), 3, 1), 3, 1))
        n.pool5 = half(conv(conv(conv(n.pool4, 3, 1), 3, 1), 3, 1))
        fc6 = L.Dropout(conv(n.pool5, 7, 0), dropout_ratio=0.5, in_place=True)
        fc7 = L.Dropout(conv(fc6, 1, 0), dropout_ratio=0.5, in_place=True)
        n.score_fr = score(fc7)
        return n

    def test_fcn_32s_crops_by_19(self, vgg):
        made = crop(upscore(vgg.score_fr, 32), vgg.data)
        assert offset_of(made) == {"axis": 2, "offset": [19]}

    def test_fcn_16s_crops_by_5_and_27(self, vgg):
        up = upscore(vgg.score_fr, 2)
        cut = crop(score(vgg.pool4), up)
        assert offset_of(cut) == {"axis": 2, "offset": [5]}
        fused = L.Eltwise(up, cut, operation=P.Eltwise.SUM)
        made = crop(upscore(fused, 16), vgg.data)
        assert offset_of(made) == {"axis": 2, "offset": [27]}

    def test_fcn_8s_crops_by_5_and_9_and_31(self, vgg):
        up = upscore(vgg.score_fr, 2)
        fused = L.Eltwise(up, crop(score(vgg.pool4), up), operation=P.Eltwise.SUM)
        up = upscore(fused, 2)
        cut = crop(score(vgg.pool3), up)
        assert offset_of(cut) == {"axis": 2, "offset": [9]}
        fused = L.Eltwise(up, cut, operation=P.Eltwise.SUM)
        made = crop(upscore(fused, 8), vgg.data)
        assert offset_of(made) == {"axis": 2, "offset": [31]}


class TestCoordMapFromTo:
    @pytest.mark.parametrize(("factor", "shift"), [(2, 0), (4, -1)])
    def test_pooling_and_deconvolution_cancel(self, factor, shift):
        n = net(pool=factor, up=factor)
        axis, a, b = coord_map_from_to(n.up, n.data)
        assert (axis, a, b) == (1, 1, shift)

    def test_layers_that_move_nothing_change_nothing(self):
        n = net()
        want = coord_map_from_to(n.up, n.data)
        relu = L.ReLU(n.up)
        pointwise = L.Convolution(relu, num_output=10, kernel_size=1, stride=1, pad=0)
        assert coord_map_from_to(relu, n.data) == want
        assert coord_map_from_to(pointwise, n.data) == want

    @pytest.mark.parametrize("pad", [0, 1, 7])
    def test_padding_of_both_kinds_cancels(self, pad):
        plain = net()
        _, a, b = coord_map_from_to(plain.up, plain.data)
        for options, shift in (
            ({"pad": pad}, -pad),
            ({"up_pad": pad}, pad),
            ({"pad": pad, "up_pad": pad}, 0),
        ):
            n = net(**options)
            _, a_pad, b_pad = coord_map_from_to(n.up, n.data)
            assert (a_pad, b_pad) == (a, b + shift)

    def test_every_pair_of_bottom_and_top_has_the_same_map(self):
        n = net()
        options = {"num_output": 10, "kernel_size": 5, "stride": 2, "pad": 0}
        one, two = L.Convolution(n.data, n.aux, ntop=2, **options)
        assert coord_map_from_to(one, n.data) == coord_map_from_to(two, n.aux)

    def test_each_axis_has_its_own_numbers(self):
        first, second = net(3, 1, 0), net(5, 2, 10)
        both = net([3, 5], [1, 2], [0, 10])
        axis, a, b = coord_map_from_to(both.up, both.data)
        assert axis == 1
        for index, n in enumerate((first, second)):
            _, scale, shift = coord_map_from_to(n.up, n.data)
            assert (a[index], b[index]) == (scale, shift)

    def test_volumes_have_three_axes(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [2, 3, 100, 100, 100]})
        n.conv = L.Convolution(
            n.data,
            num_output=10,
            kernel_size=[3, 3, 3],
            stride=[1, 1, 1],
            pad=[0, 1, 2],
        )
        n.pool = half(n.conv)
        n.up = L.Deconvolution(n.pool, num_output=10, kernel_size=4, stride=2, pad=0)
        axis, a, b = coord_map_from_to(n.up, n.data)
        assert axis == 1
        assert np.array_equal(a, [1, 1, 1])
        assert np.array_equal(b, [0, -1, -2])

    def test_pooling_may_be_given_per_axis(self):
        data = L.Input()
        options = {"kernel_size": [1, 2, 2], "stride": [1, 2, 2]}
        for pool in (
            L.Pooling(data, **options),
            L.Pooling(data, pooling_param=options),
        ):
            _, a, b = coord_map_from_to(pool, data)
            assert a == pytest.approx([1, 2, 2])
            assert b == pytest.approx([0, 0.5, 0.5])

    @pytest.mark.parametrize("offset", [0, 3])
    def test_a_crop_adds_its_offset(self, offset):
        n = net()
        axis, a, b = coord_map_from_to(n.up, n.data)
        cut = L.Crop(n.up, n.data, axis=2, offset=offset)
        assert coord_map_from_to(cut, n.data) == (axis, a, b + offset)

    def test_the_second_bottom_of_a_crop_leads_nowhere(self):
        n = net()
        cut = L.Crop(n.aux, n.data)
        with pytest.raises(RuntimeError, match="Could not compute map between tops"):
            coord_map_from_to(cut, n.data)

    def test_tops_that_no_spatial_layers_connect_are_refused(self):
        n = net()
        ip = L.InnerProduct(n.up, num_output=10)
        told = "tops of InnerProduct and Input; are they connected by spatial layers"
        with pytest.raises(RuntimeError, match=told):
            coord_map_from_to(ip, n.data)

    def test_the_way_back_is_the_inverse(self):
        n = net(kernel=5, stride=3, pad=1)
        _, a, b = coord_map_from_to(n.pool, n.data)
        _, a_back, b_back = coord_map_from_to(n.data, n.pool)
        assert a * a_back == pytest.approx(1)
        assert a * b_back + b == pytest.approx(0)


class TestCrop:
    def test_makes_the_layer(self):
        n = net(pad=4)
        n.cut = crop(n.up, n.data)
        layer = n.to_proto().layer[-1]
        assert (layer.type, list(layer.bottom)) == ("Crop", ["up", "data"])
        assert layer.crop_param.axis == 2
        assert list(layer.crop_param.offset) == [4]

    def test_a_top_is_cropped_to_one_in_the_same_place(self):
        n = net()
        assert offset_of(crop(L.ReLU(n.data), n.data)) == {"axis": 2, "offset": [0]}

    def test_scales_that_cancel_but_for_rounding_are_one(self):
        data = L.Input()
        pool = L.Pooling(data, kernel_size=49, stride=49)
        up = L.Deconvolution(pool, kernel_size=49, stride=49)
        _, a, _ = coord_map_from_to(up, data)
        assert a != 1  # the case is what it is meant to be
        assert offset_of(crop(up, data))["offset"] == [0]

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"pool": 3, "up": 2}, r"scale mismatch on crop \(a = "),
            ({"up_pad": 10}, r"cannot crop negative offset \(b = \[10"),
            ({"kernel": 2}, r"cannot crop noninteger offset \(b = \[-0.5"),
        ],
    )
    def test_what_no_crop_aligns_is_refused(self, options, told):
        n = net(**options)
        with pytest.raises(AssertionError, match=told):
            crop(n.up, n.data)


class TestMaps:
    def test_compose_applies_the_second_first(self):
        axis, a, b = compose((1, 2, 3), (1, 5, 7))
        assert (axis, a, b) == (1, 10, 2 * 7 + 3)

    @pytest.mark.parametrize("axes", [(None, 1), (1, None), (1, 1)])
    def test_maps_of_all_axes_take_the_axis_of_the_other(self, axes):
        assert compose((axes[0], 1, 0), (axes[1], 1, 0))[0] == 1

    def test_maps_of_two_axes_do_not_go_together(self):
        with pytest.raises(AxisMismatchException, match="axis 1 and axis 2"):
            compose((1, 1, 0), (2, 1, 0))

    def test_inverse_undoes_a_map(self):
        assert compose((1, 4, 3), inverse((1, 4, 3))) == (1, 1, 0)

    @pytest.mark.parametrize("kind", PASS_THROUGH_LAYERS)
    def test_pass_through_layers_move_nothing(self, kind):
        assert coord_map(getattr(L, kind)(L.Input()).fn) == (None, 1, 0)

    def test_other_layers_have_no_map(self):
        with pytest.raises(UndefinedMapException, match="Softmax has no map"):
            coord_map(L.Softmax(L.Input()).fn)

    def test_im2col_is_a_window_as_a_convolution_is(self):
        options = {"kernel_size": 3, "stride": 2, "pad": 1}
        top = L.Im2col(L.Input(), convolution_param=options)
        assert coord_map(top.fn) == (1, 0.5, 0)


class TestOptions:
    def test_a_window_has_defaults_and_its_dilated_extent(self):
        fn = L.Convolution(L.Input(), kernel_size=3, dilation=[1, 2], axis=2).fn
        axis, stride, extent, pad = conv_params(fn)
        assert axis == 2
        assert (stride.tolist(), extent.tolist(), pad.tolist()) == ([1], [3, 5], [0])

    def test_options_by_height_and_width_are_refused(self):
        fn = L.Convolution(L.Input(), kernel_h=3, kernel_w=3).fn
        with pytest.raises(AssertionError, match=r"\(kernel_h, kernel_w\) of Conv"):
            conv_params(fn)

    def test_global_pooling_has_no_map(self):
        with pytest.raises(UndefinedMapException, match="Pooling has no kernel_size"):
            coord_map(L.Pooling(L.Input(), global_pooling=True).fn)

    @pytest.mark.parametrize("options", [{"axis": 1, "offset": [2, 3]}, {}])
    def test_a_crop_has_defaults(self, options):
        wanted = (options.get("axis", 2), options.get("offset", [0]))
        for given in (options, {"crop_param": options}):
            axis, offset = crop_params(L.Crop(L.Input(), L.Input(), **given).fn)
            assert (axis, offset.tolist()) == wanted

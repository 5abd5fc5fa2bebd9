"""Crop offsets from coordinate maps, against published nets and sums by hand."""

from __future__ import annotations

import pytest

from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.text import parse_text
from caffe.proto.upgrade import upgrade_net


def layer(kind: str, bottoms: str, top: str, param: str = "") -> str:
    """Return a layer's text; its name is that of its top."""
    wires = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    field = "pooling_param" if kind == "Pooling" else "convolution_param"
    field = "crop_param" if kind == "Crop" else field
    text = f"{field} {{ {param} }}" if param else ""
    return f'layer {{ name: "{top}" type: "{kind}"{wires} top: "{top}" {text} }}\n'


def offsets(text: str) -> dict[str, list[int]]:
    """Return the offsets that coordinate maps give a net of today's form."""
    net = parse_text(text, caffe_pb2.NetParameter())
    upgrade_net(net, crop="coordinate_maps")
    crops = [layer for layer in net.layer if layer.type == "Crop"]
    assert {crop.crop_param.axis for crop in crops} == {2}
    return {crop.name: list(crop.crop_param.offset) for crop in crops}


def phseg_v5() -> str:
    """Return the deploy net of the 2015 release: V1 text, Crop without parameters."""
    lines = [
        'name: "phseg_v5" force_backward: true input: "data" '
        "input_dim: 1 input_dim: 1 input_dim: 572 input_dim: 572"
    ]

    def add(
        kind: str, name: str, bottoms: list[str], top: str, param: str = ""
    ) -> None:
        wires = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        lines.append(
            f'layers {{ name: "{name}" type: {kind} {wires} top: "{top}" {param} }}'
        )

    def conv(kind: str, name: str, bottom: str, top: str, window: str) -> None:
        add(
            kind, name, [bottom], top, f"convolution_param {{ num_output: 1 {window} }}"
        )
        add("RELU", f"relu_{top}", [top], top)

    below = "data"
    for level in range(5):
        a, b, c = f"d{level}a", f"d{level}b", f"d{level}c"
        conv("CONVOLUTION", f"conv_{a}-b", below, b, "kernel_size: 3")
        conv("CONVOLUTION", f"conv_d{level}b-c", b, c, "kernel_size: 3")
        if level >= 3:
            train = "include { phase: TRAIN }"
            add("DROPOUT", f"dropout_{c}", [c], c, train)
        below = f"d{level + 1}a"
        if level < 4:
            window = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
            add("POOLING", f"pool_{c}-{below[1:]}", [c], below, window)
    above = "d4c"
    for level in (3, 2, 1, 0):
        u = f"u{level}"
        conv("DECONVOLUTION", f"upconv_{above}_{u}a", above, u + "a",
             "kernel_size: 2 stride: 2")  # fmt: skip
        skip = f"d{level}c"
        add("CROP", f"crop_{skip}-{skip}c", [skip, u + "a"], skip + "c")
        add("CONCAT", f"concat_{skip}c_{u}a-b", [u + "a", skip + "c"], u + "b")
        conv("CONVOLUTION", f"conv_{u}b-c", u + "b", u + "c", "kernel_size: 3")
        conv("CONVOLUTION", f"conv_{u}c-d", u + "c", u + "d", "kernel_size: 3")
        above = u + "d"
    return "\n".join(lines)


@pytest.mark.parametrize("binary", [False, True])
def test_crops_of_the_2015_release_get_the_offsets_of_its_maps(binary):
    net = parse_text(phseg_v5(), caffe_pb2.NetParameter())
    if binary:
        net = caffe_pb2.NetParameter.FromString(net.SerializeToString())
    assert upgrade_net(net)
    found = {
        item.name: (item.crop_param.axis, list(item.crop_param.offset))
        for item in net.layer
        if item.type == "Crop"
    }
    assert found == {
        "crop_d3c-d3cc": (2, [4]),
        "crop_d2c-d2cc": (2, [16]),
        "crop_d1c-d1cc": (2, [40]),
        "crop_d0c-d0cc": (2, [88]),
    }


def fcn8s() -> str:
    """Return the layers of voc-fcn8s (Long et al.) that move or scale positions."""
    lines, blob = [], "data"
    for stage, count in enumerate([2, 2, 3, 3, 3], start=1):
        for step in range(1, count + 1):
            pad, top = (100 if (stage, step) == (1, 1) else 1), f"conv{stage}_{step}"
            lines.append(layer("Convolution", blob, top, f"kernel_size: 3 pad: {pad}"))
            lines.append(layer("ReLU", top, top))
            blob = top
        pool = f"pool{stage}"
        lines.append(layer("Pooling", blob, pool, "kernel_size: 2 stride: 2"))
        blob = pool
    lines += [
        layer("Convolution", "pool5", "fc6", "kernel_size: 7"),
        layer("Convolution", "fc6", "score_fr", "kernel_size: 1"),
        layer("Deconvolution", "score_fr", "up2", "kernel_size: 4 stride: 2"),
        layer("Convolution", "pool4", "score_pool4", "kernel_size: 1"),
        layer("Crop", "score_pool4 up2", "score_pool4c"),
        layer("Eltwise", "up2 score_pool4c", "fuse_pool4"),
        layer("Deconvolution", "fuse_pool4", "up_pool4", "kernel_size: 4 stride: 2"),
        layer("Convolution", "pool3", "score_pool3", "kernel_size: 1"),
        layer("Crop", "score_pool3 up_pool4", "score_pool3c"),
        layer("Eltwise", "up_pool4 score_pool3c", "fuse_pool3"),
        layer("Deconvolution", "fuse_pool3", "up8", "kernel_size: 16 stride: 8"),
        layer("Crop", "up8 data", "score"),
    ]
    return "".join(lines)


def test_crops_of_fcn8s_get_the_offsets_that_its_authors_published():
    assert offsets(fcn8s()) == {"score_pool4c": [5], "score_pool3c": [9], "score": [31]}


def test_axes_with_different_windows_get_an_offset_each():
    text = (
        layer("Convolution", "data", "skip", "kernel_size: 3")
        + layer("Pooling", "skip", "low",
                "kernel_size: [1, 2, 2] stride: [1, 2, 2]")
        + layer("Convolution", "low", "low2", "kernel_size: [3, 3, 5]")
        + layer("Deconvolution", "low2", "up",
                "kernel_size: [1, 2, 2] stride: [1, 2, 2]")
        + layer("Crop", "skip up", "crop")
    )  # fmt: skip
    assert offsets(text) == {"crop": [1, 2, 4]}


def test_windows_given_by_height_and_width_count():
    text = (
        layer("Convolution", "data", "low",
              "kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 0")
        + layer("Crop", "data low", "crop")
    )  # fmt: skip
    assert offsets(text) == {"crop": [0, 2]}


def test_dilation_widens_the_window():
    text = layer("Convolution", "data", "low", "kernel_size: 3 dilation: 4") + layer(
        "Crop", "data low", "crop"
    )
    assert offsets(text) == {"crop": [4]}


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        ("axis: 2 offset: 3", [4]),
        ("axis: 2 offset: 3 offset: 5", [4, 6]),
        ("axis: 3 offset: 5", [1, 6]),
        ("axis: 1 offset: 9 offset: 3 offset: 5", [4, 6]),
        ("axis: 1", [1]),
    ],
)
def test_crops_that_say_where_they_crop_shift_what_follows(param, expected):
    text = (
        layer("Crop", "data other", "small", param)
        + layer("Convolution", "small", "low", "kernel_size: 3")
        + layer("Crop", "data low", "crop")
    )
    net = parse_text(text, caffe_pb2.NetParameter())
    upgrade_net(net, crop="coordinate_maps")
    first, second = net.layer[0].crop_param, net.layer[2].crop_param
    assert first == parse_text(param, caffe_pb2.CropParameter())
    assert list(second.offset) == expected


def test_crops_of_todays_form_are_left_alone_unless_maps_are_asked_for():
    text = layer("Convolution", "data", "low", "kernel_size: 3") + layer(
        "Crop", "data low", "crop"
    )
    for crop in ("explicit", "as_written"):
        net = parse_text(text, caffe_pb2.NetParameter())
        assert not upgrade_net(net, crop=crop)
        assert not net.layer[1].HasField("crop_param")


def test_crops_of_a_weights_file_can_be_left_as_written():
    net = parse_text(
        'layers { name: "c" type: CROP bottom: "a" bottom: "b" }',
        caffe_pb2.NetParameter(),
    )
    assert upgrade_net(net, crop="as_written")
    assert not net.layer[0].HasField("crop_param")


WHERE = "layer 'crop': no offset for cropping 'data' to 'low': "
HINT = "; give crop_param { offset }"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            layer("InnerProduct", "data", "low"),
            "they come from no common blob by layers that keep positions",
        ),
        (
            layer("Pooling", "data", "low", "global_pooling: true"),
            "they come from no common blob by layers that keep positions",
        ),
        (
            layer("Pooling", "data", "low", "kernel_size: 2 stride: 2"),
            "their pixels differ in size (1 and 2)",
        ),
        (
            layer("Convolution", "data", "low", "kernel_size: 2"),
            "it would be 1/2, not a whole number from 0 on",
        ),
        (
            layer("Convolution", "data", "low", "kernel_size: 1 pad: 1"),
            "it would be -1, not a whole number from 0 on",
        ),
        (
            layer("Convolution", "data", "low", "num_output: 1"),
            "layer 'low' has no kernel_size",
        ),
        (
            layer("Convolution", "data", "low", "kernel_size: 3 axis: 2"),
            "layer 'low' has axis 2, not 1",
        ),
        (
            layer("Convolution", "data", "low", "kernel_size: 3 stride: 0"),
            "layer 'low' has stride 0",
        ),
        (
            layer("Convolution", "data", "mid", "kernel_size: 3 kernel_size: 3")
            + layer("Pooling", "mid", "low", "kernel_size: [1, 1, 1]"),
            "the layers between have 2 and 3 axes",
        ),
        (
            'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "low" '
            "slice_param { axis: 2 } }",
            "they come from no common blob by layers that keep positions",
        ),
    ],
)
def test_a_crop_without_a_sure_offset_is_refused(before, expected):
    with pytest.raises(CheckError) as caught:
        offsets(before + layer("Crop", "data low", "crop"))
    assert str(caught.value) == WHERE + expected + HINT


def test_a_crop_needs_two_bottoms():
    with pytest.raises(CheckError) as caught:
        offsets(layer("Crop", "data", "crop"))
    assert str(caught.value) == "layer 'crop': 1 bottoms; a Crop has 2"


def test_in_place_layers_do_not_hide_where_a_blob_comes_from():
    text = (
        layer("Convolution", "data", "a", "kernel_size: 3")
        + layer("ReLU", "a", "a")
        + layer("Dropout", "a", "a")
        + layer("Convolution", "a", "b", "kernel_size: 5")
        + layer("BatchNorm", "b", "b")
        + layer("Crop", "a b", "crop")
    )
    assert offsets(text) == {"crop": [2]}

"""The nets of prototxt/: sizes, parameters, and that their files belong together."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net, read_solver

ROOT = Path(__file__).resolve().parents[2]
NETS = (
    "phseg_v5",
    "unet_isbi2012",
    "unet_isbi2012_narrow",
    "unet_demo",
    "unet_cells",
    "unet_isbi2012_online",
    "unet_vessels",
    "phseg_v5new6",
    "phseg_v7",
    "2d_cell_net_v0",
    "snemi_v6",
    "3dUnet_miccai2016_no_BN",
)
OFFLINE_V2_NETS = NETS[1:5]

# Outputs of the convolutions of a level, from the top to the bottom, and of the
# up-convolution to the top level. The plugin's other nets are in test_plugin_nets.py.
WIDTHS = {
    "phseg_v5": ((64, 128, 256, 512, 1024), 128),
    "unet_isbi2012": ((64, 128, 256, 512, 1024), 64),
    "unet_isbi2012_narrow": ((16, 32, 64, 128, 256), 16),
    "unet_demo": ((16, 32, 64), 16),
    "unet_cells": ((16, 32, 64, 128, 256), 16),
    "unet_isbi2012_online": ((64, 128, 256, 512, 1024), 64),
    "unet_vessels": ((16, 32, 64), 16),
    "phseg_v5new6": ((64, 128, 256, 512, 1024), 128),
    "phseg_v7": ((64, 128, 256, 512, 1024), 64),
}


def parameters(widths: tuple[int, ...], top: int) -> int:
    """Parameters of a U-Net: one grey channel, two classes, two 3x3 a block."""

    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel * kernel + outputs

    total = 0
    inputs = 1
    for width in widths:
        total += conv(inputs, width, 3) + conv(width, width, 3)
        inputs = width
    for skip in reversed(widths[:-1]):
        up = top if skip == widths[0] else skip
        total += conv(inputs, up, 2)
        total += conv(up + skip, skip, 3) + conv(skip, skip, 3)
        inputs = skip
    return total + conv(inputs, 2, 1)


def deploy(name: str) -> str:
    return str(ROOT / "prototxt" / name / "deploy.prototxt")


def train(name: str) -> str:
    return str(ROOT / "prototxt" / name / "train.prototxt")


def learnable(net: caffe_pb2.NetParameter) -> list[tuple[str, str, int]]:
    """Name, type and outputs of the layers that have weights."""
    return [
        (layer.name, layer.type, layer.convolution_param.num_output)
        for layer in net.layer
        if layer.type in ("Convolution", "Deconvolution")
    ]


class TestParameters:
    def test_of_the_release_and_of_the_paper_are_the_published_counts(self):
        assert parameters(*WIDTHS["phseg_v5"]) == 31_100_354
        assert parameters(*WIDTHS["unet_isbi2012"]) == 31_030_658

    @pytest.mark.parametrize("name", WIDTHS)
    def test_of_the_deploy_net_are_as_many_as_the_widths_say(self, name):
        net = caffe.Net(deploy(name), caffe.TEST)
        count = sum(blob.count for blobs in net.params.values() for blob in blobs)
        assert count == parameters(*WIDTHS[name])

    @pytest.mark.parametrize("name", WIDTHS)
    def test_count_stands_in_the_readme(self, name):
        text = (ROOT / "prototxt" / name / "README.md").read_text(encoding="utf-8")
        assert f"{parameters(*WIDTHS[name]):,}" in text


class TestDeploy:
    @pytest.mark.parametrize(
        ("name", "size", "output"),
        [
            ("phseg_v5", 572, 388),
            ("phseg_v5", 588, 404),
            ("unet_isbi2012", 572, 388),
            ("unet_isbi2012_online", 572, 388),
            ("unet_vessels", 268, 228),
            ("unet_isbi2012_narrow", 572, 388),
            ("unet_isbi2012_narrow", 188, 4),
            ("unet_cells", 380, 196),
            ("unet_demo", 188, 148),
            ("unet_demo", 192, 152),
        ],
    )
    def test_scores_have_the_size_of_a_valid_net(self, name, size, output):
        net = caffe.Net(deploy(name), caffe.TEST)
        net.blobs["data"].reshape(1, 1, size, size)
        net.reshape()
        assert tuple(net.blobs["score"].shape) == (1, 2, output, output)

    @pytest.mark.parametrize("name", NETS)
    def test_has_the_layers_with_weights_of_the_training_net(self, name):
        assert learnable(read_net(deploy(name))) == learnable(read_net(train(name)))

    def test_opencv_computes_the_same_scores(self, tmp_path):
        net = caffe.Net(deploy("unet_demo"), caffe.TEST)
        weights = tmp_path / "unet_demo.caffemodel"
        net.save(str(weights))
        image = np.random.default_rng(0).random((1, 1, 188, 188), np.float32)
        net.blobs["data"].data[...] = image
        ours = net.forward()["score"]

        other = cv2.dnn.readNetFromCaffe(deploy("unet_demo"), str(weights))
        other.setInput(image)
        np.testing.assert_allclose(ours, other.forward(), rtol=1e-4, atol=1e-4)


class TestTrain:
    @pytest.mark.parametrize("name", OFFLINE_V2_NETS)
    def test_weighs_the_loss_pixel_by_pixel(self, name):
        (loss,) = (x for x in read_net(train(name)).layer if x.top[:] == ["loss"])
        assert loss.type == "SoftmaxWithLoss"
        assert list(loss.bottom) == ["score", "label", "weights"]

    @pytest.mark.parametrize(
        "name",
        [*NETS[:3], "unet_isbi2012_online", "phseg_v5new6", "phseg_v7"],
    )
    def test_drops_out_at_the_end_of_the_contracting_path(self, name):
        dropped = [
            (layer.bottom[0], layer.top[0], layer.dropout_param.dropout_ratio)
            for layer in read_net(train(name)).layer
            if layer.type == "Dropout"
        ]
        assert dropped == [("d3c", "d3c", 0.5), ("d4c", "d4c", 0.5)]

    @pytest.mark.parametrize("name", NETS)
    def test_starts_from_the_gaussian_of_the_release(self, name):
        fillers = {
            layer.convolution_param.weight_filler.type
            for layer in read_net(train(name)).layer
            if layer.HasField("convolution_param")
        }
        assert fillers == {"msra"}


class TestOnline:
    @pytest.fixture
    def net(self, tmp_path, monkeypatch):
        """The training net on two images that are their own label and weights."""
        text = (ROOT / "prototxt/unet_isbi2012_online/train.prototxt").read_text()
        discs = np.hypot(*(np.mgrid[:512, :512] % 64 - 32)) < 20
        shown = np.stack([discs, ~discs])[:, None].astype(np.float32)
        with h5py.File(tmp_path / "whole.h5", "w") as file:
            file["data"], file["label"], file["weights"] = shown, shown, shown
        (tmp_path / "train.txt").write_text(f"{tmp_path}/whole.h5\n")
        path = tmp_path / "train.prototxt"
        path.write_text(text.replace("data/isbi2012_whole", str(tmp_path)))
        caffe.set_random_seed(3)
        return caffe.Net(str(path), caffe.TRAIN)

    def test_bends_labels_and_weights_as_the_image(self, net):
        assert net.blobs["tile"].data.shape == (1, 1, 572, 572)
        net.forward(end="augment_greys")
        net.forward(start="deform_label", end="deform_weights")
        image = net.blobs["deformed"].data[0, 0, 92:480, 92:480]
        label = net.blobs["tile_label"].data[0, 0]
        weights = net.blobs["tile_weights"].data[0, 0]
        assert label.shape == (388, 388)
        assert set(np.unique(label)) == {0, 1}
        assert np.mean((image > 0.5) == label) > 0.99
        np.testing.assert_allclose(weights, image, atol=1e-6)

    def test_draws_another_tile_each_time(self, net):
        net.forward(end="deform_data")
        first = net.blobs["deformed"].data.copy()
        net.forward(end="deform_data")
        assert np.abs(net.blobs["deformed"].data - first).mean() > 0.1

    def test_differs_from_the_paper_s_net_in_data_layers_alone(self):
        ours, theirs = (
            [layer.name for layer in read_net(train(name)).layer]
            for name in ("unet_isbi2012_online", "unet_isbi2012")
        )
        rest = [name for name in ours if name in theirs]
        assert rest == theirs
        added = [name for name in ours if name not in theirs]
        assert added == [
            "create_deformation", "deform_data", "augment_greys", "plain_tile",
            "deform_label", "deform_weights", "plain_label", "plain_weights",
        ]  # fmt: skip

    def test_is_tested_on_plain_tiles(self):
        text = (ROOT / "prototxt/unet_isbi2012_online/train.prototxt").read_text()
        net = read_net(train("unet_isbi2012_online"))
        tested = [
            layer.type
            for layer in net.layer
            if [rule.phase for rule in layer.include] == [caffe_pb2.TEST]
        ]
        assert tested == ["HDF5Data", "Concat", "Concat", "Concat", "Accuracy"]
        assert "data/isbi2012/test.txt" in text


class TestPhsegV5:
    def test_keeps_the_order_of_the_release(self):
        net = read_net(train("phseg_v5"))
        assert net.name == "phseg_v5"
        assert net.force_backward
        assert [name for name, _, _ in learnable(net)] == [
            *("conv_d0a-b", "conv_d0b-c", "conv_d1a-b", "conv_d1b-c"),
            *("conv_d2a-b", "conv_d2b-c", "conv_d3a-b", "conv_d3b-c"),
            *("conv_d4a-b", "conv_d4b-c"),
            *("upconv_d4c_u3a", "conv_u3b-c", "conv_u3c-d"),
            *("upconv_u3d_u2a", "conv_u2b-c", "conv_u2c-d"),
            *("upconv_u2d_u1a", "conv_u1b-c", "conv_u1c-d"),
            *("upconv_u1d_u0a", "conv_u0b-c", "conv_u0c-d"),
            "conv_u0d-score",
        ]

    def test_crops_centrally_without_saying_where(self):
        text = Path(deploy("phseg_v5")).read_text()
        assert "crop_param" not in text
        crops = {
            layer.name: list(layer.crop_param.offset)
            for layer in read_net(deploy("phseg_v5")).layer
            if layer.type == "Crop"
        }
        assert {name: offsets[0] for name, offsets in crops.items()} == {
            "crop_d3c-d3cc": 4,
            "crop_d2c-d2cc": 16,
            "crop_d1c-d1cc": 40,
            "crop_d0c-d0cc": 88,
        }
        assert all(len(set(offsets)) == 1 for offsets in crops.values())


class TestSolver:
    @pytest.mark.parametrize("name", NETS)
    def test_names_the_training_net_beside_it(self, name):
        solver = read_solver(ROOT / "prototxt" / name / "solver.prototxt")
        assert (ROOT / solver.net).samefile(train(name))

    @pytest.mark.parametrize("name", [*NETS[:2], "unet_isbi2012_online"])
    def test_of_the_full_width_is_the_papers(self, name):
        solver = read_solver(ROOT / "prototxt" / name / "solver.prototxt")
        assert solver.type == "SGD"
        assert solver.momentum == pytest.approx(0.99)
        batch = {
            layer.hdf5_data_param.batch_size
            for layer in read_net(train(name)).layer
            if layer.type == "HDF5Data"
        }
        assert (batch, solver.iter_size) == ({1}, 1)

"""The nets of the Fiji plugin's time: layers as published, model definitions to match.

Numbers are those of the published definitions.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net, read_solver
from pyunet import zoo
from pyunet.cli import main
from pyunet_fiji.modeldef import ModelDefinition, read_modeldef
from pyunet_fiji.modeldef.checks import check_modeldef
from pyunet_fiji.modeldef.findings import Effect
from pyunet_fiji.modeldef.shapes import (
    border,
    input_shape,
    net_geometry,
    output_shape,
    smallest_k,
)
from tests.support.nets import narrow, parameters, set_tile, write_images

PROTOTXT = Path(__file__).resolve().parents[2] / "prototxt"
NAMES = (
    "phseg_v5new6",
    "phseg_v7",
    "2d_cell_net_v0",
    "snemi_v6",
    "3dUnet_miccai2016_no_BN",
)
OLD = NAMES[:2]  # from before the plugin: their files for it are apart
# Parameters for one channel: three published counts, two by hand (sums below).
PARAMETERS = {
    "phseg_v5new6": 31_100_354,
    "phseg_v7": 31_030_658,
    "2d_cell_net_v0": 31_321_794,
    "snemi_v6": 5_567_586,
    "3dUnet_miccai2016_no_BN": 19_069_123,
}
# How often an axis is halved.
LEVELS = dict.fromkeys(NAMES[:3], (4, 4)) | {
    "snemi_v6": (2, 4, 4),
    "3dUnet_miccai2016_no_BN": (3, 3, 3),
}
# Input and output tile of the published training.
TILES = {
    "phseg_v5new6": ((540, 540), (356, 356)),
    "phseg_v7": ((540, 540), (356, 356)),
    "2d_cell_net_v0": ((540, 540), (356, 356)),
    "snemi_v6": ((44, 268, 268), (4, 84, 84)),
    "3dUnet_miccai2016_no_BN": ((116, 132, 132), (28, 44, 44)),
}
CLASSES = dict.fromkeys(NAMES, 2) | {"3dUnet_miccai2016_no_BN": 3}


def net_of(name: str, kind: str) -> caffe_pb2.NetParameter:
    return read_net(PROTOTXT / name / f"{kind}.prototxt")


def definition_of(name: str) -> ModelDefinition:
    return read_modeldef(PROTOTXT / name / f"{name}.modeldef.h5")


def text_of(name: str) -> str:
    """The file whose text the model definition holds."""
    kind = "finetune" if name in OLD else "train"
    return (PROTOTXT / name / f"{kind}.prototxt").read_text(encoding="utf-8")


def model_of(name: str) -> caffe_pb2.NetParameter:
    """The net of the model definition, for both phases."""
    return text_format.Parse(
        definition_of(name).model_prototxt, caffe_pb2.NetParameter()
    )


def layers_of(net: caffe_pb2.NetParameter, kind: str) -> list[caffe_pb2.LayerParameter]:
    return [layer for layer in net.layer if layer.type == kind]


def plugin_net(name: str) -> caffe_pb2.NetParameter:
    """The net as caffe_unet builds it for the smallest tile, but narrow."""
    definition = definition_of(name)
    dims = (1, 1, *input_shape(definition, smallest_k(definition)))
    blob = definition.input_blob_name
    head = (
        f'layer {{ name: "{blob}" type: "Input" top: "{blob}" input_param '
        f"{{ shape {{ {' '.join(f'dim: {n}' for n in dims)} }} }} }}\n"
    )
    text = "state { phase: TEST }\n" + head + definition.model_prototxt
    return narrow(text_format.Parse(text, caffe_pb2.NetParameter()), 16)


def deploy_net(name: str, shape: tuple[int, ...]) -> caffe_pb2.NetParameter:
    """The net for segmenting one image of a shape, narrow."""
    net = net_of(name, "deploy")
    net.layer[0].input_param.shape[0].dim[2:] = shape
    return narrow(net, 16)


class TestParameters:
    @pytest.mark.parametrize("name", NAMES)
    def test_are_as_many_as_published(self, name):
        net = net_of(name, "deploy")
        assert parameters(net, 1, len(LEVELS[name])) == PARAMETERS[name]

    @pytest.mark.parametrize("name", NAMES)
    def test_stand_in_the_readme(self, name):
        text = (PROTOTXT / name / "README.md").read_text(encoding="utf-8")
        assert f"{PARAMETERS[name]:,}" in text

    def test_of_the_volumes_are_what_the_widths_give(self):
        # inputs, outputs and kernel of every layer with weights, by hand
        flat, cube = 9, 27
        snemi = (
            *((1, 32, flat), (32, 32, flat), (32, 32, flat), (32, 32, flat)),
            *((32, 64, cube), (64, 64, cube), (64, 128, cube), (128, 128, cube)),
            *((128, 256, cube), (256, 256, cube)),
            *((256, 128, 8), (256, 128, cube), (128, 128, cube)),
            *((128, 64, 8), (128, 64, cube), (64, 64, cube)),
            *((64, 32, 4), (64, 32, flat), (32, 32, flat)),
            *((32, 32, 4), (64, 32, flat), (32, 32, flat), (32, 2, 1)),
        )
        kidney = (
            *((1, 32, cube), (32, 64, cube), (64, 64, cube), (64, 128, cube)),
            *((128, 128, cube), (128, 256, cube), (256, 256, cube), (256, 512, cube)),
            *((512, 512, 8), (768, 256, cube), (256, 256, cube)),
            *((256, 256, 8), (384, 128, cube), (128, 128, cube)),
            *((128, 128, 8), (192, 64, cube), (64, 64, cube), (64, 3, 1)),
        )
        for name, layers in (("snemi_v6", snemi), (NAMES[4], kidney)):
            assert PARAMETERS[name] == sum(i * o * k + o for i, o, k in layers)


class TestModelDefinition:
    @pytest.mark.parametrize("name", NAMES)
    def test_holds_the_texts_of_the_folder(self, name):
        definition = definition_of(name)
        solver = (PROTOTXT / name / "solver.prototxt").read_text(encoding="utf-8")
        assert definition.model_prototxt == text_of(name)
        assert definition.solver_prototxt == solver

    @pytest.mark.parametrize("name", NAMES)
    def test_is_what_the_command_of_the_readme_makes(self, name, tmp_path, monkeypatch):
        readme = (PROTOTXT / name / "README.md").read_text(encoding="utf-8")
        (command,) = re.findall(
            r"^ +pyunet (modeldef create .+?)\n\n", readme, re.M | re.S
        )
        shutil.copytree(PROTOTXT / name, tmp_path / "prototxt" / name)
        monkeypatch.chdir(tmp_path)
        made = Path("prototxt", name, f"{name}.modeldef.h5")
        made.unlink()
        assert main(shlex.split(command.replace("\\\n", ""))) == 0
        assert read_modeldef(made) == definition_of(name)

    @pytest.mark.parametrize("name", NAMES)
    def test_has_no_fault_that_the_check_finds(self, name):
        path = PROTOTXT / name / f"{name}.modeldef.h5"
        found = {(note.where, note.effect) for note in check_modeldef(path)}
        # a tile of no slices is the smallest that the plugin offers for snemi_v6
        zero = {("/unet_param/padOutput", Effect.NOTE)}
        assert found == (zero if name == "snemi_v6" else set())

    @pytest.mark.parametrize("name", NAMES)
    def test_is_complete_for_the_plugin(self, name):
        definition = definition_of(name)
        assert definition.missing == ()
        assert definition.ident == definition.name == name
        assert (definition.input_blob_name, definition.padding) == ("data3", "mirror")
        assert definition.normalization_type == 1
        assert definition.description

    @pytest.mark.parametrize("name", NAMES)
    def test_has_only_texts_of_a_fixed_length(self, name):
        texts = []

        def look(path, item):
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "SO":
                texts.append((path, h5py.check_string_dtype(item.dtype).length))

        with h5py.File(PROTOTXT / name / f"{name}.modeldef.h5") as file:
            file.visititems(look)
        assert len(texts) >= 7
        assert all(length for _, length in texts), texts

    @pytest.mark.parametrize("name", NAMES)
    def test_has_the_geometry_of_its_layers(self, name):
        definition = definition_of(name)
        source, count = definition.input_blob_name, definition.dimensions
        axes = caffe.geometry(model_of(name), source, "score", axes=count).axes
        assert tuple(axis.factor for axis in axes) == definition.downsample_factor
        assert tuple(axis.before for axis in axes) == border(definition)
        least = smallest_k(definition)
        assert tuple(a.smallest for a in axes) == input_shape(definition, least)
        assert tuple(axis.output_of(axis.smallest) for axis in axes) == output_shape(
            definition, least
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_has_the_geometry_of_its_levels(self, name):
        definition = definition_of(name)
        assert net_geometry(LEVELS[name]) == (
            definition.downsample_factor,
            definition.pad_input,
            definition.pad_output,
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_makes_the_tiles_of_the_published_training(self, name):
        definition = definition_of(name)
        tile, scores = TILES[name]
        factors, pads = definition.downsample_factor, definition.pad_input
        k = [(n - pad) // f for n, pad, f in zip(tile, pads, factors, strict=True)]
        assert input_shape(definition, k) == tile
        assert output_shape(definition, k) == scores
        (layer,) = layers_of(model_of(name), "CreateDeformation")
        param = layer.create_deformation_param
        assert (param.nz, param.ny, param.nx)[-len(tile) :] == tile
        assert param.ncomponents == len(tile)

    @pytest.mark.parametrize("name", NAMES)
    def test_builds_as_caffe_unet_does_for_the_smallest_tile(self, name):
        definition = definition_of(name)
        net = caffe.Net(plugin_net(name), caffe.TEST)
        shape = output_shape(definition, smallest_k(definition))
        assert net.inputs == ["data3"]
        assert net.outputs == ["score"]
        assert tuple(net.blobs["score"].shape) == (1, CLASSES[name], *shape)

    @pytest.mark.parametrize("name", NAMES)
    def test_gives_the_scores_of_the_deploy_net(self, name, tmp_path):
        caffe.set_random_seed(2)
        ours = caffe.Net(plugin_net(name), caffe.TEST)
        weights = str(tmp_path / "weights.caffemodel")
        ours.save(weights)
        shape = tuple(ours.blobs["data3"].shape)
        theirs = caffe.Net(deploy_net(name, shape[2:]), caffe.TEST)
        theirs.copy_from(weights)
        image = np.random.default_rng(0).random(shape, np.float32)
        np.testing.assert_array_equal(
            ours.forward(data3=image)["score"], theirs.forward(data=image)["score"]
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_keeps_what_the_plugin_asks_of_a_net_to_finetune(self, name):
        net = model_of(name)
        (data,) = layers_of(net, "HDF5Data")
        assert list(data.top) == ["data", "labels", "weights", "weights2"]
        (field,) = layers_of(net, "CreateDeformation")
        assert list(field.bottom) == ["weights2"]
        assert field.create_deformation_param.random_offset_range_from_pdf
        tops = {top: layer for layer in net.layer for top in layer.top}
        assert tops["data3"].type == "ValueAugmentation"
        assert tops["score"].HasField("convolution_param")
        assert list(tops["loss"].bottom) == ["score", "labelcrop", "weightcrop"]
        assert not tops["loss"].HasField("loss_param")
        ways = {
            layer.top[0]: layer.apply_deformation_param.interpolation
            for layer in layers_of(net, "ApplyDeformation")
        }
        assert ways == {
            "data2": "linear",
            "labelcrop": "nearest",
            "weightcrop": "linear",
        }
        only_train = {"HDF5Data", "CreateDeformation", "ApplyDeformation"}
        only_train |= {"ValueAugmentation", "SoftmaxWithLoss", "Dropout"}
        for layer in net.layer:
            phases = [rule.phase for rule in layer.include]
            assert phases == [caffe_pb2.TRAIN] * (layer.type in only_train)

    @pytest.mark.parametrize("name", NAMES)
    def test_trains_a_step_of_a_narrow_copy(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        definition = definition_of(name)
        net = narrow(model_of(name), 8)
        tile = input_shape(definition, smallest_k(definition))
        set_tile(net, tile)
        # as large as no tile: what lies beyond an image is mirrored
        image = tuple(n // 2 + axis for axis, n in enumerate(tile))
        write_images(Path("image.h5"), image, image)
        Path("train.txt").write_text("image.h5\n")
        (data,) = layers_of(net, "HDF5Data")
        data.hdf5_data_param.source = "train.txt"
        Path("net.prototxt").write_text(text_format.MessageToString(net))
        solver = text_format.Parse(
            definition.solver_prototxt, caffe_pb2.SolverParameter()
        )
        solver.net, solver.snapshot, solver.max_iter = "net.prototxt", 0, 1
        solver.random_seed = 4
        Path("solver.prototxt").write_text(text_format.MessageToString(solver))
        running = caffe.get_solver("solver.prototxt")
        before = {k: v[0].data.copy() for k, v in running.net.params.items()}
        running.step(1)
        assert 0 < running.net.blobs["loss"].data < 100
        moved = {
            key: np.abs(running.net.params[key][0].data - was).max()
            for key, was in before.items()
        }
        # the first step of Adam is at most its rate
        assert all(0 < step < 1.1e-5 for step in moved.values()), moved

    @pytest.mark.parametrize("name", NAMES)
    def test_s_solver_shows_each_iteration_which_the_plugin_plots(self, name):
        solver = read_solver(PROTOTXT / name / "solver.prototxt")
        assert solver.display == 1
        assert solver.type == "Adam"
        assert solver.snapshot_format == caffe_pb2.SolverParameter.HDF5
        assert (solver.momentum, solver.momentum2) == pytest.approx((0.9, 0.999))
        assert solver.base_lr == pytest.approx(1e-5)


class TestFinetune:
    @pytest.mark.parametrize("name", OLD)
    def test_has_the_layers_of_the_published_net(self, name):
        """All between data and loss, but for the name of the first bottom."""
        nets = []
        for kind in ("finetune", "train"):
            net = net_of(name, kind)
            names = [layer.name for layer in net.layer]
            first, last = names.index("conv_d0a-b"), names.index("conv_u0d-score")
            net.layer[first].bottom[0] = "data"
            nets.append(list(net.layer)[first : last + 1])
        assert nets[0] == nets[1]
        assert net_of(name, "finetune").force_backward

    @pytest.mark.parametrize("name", OLD)
    def test_ignores_no_label_as_the_published_net_does(self, name):
        (published,) = layers_of(net_of(name, "train"), "SoftmaxWithLoss")
        assert published.loss_param.ignore_label == 2
        (ours,) = layers_of(net_of(name, "finetune"), "SoftmaxWithLoss")
        assert not ours.HasField("loss_param")


class TestPublishedLayers:
    @pytest.mark.parametrize("name", NAMES[:3])
    def test_with_weights_have_the_names_of_the_release(self, name):
        release = net_of("phseg_v5", "train")
        kinds = ("Convolution", "Deconvolution")
        ours, theirs = (
            [layer.name for layer in net.layer if layer.type in kinds]
            for net in (net_of(name, "train"), release)
        )
        assert ours == theirs

    def test_of_phseg_v5new6_give_the_scores_of_the_release(self, tmp_path):
        """With the same weights: Concat crops as the release's Crop layers do."""
        caffe.set_random_seed(3)
        release, ours = (
            caffe.Net(deploy_net(name, (204, 188)), caffe.TEST)
            for name in ("phseg_v5", "phseg_v5new6")
        )
        release.save(str(tmp_path / "release.caffemodel"))
        ours.copy_from(str(tmp_path / "release.caffemodel"))
        image = np.random.default_rng(0).random((1, 1, 204, 188), np.float32)
        theirs = release.forward(data=image)["score"]
        np.testing.assert_allclose(ours.forward(data=image)["score"], theirs, rtol=1e-5)

    @pytest.mark.parametrize("name", NAMES)
    def test_leave_the_crop_to_concat_upsampled_first(self, name):
        net = net_of(name, "train")
        assert not layers_of(net, "Crop")
        for layer in layers_of(net, "Concat"):
            up, skip = layer.bottom
            level = up[1]
            assert (up, skip) == (f"u{level}a", f"d{level}c")
            assert layer.name == f"concat_d{level}c_u{level}a-b"

    @pytest.mark.parametrize("name", NAMES)
    def test_rectify_every_blob_but_the_scores(self, name):
        net = net_of(name, "train")
        computed = {
            layer.top[0]
            for layer in net.layer
            if layer.type in ("Convolution", "Deconvolution")
        }
        slopes = {
            layer.top[0]: layer.relu_param.negative_slope
            for layer in layers_of(net, "ReLU")
        }
        assert set(slopes) == computed - {"score"}
        wanted = 0.1 if name == "2d_cell_net_v0" else 0
        assert list(slopes.values()) == pytest.approx([wanted] * len(slopes))

    @pytest.mark.parametrize(
        ("name", "bias"),
        [
            ("phseg_v5new6", -0.3165),
            ("phseg_v7", -0.3165),
            ("2d_cell_net_v0", 0),
            ("snemi_v6", 0),
            ("3dUnet_miccai2016_no_BN", -0.1),
        ],
    )
    def test_start_with_the_published_bias_in_the_first_layer_alone(self, name, bias):
        caffe.set_random_seed(1)
        net = caffe.Net(plugin_net(name), caffe.TEST)
        biases = {layer: p[1].data for layer, p in net.params.items()}
        np.testing.assert_allclose(biases.pop("conv_d0a-b"), bias)
        assert not any(values.any() for values in biases.values())

    def test_of_2d_cell_net_v0_drop_out_twice(self):
        dropped = [
            (layer.name, layer.top[0], layer.dropout_param.dropout_ratio)
            for layer in layers_of(net_of("2d_cell_net_v0", "train"), "Dropout")
        ]
        assert dropped == [("dropout_d3c", "d3c", 0.5), ("dropout_d4c", "d4c", 0.5)]

    def test_of_2d_cell_net_v0_shift_greys_by_a_half(self):
        (layer,) = layers_of(net_of("2d_cell_net_v0", "train"), "ValueTransformation")
        assert list(layer.bottom) == ["data3"]
        assert list(layer.top) == ["d0a"]
        assert list(layer.value_transformation_param.offset.v) == [-0.5]
        assert not layer.include

    def test_of_2d_cell_net_v0_keep_128_channels_at_the_top(self):
        outputs = {
            layer.name: layer.convolution_param.num_output
            for layer in net_of("2d_cell_net_v0", "train").layer
        }
        top = ("upconv_u1d_u0a", "conv_u0b-c", "conv_u0c-d")
        assert [outputs[name] for name in top] == [128] * 3

    @pytest.mark.parametrize("name", ["2d_cell_net_v0", "phseg_v7"])
    def test_bend_the_plane_as_published(self, name):
        (layer,) = layers_of(net_of(name, "train"), "CreateDeformation")
        param = layer.create_deformation_param
        ranges = {
            "2d_cell_net_v0": ([-8, -8], [8, 8]),
            "phseg_v7": ([-270, -270], [790, 966]),
        }
        offsets = (list(param.random_offset_from.v), list(param.random_offset_to.v))
        assert offsets == ranges[name]
        assert list(param.random_elastic_grid_spacing.v) == [150, 150]
        assert list(param.random_elastic_deform_magnitude.v) == [10, 10]
        assert (param.random_rotate_from.v[0], param.random_rotate_to.v[0]) == (0, 360)

    @pytest.mark.parametrize(
        ("name", "black", "white"),
        [
            ("2d_cell_net_v0", (-0.05, 0.05), (0.95, 1.05)),
            ("phseg_v7", (0, 0.1), (0.9, 1)),
        ],
    )
    def test_bend_greys_as_published(self, name, black, white):
        (layer,) = layers_of(net_of(name, "train"), "ValueAugmentation")
        param = layer.value_augmentation_param
        assert (param.black_from, param.black_to) == pytest.approx(black)
        assert (param.white_from, param.white_to) == pytest.approx(white)
        assert (param.slope_min, param.slope_max) == pytest.approx((0.8, 1.2))

    def test_of_phseg_v5new6_read_what_was_bent_before(self):
        net = net_of("phseg_v5new6", "train")
        (data,) = layers_of(net, "HDF5Data")
        assert data.hdf5_data_param.batch_size == 1
        assert not layers_of(net, "CreateDeformation")

    def test_of_snemi_v6_are_flat_at_the_two_finest_levels(self):
        net = net_of("snemi_v6", "train")
        for layer in net.layer:
            level = min((int(x) for x in layer.name if x.isdigit()), default=0)
            kernel = list(layer.convolution_param.kernel_size)
            if layer.type == "Convolution" and layer.name != "conv_u0d-score":
                assert kernel == ([1, 3, 3] if level < 2 else [3])
            elif layer.type == "Deconvolution":
                assert kernel == ([1, 2, 2] if level < 2 else [2])
            elif layer.type == "Pooling":
                window = list(layer.pooling_param.kernel_size)
                assert window == list(layer.pooling_param.stride)
                assert window == ([1, 2, 2] if level < 2 else [2])
        (layer,) = layers_of(net, "CreateDeformation")
        param = layer.create_deformation_param
        assert list(param.random_elastic_grid_spacing.v) == [16, 70, 70]
        assert list(param.random_elastic_deform_magnitude.v) == [2, 10, 10]
        assert not layers_of(net, "Dropout")

    def test_of_the_net_of_2016_double_before_they_shrink(self):
        outputs = [
            layer.convolution_param.num_output
            for layer in net_of("3dUnet_miccai2016_no_BN", "train").layer
            if layer.type in ("Convolution", "Deconvolution")
        ]
        down = [32, 64, 64, 128, 128, 256, 256, 512]
        up = [512, 256, 256, 256, 128, 128, 128, 64, 64, 3]
        assert outputs == [*down, *up]


@pytest.mark.parametrize("name", NAMES)
def test_the_zoo_knows_the_net(name):
    assert name in zoo.model_names()
    assert zoo.find_model(name) == PROTOTXT / name / "deploy.prototxt"

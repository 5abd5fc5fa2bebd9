"""Published nets, written as prototxt by their definition: sizes, and that they learn.

Data comes from DummyData, one or a few images of the published size. Numbers of
parameters are counted by hand here, apart from the engine.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net

MODELS = Path(__file__).parent
SMALL = (
    "lenet",
    "cifar10_quick",
    "cifar10_full",
    "googlenet",
    "mnist_siamese",
    "mnist_autoencoder",
)
LARGE = ("alexnet", "caffenet", "rcnn_ilsvrc13", "fcn8s")
EVERY = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


def conv(inputs: int, outputs: int, kernel: int, *, group: int = 1) -> int:
    """Weights and biases of a convolution; an inner product has kernel 1."""
    return outputs * (inputs // group) * kernel * kernel + outputs


def full(*widths: int) -> int:
    """Weights and biases of a chain of inner products."""
    pairs = itertools.pairwise(widths)
    return sum(conv(inputs, outputs, 1) for inputs, outputs in pairs)


def lenet() -> int:
    return conv(1, 20, 5) + conv(20, 50, 5) + full(4 * 4 * 50, 500, 10)


def cifar10() -> int:
    return conv(3, 32, 5) + conv(32, 32, 5) + conv(32, 64, 5)


def alexnet(classes: int = 1000) -> int:
    convolutions = (
        conv(3, 96, 11)
        + conv(96, 256, 5, group=2)
        + conv(256, 384, 3)
        + conv(384, 384, 3, group=2)
        + conv(384, 256, 3, group=2)
    )
    return convolutions + full(6 * 6 * 256, 4096, 4096, classes)


# Table 1 of the paper: input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
INCEPTIONS = (
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
)


def inception(data: int, one: int, r3: int, c3: int, r5: int, c5: int, p: int) -> int:
    return (
        conv(data, one, 1)
        + conv(data, r3, 1)
        + conv(r3, c3, 3)
        + conv(data, r5, 1)
        + conv(r5, c5, 5)
        + conv(data, p, 1)
    )


def googlenet(*, auxiliary: bool) -> int:
    stem = conv(3, 64, 7) + conv(64, 64, 1) + conv(64, 192, 3)
    body = stem + sum(inception(*row) for row in INCEPTIONS) + full(1024, 1000)
    if not auxiliary:
        return body
    heads = (conv(inputs, 128, 1) for inputs in (512, 528))
    return body + sum(heads) + 2 * full(4 * 4 * 128, 1024, 1000)


def autoencoder() -> int:
    return full(784, 1000, 500, 250, 30, 250, 500, 1000, 784)


def vgg16_body() -> int:
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    pairs = itertools.pairwise(widths)
    return sum(conv(inputs, outputs, 3) for inputs, outputs in pairs)


def fcn8s(*, upsampling: int) -> int:
    """`upsampling`: kernels of an up-convolution, one a class or one a pair."""
    head = conv(512, 4096, 7) + conv(4096, 4096, 1)
    scores = conv(4096, 21, 1) + conv(512, 21, 1) + conv(256, 21, 1)
    return vgg16_body() + head + scores + upsampling * (4 * 4 + 4 * 4 + 16 * 16)


COUNTS = {
    "lenet": lenet(),
    "cifar10_quick": cifar10() + full(4 * 4 * 64, 64, 10),
    "cifar10_full": cifar10() + full(4 * 4 * 64, 10),
    "alexnet": alexnet(),
    "caffenet": alexnet(),
    "rcnn_ilsvrc13": alexnet(200),
    "googlenet": googlenet(auxiliary=True),
    "mnist_siamese": lenet() + full(10, 2),
    "mnist_autoencoder": autoencoder(),
    "fcn8s": fcn8s(upsampling=21),
}

SHAPES = {
    "lenet": {"pool2": (2, 50, 4, 4), "ip2": (2, 10)},
    "cifar10_quick": {"pool3": (2, 64, 4, 4), "ip2": (2, 10)},
    "cifar10_full": {"norm2": (2, 32, 8, 8), "ip1": (2, 10)},
    "alexnet": {"conv1": (1, 96, 55, 55), "pool5": (1, 256, 6, 6), "fc8": (1, 1000)},
    "caffenet": {"norm1": (1, 96, 27, 27), "pool5": (1, 256, 6, 6), "fc8": (1, 1000)},
    "rcnn_ilsvrc13": {"pool5": (1, 256, 6, 6), "fc-rcnn": (1, 200)},
    "googlenet": {
        "inception_3a/output": (1, 256, 28, 28),
        "inception_4e/output": (1, 832, 14, 14),
        "inception_5b/output": (1, 1024, 7, 7),
        "loss1/ave_pool": (1, 512, 4, 4),
        "pool5/7x7_s1": (1, 1024, 1, 1),
    },
    "mnist_siamese": {"data_p": (2, 1, 28, 28), "feat": (2, 2), "feat_p": (2, 2)},
    "mnist_autoencoder": {"encode4": (4, 30), "decode1neuron": (4, 784)},
    "fcn8s": {"fc7": (1, 4096, 2, 2), "score": (1, 21, 32, 32)},
}


# Both branches of the siamese net push these by the same amount, one up, one down.
BALANCED = {("mnist_siamese", "ip2", 1), ("mnist_siamese", "feat", 1)}


@pytest.fixture(autouse=True)
def _seed():
    caffe.set_random_seed(7)


def path(name: str) -> str:
    return str(MODELS / f"{name}.prototxt")


def solver(name: str, folder: Path) -> caffe.SGDSolver:
    file = folder / "solver.prototxt"
    file.write_text(
        f'net: "{path(name)}" base_lr: 1e-4 lr_policy: "fixed" momentum: 0.9 '
        f'weight_decay: 5e-4 display: 0 max_iter: 1 snapshot_prefix: "{folder}/s"'
    )
    return caffe.SGDSolver(str(file))


class TestCounts:
    def test_by_hand_are_the_published_ones(self):
        assert COUNTS["lenet"] == 431_080
        assert COUNTS["cifar10_quick"] == 145_578
        assert COUNTS["cifar10_full"] == 89_578
        assert COUNTS["caffenet"] == 60_965_224
        assert COUNTS["mnist_autoencoder"] == 2_837_314
        assert googlenet(auxiliary=False) == 6_998_552
        assert googlenet(auxiliary=True) == 13_378_280
        assert vgg16_body() == 14_714_688
        assert fcn8s(upsampling=21 * 21) // 10**6 == 134

    @pytest.mark.parametrize("name", EVERY)
    def test_of_a_net_are_those_by_hand(self, name):
        net = caffe.Net(path(name), caffe.TEST)
        assert sum(each.blob.count for each in net.learnable) == COUNTS[name]


class TestForward:
    @pytest.mark.parametrize("name", EVERY)
    def test_gives_numbers_in_the_published_shapes(self, name):
        net = caffe.Net(path(name), caffe.TEST)
        outputs = net.forward()
        assert outputs
        assert all(np.isfinite(value).all() for value in outputs.values())
        found = {blob: net.blobs[blob].data.shape for blob in SHAPES[name]}
        assert found == SHAPES[name]


class TestTraining:
    @pytest.mark.parametrize("name", EVERY)
    def test_changes_every_learned_parameter_in_one_step(self, name, tmp_path):
        one = solver(name, tmp_path)
        learned = [each for each in one.net.learnable if each.lr_mult]
        before = [each.blob.data.copy() for each in learned]
        one.step(1)
        for each, old in zip(learned, before, strict=True):
            new = each.blob.data
            assert np.isfinite(new).all()
            place = (name, each.layer_name, each.index)
            assert place in BALANCED or not np.array_equal(new, old), place

    def test_of_the_siamese_net_keeps_both_branches_equal(self, tmp_path):
        one = solver("mnist_siamese", tmp_path)
        one.step(2)
        for layer in ("conv1", "conv2", "ip1", "ip2", "feat"):
            pairs = zip(
                one.net.params[layer], one.net.params[f"{layer}_p"], strict=True
            )
            assert all(np.array_equal(a.data, b.data) for a, b in pairs)

    def test_of_googlenet_weighs_the_auxiliary_losses_by_0_3(self):
        net = caffe.Net(path("googlenet"), caffe.TRAIN)
        weights = {k: w for k, w in net.blob_loss_weights.items() if w}
        assert weights == pytest.approx(
            {"loss1/loss": 0.3, "loss2/loss": 0.3, "loss3/loss3": 1}
        )

    def test_of_the_autoencoder_counts_the_euclidean_loss_as_0(self):
        net = caffe.Net(path("mnist_autoencoder"), caffe.TRAIN)
        weights = {k: w for k, w in net.blob_loss_weights.items() if w}
        assert weights == {"cross_entropy_loss": 1}


class TestFirstWeights:
    def test_of_the_autoencoder_are_about_15_an_input(self):
        net = caffe.Net(path("mnist_autoencoder"), caffe.TEST)
        weights = net.params["encode1"][0].data
        # Caffe keeps a number with probability 15 / (number of outputs).
        kept = np.count_nonzero(weights, axis=0)
        assert kept.mean() == pytest.approx(15, abs=0.5)

    @pytest.mark.slow
    def test_of_fcn8s_upsample_a_constant_to_itself(self):
        net = caffe.Net(path("fcn8s"), caffe.TEST)
        for layer, factor in (("upscore2", 2), ("upscore_pool4", 2), ("upscore8", 8)):
            kernels = net.params[layer][0].data
            assert kernels.shape == (21, 1, 2 * factor, 2 * factor)
            phases = kernels.reshape(21, 2, factor, 2, factor).sum((1, 3))
            assert np.allclose(phases, 1)


def test_every_file_is_tested():
    files = {file.stem for file in MODELS.glob("*.prototxt")}
    assert files == set(COUNTS) == set(SHAPES) == {*SMALL, *LARGE}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_layer_has_a_name_of_its_own(name):
    net = read_net(path(name))
    assert isinstance(net, caffe_pb2.NetParameter)
    names = [layer.name for layer in net.layer]
    assert len(names) == len(set(names))

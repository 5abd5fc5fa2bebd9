"""FCN-8s and OCR compute what the same nets in plain torch compute, same weights."""

from __future__ import annotations

import runpy
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import caffe
from caffe.export import to_onnx

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("fcn8s", "ocr_hrnetv2_w48")
CLASSES, THINNER, SIZE = 3, 16, (64, 96)


def made(name):
    return runpy.run_path(str(ROOT / "prototxt" / name / "make.py"))


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """A thin net with weights that tell layers apart, and its twin's function."""
    caffe.set_random_seed(1)
    net = caffe.Net(made(request.param)["deployed"](CLASSES, 3, THINNER), caffe.TEST)
    rng = np.random.default_rng(2)
    for name, blobs in net.params.items():
        if name.endswith("/bn"):
            blobs[0].data[...] = rng.normal(0, 0.1, blobs[0].shape)
            blobs[1].data[...] = rng.uniform(0.5, 2, blobs[1].shape)
            blobs[2].data[...] = 1
        elif name.startswith(("score_", "coarse", "fine")):
            blobs[0].data[...] = rng.normal(0, 0.3, blobs[0].shape)
        for blob in blobs[1:2] if not name.endswith("/bn") else ():
            blob.data[...] = rng.normal(0, 0.1, blob.shape)
    net.blobs["data"].reshape(1, 3, *SIZE)
    net.reshape()
    return net, {"fcn8s": fcn8s, "ocr_hrnetv2_w48": ocr}[request.param]


class Weights:
    """Weights of a net of Caffe as torch takes them."""

    def __init__(self, net):
        self.of = {
            name: [torch.from_numpy(blob.data.copy()) for blob in blobs]
            for name, blobs in net.params.items()
        }

    def conv(self, name, x, **options):
        weight, *bias = self.of[name]
        return functional.conv2d(x, weight, *bias, **options)

    def normal(self, name, x, *, stride=1, relu=True):
        (weight,) = self.of[name]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
        mean, variance, _ = self.of[f"{name}/bn"]
        x = functional.batch_norm(x, mean, variance, *self.of[f"{name}/scale"])
        return functional.relu(x) if relu else x

    def larger(self, name, x, stride):
        (weight,) = self.of[name]
        return functional.conv_transpose2d(x, weight, stride=stride, groups=len(weight))


def fcn8s(x, w):
    """Offsets of 5, 9 and 31 pixels are the published ones."""
    pools, size = [], x.shape[2:]
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            pad = 100 if block == number == 1 else 1
            x = functional.relu(w.conv(f"conv{block}_{number}", x, padding=pad))
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    x = functional.relu(w.conv("fc7", functional.relu(w.conv("fc6", x))))
    x = w.larger("upscore2", w.conv("score_fr", x), 2)
    for number, factor, offset in ((4, 0.01, 5), (3, 0.0001, 9)):
        y = w.conv(f"score_pool{number}", factor * pools[number - 1])
        height, width = x.shape[2:]
        x = x + y[:, :, offset : offset + height, offset : offset + width]
        name = "upscore_pool4" if number == 4 else "upscore8"
        x = w.larger(name, x, 2 if number == 4 else 8)
    return x[:, :, 31 : 31 + size[0], 31 : 31 + size[1]]


def resized(x, size):
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


def residual(name, x, w, kinds):
    y = x
    for kind in kinds:
        y = w.normal(f"{name}/{kind}", y, relu=kind != kinds[-1])
    if f"{name}/skip" in w.of:
        x = w.normal(f"{name}/skip", x, relu=False)
    return functional.relu(x + y)


def exchanged(name, xs, to, w):
    total = xs[to]
    for source, y in enumerate(xs):
        part = f"{name}/fuse/{source}to{to}"
        if source > to:
            y = resized(w.normal(part, y, relu=False), xs[to].shape[2:])
            total = total + y
        for step in range(to - source):
            last = step == to - source - 1
            y = w.normal(f"{part}/{step}", y, stride=2, relu=not last)
        total = total + y if source < to else total
    return functional.relu(total)


def hrnet(x, w):
    for name in ("stem1", "stem2"):
        x = w.normal(name, x, stride=2)
    for block in range(4):
        x = residual(f"stage1/{block}", x, w, "abc")
    xs = [w.normal("transition2/0", x), w.normal("transition2/1", x, stride=2)]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        if stage > 2:
            name = f"transition{stage}/{stage - 1}"
            xs.append(w.normal(name, xs[-1], stride=2))
        for module in range(modules):
            name = f"stage{stage}/{module}"
            for level, block in product(range(len(xs)), range(4)):
                xs[level] = residual(
                    f"{name}/branch{level}/{block}", xs[level], w, "ab"
                )
            xs = [exchanged(name, xs, to, w) for to in range(len(xs))]
    return torch.cat([xs[0], *(resized(y, xs[0].shape[2:]) for y in xs[1:])], 1)


def ocr(x, w):
    features = hrnet(x, w)
    coarse = w.conv("coarse", w.normal("aux", features))
    pixels = w.normal("pixels", features)
    regions = coarse.flatten(2).softmax(2)
    objects = torch.einsum("nkp,ncp->nck", regions, pixels.flatten(2))[..., None]
    query = w.normal("query2", w.normal("query1", pixels))
    key = w.normal("key2", w.normal("key1", objects)).squeeze(3)
    value = w.normal("value", objects).squeeze(3)
    likeness = torch.einsum("nck,ncyx->nkyx", key, query) * (256 // THINNER) ** -0.5
    context = torch.einsum("nck,nkyx->ncyx", value, likeness.softmax(1))
    both = torch.cat([w.normal("context", context), pixels], 1)
    return resized(w.conv("fine", w.normal("augmented", both)), x.shape[2:])


def test_scores_are_those_of_plain_torch(pair):
    net, twin = pair
    data = np.random.default_rng(3).normal(size=(1, 3, *SIZE)).astype(np.float32)
    scores = net.forward(data=data)["score"]
    with torch.no_grad():
        wanted = twin(torch.from_numpy(data), Weights(net)).numpy()
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-4 * wanted.std())


def test_onnx_runtime_gives_the_same_scores(pair, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net, twin = pair
    data = np.random.default_rng(4).normal(size=(1, 3, *SIZE)).astype(np.float32)
    to_onnx(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (scores,) = session.run(["score"], {"data": data})
    with torch.no_grad():
        wanted = twin(torch.from_numpy(data), Weights(net)).numpy()
    np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["deploy", "train"])
def test_the_files_are_what_the_script_writes(name, kind):
    net = made(name)["deployed" if kind == "deploy" else "training"]()
    text = (ROOT / "prototxt" / name / f"{kind}.prototxt").read_text("utf-8")
    assert text == caffe.to_text(net)


@pytest.mark.parametrize(
    ("name", "count"), [("fcn8s", 134_281_226), ("ocr_hrnetv2_w48", 70_350_000)]
)
def test_it_has_as_many_parameters_as_are_published(name, count):
    """FCN-8s: VGG-16's 134 million; OCR: 70.35 million for Cityscapes' 19 classes."""
    classes = 19 if name.startswith("ocr") else 2
    cost = caffe.cost(caffe.Net(made(name)["deployed"](classes), caffe.TEST))
    learnt = sum(layer.parameters for layer in cost.layers if layer.type != "BatchNorm")
    assert learnt == pytest.approx(count, rel=2e-3)

"""Small nets of the kinds that programs give to OpenCV, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe import layers as L  # noqa: N812
from caffe import params as P  # noqa: N812

Net = tuple[str, str]  # paths of prototxt and weights


def written(spec: Any, folder: Path, seed: int = 0) -> Net:
    """Write a net and random weights that keep values of the size of the inputs'."""
    text, weights = folder / "deploy.prototxt", folder / "net.caffemodel"
    text.write_text(caffe.to_text(spec.to_proto()))
    net = caffe.Net(str(text), caffe.TEST)
    rng = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        kind = net.layer_dict[name].type
        for i, blob in enumerate(blobs):
            blob.data[...] = _values(rng, kind, i, blob.shape)
    net.save(str(weights))
    return str(text), str(weights)


def _values(rng: Any, kind: str, index: int, shape: tuple[int, ...]) -> Any:
    if kind == "BatchNorm":
        low, high = ((-0.3, 0.3), (0.5, 1.5), (1, 1))[index]
        return rng.uniform(low, high, shape)
    if kind in ("Scale", "Normalize", "PReLU"):
        return rng.uniform(0.5, 1.5, shape) if index == 0 else rng.normal(size=shape)
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 10
    return rng.normal(size=shape) / np.sqrt(fan_in)


def started(channels: int, *size: int) -> Any:
    """Begin a net with an input of this size."""
    n = caffe.NetSpec()
    n.data = L.Input(input_param={"shape": {"dim": [1, channels, *size]}})
    return n


def convolved(n: Any, name: str, bottom: Any, outputs: int, **options: Any) -> Any:
    """Add a convolution that keeps the size, and a ReLU in its place."""
    options = {"kernel_size": 3, "pad": 1, **options}
    n[name] = L.Convolution(bottom, num_output=outputs, **options)
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{name}_relu"]


def googlenet(folder: Path) -> Net:
    """LRN, branches that are concatenated, dropout, softmax."""
    n = started(3, 32, 32)
    x = convolved(n, "conv1/7x7_s2", n.data, 8, kernel_size=7, pad=3, stride=2)
    n["pool1"] = L.Pooling(x, kernel_size=3, stride=2, pool=P.Pooling.MAX)
    n["norm1"] = L.LRN(n["pool1"], local_size=5, alpha=1e-2, beta=0.75)
    a = convolved(n, "inc/1x1", n["norm1"], 4, kernel_size=1, pad=0)
    b = convolved(n, "inc/3x3", n["norm1"], 6)
    n["inc/pool"] = L.Pooling(n["norm1"], kernel_size=3, stride=1, pad=1)
    c = convolved(n, "inc/proj", n["inc/pool"], 4, kernel_size=1, pad=0)
    n["inc/output"] = L.Concat(a, b, c)
    n["pool5"] = L.Pooling(n["inc/output"], kernel_size=8, pool=P.Pooling.AVE)
    n["drop"] = L.Dropout(n["pool5"], in_place=True)
    n["loss3/classifier"] = L.InnerProduct(n["drop"], num_output=10)
    n["prob"] = L.Softmax(n["loss3/classifier"])
    return written(n, folder)


def ages(folder: Path) -> Net:
    """Three inner products, as of nets for age and gender."""
    n = started(3, 27, 27)
    x = convolved(n, "conv1", n.data, 6, kernel_size=7, pad=0, stride=4)
    n.pool1 = L.Pooling(x, kernel_size=3, stride=2)
    n.norm1 = L.LRN(n.pool1, local_size=5, alpha=1e-4)
    for i in (6, 7):
        last = n.norm1 if i == 6 else n.drop6
        n[f"fc{i}"] = L.InnerProduct(last, num_output=12)
        n[f"relu{i}"] = L.ReLU(n[f"fc{i}"], in_place=True)
        n[f"drop{i}"] = L.Dropout(n[f"relu{i}"], in_place=True)
    n.fc8 = L.InnerProduct(n.drop7, num_output=8)
    n.prob = L.Softmax(n.fc8)
    return written(n, folder)


def ssd(folder: Path, *, depthwise: bool, classes: int = 3, keep: int = 20) -> Net:
    """Two scales of boxes; batch normalization, or depthwise convolutions."""
    n = started(3, 48, 48)
    if depthwise:
        x = convolved(n, "conv0", n.data, 8, stride=2)
        x = convolved(n, "conv1/dw", x, 8, group=8, stride=2)
        x = convolved(n, "conv1", x, 16, kernel_size=1, pad=0)
    else:
        n.data_bn = L.BatchNorm(n.data)
        n.data_scale = L.Scale(n.data_bn, bias_term=True, in_place=True)
        x = convolved(n, "conv1", n.data_scale, 16, stride=4)
        n.norm = L.Normalize(
            x, norm_param={"across_spatial": False, "channel_shared": False}
        )
        x = n.norm
    y = convolved(n, "conv2", x, 16, stride=2)
    parts: dict[str, list[Any]] = {"loc": [], "conf": [], "priors": []}
    for i, (top, least, most) in enumerate(((x, 8, 16), (y, 16, 30))):
        for kind, outputs in (("loc", 4), ("conf", classes)):
            name = f"s{i}_{kind}"
            n[name] = L.Convolution(top, num_output=4 * outputs, kernel_size=1)
            n[f"{name}_perm"] = L.Permute(
                n[name], permute_param={"order": [0, 2, 3, 1]}
            )
            n[f"{name}_flat"] = L.Flatten(n[f"{name}_perm"], axis=1)
            parts[kind].append(n[f"{name}_flat"])
        n[f"s{i}_priors"] = L.PriorBox(
            top, n.data,
            prior_box_param={
                "min_size": least, "max_size": most, "aspect_ratio": 2, "clip": False,
                "variance": [0.1, 0.1, 0.2, 0.2],
            },
        )  # fmt: skip
        parts["priors"].append(n[f"s{i}_priors"])
    n.mbox_loc = L.Concat(*parts["loc"], axis=1)
    n.mbox_conf = L.Concat(*parts["conf"], axis=1)
    n.mbox_priors = L.Concat(*parts["priors"], axis=2)
    n.conf_reshape = L.Reshape(n.mbox_conf, shape={"dim": [0, -1, classes]})
    n.conf_softmax = L.Softmax(n.conf_reshape, axis=2)
    n.conf_flatten = L.Flatten(n.conf_softmax, axis=1)
    n.detection_out = L.DetectionOutput(
        n.mbox_loc, n.conf_flatten, n.mbox_priors,
        detection_output_param={
            "num_classes": classes, "share_location": True, "background_label_id": 0,
            "nms_param": {"nms_threshold": 0.45, "top_k": 100}, "keep_top_k": keep,
            "code_type": "CENTER_SIZE", "confidence_threshold": 0.4,
        },
    )  # fmt: skip
    return written(n, folder)


def segmenter(folder: Path) -> Net:
    """Scores enlarged by a deconvolution and cropped, as FCN has them."""
    n = started(3, 24, 24)
    x = convolved(n, "conv1_1", n.data, 8, pad=10)
    n.pool1 = L.Pooling(x, kernel_size=2, stride=2)
    x = convolved(n, "conv2", n.pool1, 8, dilation=2, pad=2)
    n.score_fr = L.Convolution(x, num_output=5, kernel_size=1)
    n.upscore = L.Deconvolution(
        n.score_fr,
        convolution_param={"num_output": 5, "kernel_size": 4, "stride": 2},
    )
    n.score = L.Crop(n.upscore, n.data, axis=2, offset=9)
    return written(n, folder)


def poses(folder: Path) -> Net:
    """Two branches in two stages, concatenated at the end, as OpenPose has them."""
    n = started(3, 32, 32)
    x = convolved(n, "conv1_1", n.data, 8)
    n.pool1_stage1 = L.Pooling(x, kernel_size=2, stride=2)
    features = convolved(n, "conv4_4_CPM", n.pool1_stage1, 8)
    top = features
    for stage in (1, 2):
        for branch, outputs in ((1, 6), (2, 4)):
            name = f"stage{stage}_L{branch}"
            n[f"Mconv6_{name}"] = L.Convolution(top, num_output=8, kernel_size=1)
            n[f"Mrelu6_{name}"] = L.PReLU(n[f"Mconv6_{name}"], in_place=True)
            n[f"Mconv7_{name}"] = L.Convolution(
                n[f"Mrelu6_{name}"], num_output=outputs, kernel_size=1
            )
        ends = [n[f"Mconv7_stage{stage}_L{branch}"] for branch in (2, 1)]
        name = "net_output" if stage == 2 else "concat_stage2"
        n[name] = L.Concat(*ends, *([features] if stage == 1 else []))
        top = n[name]
    return written(n, folder)


def colours(folder: Path) -> Net:
    """Ends in a scale and a convolution whose weights the program sets."""
    n = caffe.NetSpec()
    n.data_l = L.Input(input_param={"shape": {"dim": [1, 1, 32, 32]}})
    x = convolved(n, "bw_conv1_1", n.data_l, 8, stride=2)
    n.conv1_2norm = L.BatchNorm(x)
    n.conv8_313 = L.Convolution(n.conv1_2norm, num_output=13, kernel_size=1)
    n.conv8_313_rh = L.Scale(n.conv8_313, bias_term=False)
    n.class8_313_rh = L.Softmax(n.conv8_313_rh)
    n.class8_ab = L.Convolution(n.class8_313_rh, num_output=2, kernel_size=1)
    return written(n, folder)


def styles(folder: Path) -> Net:
    """A residual block between a strided convolution and a deconvolution."""
    n = started(3, 24, 24)
    x = convolved(n, "down", n.data, 8, stride=2)
    y = convolved(n, "res_a", x, 8)
    n.res_b = L.Convolution(y, num_output=8, kernel_size=3, pad=1)
    n.res_bn = L.BatchNorm(n.res_b, in_place=True)
    n.res_scale = L.Scale(n.res_bn, bias_term=True, in_place=True)
    n.res = L.Eltwise(x, n.res_scale, operation=P.Eltwise.SUM)
    n.up = L.Deconvolution(
        n.res,
        convolution_param={"num_output": 3, "kernel_size": 4, "stride": 2, "pad": 1},
    )
    n.tanh = L.TanH(n.up)
    n.deprocess = L.Power(n.tanh, scale=127.5, shift=127.5)
    return written(n, folder)


def several_outputs(folder: Path, heads: Sequence[tuple[str, int]]) -> Net:
    """Heads that end in sigmoids, at two scales, as of YOLO and EAST."""
    n = started(3, 32, 32)
    x = convolved(n, "base", n.data, 8, stride=2)
    for i, (name, outputs) in enumerate(heads):
        x = convolved(n, f"conv{i}", x, 8, stride=2)
        n[f"{name}_conv"] = L.Convolution(x, num_output=outputs, kernel_size=1)
        n[name] = L.Sigmoid(n[f"{name}_conv"])
    return written(n, folder)

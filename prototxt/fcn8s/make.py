"""Write the prototxts of this folder: FCN-8s on VGG-16, trained all at once.

Long, Shelhamer, Darrell, *Fully Convolutional Networks for Semantic Segmentation*
(2015), https://arxiv.org/abs/1411.4038, section 4; "at once" is of the later version,
https://arxiv.org/abs/1605.06211. Run ``python prototxt/fcn8s/make.py`` to make them
again; other programs call `training` and `deployed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe import NetSpec, layers, params, to_text
from caffe.coord_map import crop

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width, convolutions
HIDDEN = 4096
LEARNT = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
FIXED = [{"lr_mult": 0, "decay_mult": 0}]


def _convolution(bottom: Any, outputs: int, kernel: int, pad: int = 0) -> Any:
    return layers.Convolution(
        bottom,
        num_output=outputs,
        kernel_size=kernel,
        pad=pad,
        param=LEARNT,
        weight_filler={"type": "msra"},
    )


def _score(bottom: Any, classes: int) -> Any:
    """Scores of the classes, all 0 at first."""
    return layers.Convolution(bottom, num_output=classes, kernel_size=1, param=LEARNT)


def _larger(bottom: Any, classes: int, times: int) -> Any:
    """Bilinear interpolation, each class by itself."""
    return layers.Deconvolution(
        bottom,
        param=FIXED,
        convolution_param={
            "num_output": classes,
            "group": classes,
            "kernel_size": 2 * times,
            "stride": times,
            "bias_term": False,
            "weight_filler": {"type": "bilinear"},
        },
    )


def _sum(first: Any, second: Any) -> Any:
    return layers.Eltwise(first, second, operation=params.Eltwise.SUM)


def add_net(n: NetSpec, classes: int, thinner: int = 1) -> None:
    """Add all from ``n.data`` to ``n.score``.

    Parameters
    ----------
    n : NetSpec
        With a top ``data``.
    classes : int
    thinner : int, default 1
        By which all widths but the number of classes are divided.
    """
    x = n.data
    for block, (width, count) in enumerate(BLOCKS, 1):
        for number in range(1, count + 1):
            # so that an image of any size has at least one score
            pad = 100 if (block, number) == (1, 1) else 1
            x = _convolution(x, width // thinner, 3, pad)
            n[f"conv{block}_{number}"] = x
            x = n[f"relu{block}_{number}"] = layers.ReLU(x, in_place=True)
        x = layers.Pooling(x, pool=params.Pooling.MAX, kernel_size=2, stride=2)
        n[f"pool{block}"] = x
    for name, kernel in (("6", 7), ("7", 1)):
        x = n[f"fc{name}"] = _convolution(x, HIDDEN // thinner, kernel)
        x = n[f"relu{name}"] = layers.ReLU(x, in_place=True)
        x = n[f"drop{name}"] = layers.Dropout(x, dropout_ratio=0.5, in_place=True)
    n.score_fr = _score(x, classes)
    n.upscore2 = _larger(n.score_fr, classes, 2)

    # the pools' values are far larger than the scores; "at once" scales them down
    n.scale_pool4 = layers.Scale(
        n.pool4, filler={"type": "constant", "value": 0.01}, param=FIXED
    )
    n.score_pool4 = _score(n.scale_pool4, classes)
    n.score_pool4c = crop(n.score_pool4, n.upscore2)
    n.fuse_pool4 = layers.Eltwise(
        n.upscore2, n.score_pool4c, operation=params.Eltwise.SUM
    )
    n.upscore_pool4 = _larger(n.fuse_pool4, classes, 2)

    n.scale_pool3 = layers.Scale(
        n.pool3, filler={"type": "constant", "value": 1e-4}, param=FIXED
    )
    n.score_pool3 = _score(n.scale_pool3, classes)
    n.score_pool3c = crop(n.score_pool3, n.upscore_pool4)
    n.fuse_pool3 = layers.Eltwise(
        n.upscore_pool4, n.score_pool3c, operation=params.Eltwise.SUM
    )
    n.upscore8 = _larger(n.fuse_pool3, classes, 8)
    n.score = crop(n.upscore8, n.data)


def deployed(classes: int = 2, channels: int = 3, thinner: int = 1) -> Any:
    """Net for scores of images.

    Returns
    -------
    NetParameter
    """
    n = NetSpec()
    n.data = layers.Input(shape={"dim": [1, channels, 500, 500]})
    add_net(n, classes, thinner)
    net = n.to_proto()
    net.name = "fcn8s"
    return net


def training(classes: int = 2, thinner: int = 1) -> Any:
    """Net for training on tiles of `pyunet data make`.

    Returns
    -------
    NetParameter
    """
    n = NetSpec()
    n.data, n.label, n.weights = layers.HDF5Data(
        ntop=3,
        hdf5_data_param={"source": "data/train.txt", "batch_size": 1, "shuffle": True},
    )
    add_net(n, classes, thinner)
    n.loss = layers.SoftmaxWithLoss(
        n.score, n.label, n.weights, loss_param={"ignore_label": classes}
    )
    net = n.to_proto()
    net.name = "fcn8s"
    return net


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, net in (("deploy", deployed()), ("train", training())):
        (folder / f"{name}.prototxt").write_text(to_text(net), encoding="utf-8")

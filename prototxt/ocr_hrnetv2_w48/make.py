"""Write the prototxts of this folder: OCR on HRNetV2-W48.

Yuan, Chen, Wang, *Object-Contextual Representations for Semantic Segmentation* (2020),
https://arxiv.org/abs/1909.11065, on the backbone of Sun and others,
*High-Resolution Representations for Labeling Pixels and Regions* (2019),
https://arxiv.org/abs/1904.04514. Run ``python prototxt/ocr_hrnetv2_w48/make.py`` to
make them again; other programs call `training` and `deployed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe import NetSpec, layers, params, to_text

WIDTHS = (48, 96, 192, 384)  # of the four resolutions, 1/4 to 1/32
MODULES = (1, 4, 3)  # with two, three, four resolutions
STEM, BOTTLENECK, BLOCKS = 64, 256, 4
MIDDLE, KEY = 512, 256
LEARNT = [{"lr_mult": 1, "decay_mult": 1}]
BIASED = [*LEARNT, {"lr_mult": 2, "decay_mult": 0}]
STATISTICS = [{"lr_mult": 0, "decay_mult": 0}] * 3
PLAIN = [{"lr_mult": 1, "decay_mult": 0}] * 2
AUXILIARY = 0.4  # weight of the loss of the coarse scores


class _Net:
    """A net in the making: every layer is named by what it is part of."""

    def __init__(self, n: NetSpec, thinner: int) -> None:
        self.n = n
        self.thinner = thinner

    def convolution(
        self,
        name: str,
        x: Any,
        width: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        relu: bool = True,
    ) -> Any:
        """Convolution, batch normalization and, unless told otherwise, ReLU."""
        x = self.n[name] = layers.Convolution(
            x,
            num_output=max(1, width // self.thinner),
            kernel_size=kernel,
            stride=stride,
            pad=kernel // 2,
            bias_term=False,
            param=LEARNT,
            weight_filler={"type": "msra"},
        )
        x = self.n[f"{name}/bn"] = layers.BatchNorm(x, param=STATISTICS)
        x = self.n[f"{name}/scale"] = layers.Scale(
            x, bias_term=True, param=PLAIN, in_place=True
        )
        return self.relu(name, x) if relu else x

    def relu(self, name: str, x: Any) -> Any:
        """Rectify in place."""
        top = self.n[f"{name}/relu"] = layers.ReLU(x, in_place=True)
        return top

    def sum(self, name: str, parts: list[Any]) -> Any:
        """Add, and rectify."""
        if len(parts) == 1:
            return parts[0]
        total = self.n[name] = layers.Eltwise(*parts, operation=params.Eltwise.SUM)
        return self.relu(name, total)

    def scores(self, name: str, x: Any, classes: int) -> Any:
        """Convolution of one pixel, to the classes."""
        top = self.n[name] = layers.Convolution(
            x,
            num_output=classes,
            kernel_size=1,
            param=BIASED,
            weight_filler={"type": "msra"},
        )
        return top

    def as_large(self, name: str, x: Any, other: Any) -> Any:
        """Interpolate to the size of another blob."""
        top = self.n[name] = layers.Interp(x, other)
        return top

    def bottleneck(self, name: str, x: Any, *, first: bool) -> Any:
        """Residual block of three convolutions."""
        y = self.convolution(f"{name}/a", x, STEM, 1)
        y = self.convolution(f"{name}/b", y, STEM)
        y = self.convolution(f"{name}/c", y, BOTTLENECK, 1, relu=False)
        if first:
            x = self.convolution(f"{name}/skip", x, BOTTLENECK, 1, relu=False)
        return self.sum(name, [x, y])

    def basic(self, name: str, x: Any, width: int) -> Any:
        """Residual block of two convolutions."""
        y = self.convolution(f"{name}/a", x, width)
        y = self.convolution(f"{name}/b", y, width, relu=False)
        return self.sum(name, [x, y])

    def exchange(self, name: str, branches: list[Any], to: int) -> Any:
        """Sum of all resolutions at one of them."""
        parts = []
        for source, x in enumerate(branches):
            part = f"{name}/{source}to{to}"
            if source > to:
                x = self.convolution(part, x, WIDTHS[to], 1, relu=False)
                x = self.as_large(f"{part}/up", x, branches[to])
            for step in range(to - source):
                last = step == to - source - 1
                width = WIDTHS[to if last else source]
                x = self.convolution(f"{part}/{step}", x, width, 3, 2, relu=not last)
            parts.append(x)
        return self.sum(f"{name}/{to}", parts)

    def module(self, name: str, branches: list[Any]) -> list[Any]:
        """Four blocks at each resolution, then the exchange between them."""
        for level, x in enumerate(branches):
            for block in range(BLOCKS):
                x = self.basic(f"{name}/branch{level}/{block}", x, WIDTHS[level])
            branches[level] = x
        return [
            self.exchange(f"{name}/fuse", branches, i) for i in range(len(branches))
        ]

    def hrnet(self, x: Any) -> Any:
        """Features of all resolutions, together at 1/4."""
        for number in (1, 2):
            x = self.convolution(f"stem{number}", x, STEM, 3, 2)
        for block in range(BLOCKS):
            x = self.bottleneck(f"stage1/{block}", x, first=block == 0)
        branches = [x]
        for stage, modules in enumerate(MODULES, 2):
            lowest = branches[-1]
            if stage == 2:
                branches = [self.convolution("transition2/0", x, WIDTHS[0])]
            level = len(branches)
            branches.append(
                self.convolution(
                    f"transition{stage}/{level}", lowest, WIDTHS[level], 3, 2
                )
            )
            for module in range(modules):
                branches = self.module(f"stage{stage}/{module}", branches)
        larger = [
            self.as_large(f"up{level}", branch, branches[0])
            for level, branch in enumerate(branches[1:], 1)
        ]
        self.n.features = layers.Concat(branches[0], *larger)
        return self.n.features

    def ocr(self, features: Any, classes: int) -> tuple[Any, Any]:
        """Scores, and the coarse ones that say which pixels make up an object."""
        n = self.n
        width = sum(WIDTHS)
        coarse = self.scores(
            "coarse", self.convolution("aux", features, width, 1), classes
        )
        pixels = self.convolution("pixels", features, MIDDLE)

        # an object is the mean of its pixels, weighted by how much they are of it
        n.regions_flat = layers.Reshape(coarse, shape={"dim": [0, 0, -1]})
        n.regions = layers.Softmax(n.regions_flat, axis=2)
        n.objects_flat = layers.MatMul(pixels, n.regions, transpose_b=True)
        n.objects = layers.Reshape(n.objects_flat, shape={"dim": [0, 0, -1, 1]})

        query, key = pixels, n.objects
        for number in (1, 2):
            query = self.convolution(f"query{number}", query, KEY, 1)
            key = self.convolution(f"key{number}", key, KEY, 1)
        value = self.convolution("value", n.objects, KEY, 1)
        n.key_flat = layers.Reshape(key, shape={"dim": [0, 0, -1]})
        n.value_flat = layers.Reshape(value, shape={"dim": [0, 0, -1]})
        n.likeness = layers.MatMul(
            n.key_flat,
            query,
            transpose_a=True,
            scale=max(1, KEY // self.thinner) ** -0.5,
        )
        n.attention = layers.Softmax(n.likeness)
        n.context_sum = layers.MatMul(n.value_flat, n.attention)
        context = self.convolution("context", n.context_sum, MIDDLE, 1)
        n.both = layers.Concat(context, pixels)
        x = self.convolution("augmented", n.both, MIDDLE, 1)
        x = n.drop = layers.Dropout(x, dropout_ratio=0.05, in_place=True)
        return self.scores("fine", x, classes), coarse


def add_net(n: NetSpec, classes: int, thinner: int = 1) -> None:
    """Add all from ``n.data`` to ``n.score`` and ``n.score_coarse``.

    Parameters
    ----------
    n : NetSpec
        With a top ``data``.
    classes : int
    thinner : int, default 1
        By which all widths but the number of classes are divided.
    """
    net = _Net(n, thinner)
    fine, coarse = net.ocr(net.hrnet(n.data), classes)
    net.as_large("score", fine, n.data)
    net.as_large("score_coarse", coarse, n.data)


def deployed(classes: int = 2, channels: int = 3, thinner: int = 1) -> Any:
    """Net for scores of images.

    Returns
    -------
    NetParameter
    """
    n = NetSpec()
    n.data = layers.Input(shape={"dim": [1, channels, 512, 512]})
    add_net(n, classes, thinner)
    n.silence = layers.Silence(n.score_coarse, ntop=0)
    net = n.to_proto()
    net.name = "ocr_hrnetv2_w48"
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
    options = {"loss_param": {"ignore_label": classes}}
    n.loss = layers.SoftmaxWithLoss(n.score, n.label, n.weights, **options)
    n.loss_coarse = layers.SoftmaxWithLoss(
        n.score_coarse, n.label, n.weights, loss_weight=AUXILIARY, **options
    )
    net = n.to_proto()
    net.name = "ocr_hrnetv2_w48"
    return net


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, net in (("deploy", deployed()), ("train", training())):
        (folder / f"{name}.prototxt").write_text(to_text(net), encoding="utf-8")

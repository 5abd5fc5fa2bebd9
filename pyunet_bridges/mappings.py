"""What two well-known U-Nets of PyTorch call their weights, and their nets in Caffe.

Names of a state_dict and facts of the two architectures, nothing else:

``milesial``
    milesial/Pytorch-UNet: ``inc``, ``down1`` to ``down4``, ``up1`` to ``up4``,
    ``outc``; each a pair of 3x3 convolutions without bias, padded by 1, batch
    normalisation and ReLU; what comes from the left stands first in a concatenation.
``mateuszbuda``
    mateuszbuda/brain-segmentation-pytorch: ``encoder1`` to ``encoder4``,
    ``bottleneck``, ``upconv4`` to ``upconv1``, ``decoder4`` to ``decoder1``, ``conv``;
    the same pairs; what was up-sampled stands first; a sigmoid at the end.

Layers bear the names of their weights. A net of one class gets the background's score
as a channel before it, so that the larger score is the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyunet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]
    Mapped = tuple[str, dict[str, NDArray[Any]]]
LEVELS = 4
TILE = 256
_SCALE = "_scale"


class _Net:
    """The text of a net and the weights that go with it."""

    def __init__(self, name: str, arrays: Arrays) -> None:
        self.arrays = arrays
        self.weights: dict[str, NDArray[Any]] = {}
        self.lines = [f'name: "{name}"']

    def layer(
        self,
        name: str,
        kind: str,
        bottoms: tuple[str, ...],
        top: str,
        options: str = "",
    ) -> str:
        wires = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        words = filter(None, (f'name: "{name}" type: "{kind}"', wires,
                              f'top: "{top}"', options))  # fmt: skip
        self.lines.append(f"layer {{ {' '.join(words)} }}")
        return top

    def filtered(
        self, name: str, kind: str, bottom: str, options: str, *, top: str = ""
    ) -> str:
        """Add a Convolution or Deconvolution of the same name as its weights."""
        channels_axis = 1 if kind == "Deconvolution" else 0
        weight = self.take(f"{name}.weight")
        bias = f"{name}.bias" in self.arrays
        if bias:
            self.take(f"{name}.bias")
        size = (
            f"num_output: {weight.shape[channels_axis]} kernel_size: {weight.shape[-1]}"
        )
        term = "" if bias else " bias_term: false"
        words = f"convolution_param {{ {size}{options}{term} }}"
        return self.layer(name, kind, (bottom,), top or name, words)

    def block(self, bottom: str, *pairs: tuple[str, str]) -> str:
        """Add convolution, normalisation and ReLU for each pair of names."""
        for convolution, norm in pairs:
            bottom = self.filtered(convolution, "Convolution", bottom, " pad: 1")
            self.layer(norm, "BatchNorm", (bottom,), bottom)
            scale = "scale_param { bias_term: true }"
            self.layer(f"{norm}{_SCALE}", "Scale", (bottom,), bottom, scale)
            self.layer(f"{convolution}_relu", "ReLU", (bottom,), bottom)
            for one in ("running_mean", "running_var"):
                self.take(f"{norm}.{one}")
            for one in ("weight", "bias"):
                self.take(f"{norm}.{one}", f"{norm}{_SCALE}.{one}")
        return bottom

    def pool(self, bottom: str) -> str:
        name = f"{bottom}_pool"
        words = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        return self.layer(name, "Pooling", (bottom,), name, words)

    def up(self, name: str, bottom: str) -> str:
        return self.filtered(name, "Deconvolution", bottom, " stride: 2")

    def join(self, name: str, *bottoms: str) -> str:
        return self.layer(name, "Concat", bottoms, name)

    def score(self, name: str, bottom: str, *, sigmoid: bool) -> None:
        """Add the last convolution, and the background of a net of one class."""
        self.take(f"{name}.weight")
        several = self.arrays[f"{name}.weight"].shape[0] > 1
        top = "score" if several and not sigmoid else name
        last = self.filtered(name, "Convolution", bottom, "", top=top)
        if sigmoid:
            top = "score" if several else "probability"
            last = self.layer("probability", "Sigmoid", (last,), top)
        if not several:
            words = "scale: -1 shift: 1" if sigmoid else "scale: 0"
            words = f"power_param {{ {words} }}"
            other = self.layer("background", "Power", (last,), "background", words)
            self.join("score", other, last)

    def take(self, key: str, name: str = "") -> NDArray[Any]:
        """Take an array of theirs, under the name that our net has for it."""
        if key not in self.arrays:
            raise DataError(
                f"no '{key}' among the weights; expected the state_dict of the net "
                f"'{self.lines[0].split(chr(34))[1]}'"
            )
        ours = name or key
        layer, _, blob = ours.rpartition(".")
        self.weights[f"{layer.replace('.', '_')}.{blob}"] = self.arrays[key]
        return self.arrays[key]

    def input(self, channels: int) -> str:
        dims = f"dim: 1 dim: {channels} dim: {TILE} dim: {TILE}"
        words = f"input_param {{ shape {{ {dims} }} }}"
        return self.layer("data", "Input", (), "data", words)

    def finished(self) -> Mapped:
        return "\n".join([*self.lines, ""]), self.weights


def _channels(arrays: Arrays, key: str, mapping: str) -> int:
    if key not in arrays:
        raise DataError(
            f"no '{key}' among the weights, which every net of '{mapping}' has; there "
            f"are {', '.join(list(arrays)[:4])} ..."
        )
    return int(arrays[key].shape[1])


def _milesial(arrays: Arrays) -> Mapped:
    first = "inc.double_conv.0.weight"
    channels = _channels(arrays, first, "milesial")
    if "up1.up.weight" not in arrays:
        raise DataError(
            "'up1.up' has no weights: the net was made with bilinear=True. Its "
            "up-sampling (bilinear, align_corners=True) weighs pixels otherwise at "
            "every size of the image and has no counterpart in Caffe; "
            "expected a net with bilinear=False, whose 'up1.up' is a transposed "
            "convolution"
        )
    net = _Net("milesial", arrays)

    def double(bottom: str, name: str) -> str:
        stem = f"{name}.double_conv"
        return net.block(bottom, (f"{stem}.0", f"{stem}.1"), (f"{stem}.3", f"{stem}.4"))

    left = [double(net.input(channels), "inc")]
    for level in range(1, LEVELS + 1):
        left.append(double(net.pool(left[-1]), f"down{level}.maxpool_conv.1"))
    right = left.pop()
    for level in range(1, LEVELS + 1):
        above = net.up(f"up{level}.up", right)
        joined = net.join(f"up{level}.concat", left.pop(), above)
        right = double(joined, f"up{level}.conv")
    net.score("outc.conv", right, sigmoid=False)
    return net.finished()


def _mateuszbuda(arrays: Arrays) -> Mapped:
    channels = _channels(arrays, "encoder1.enc1conv1.weight", "mateuszbuda")
    net = _Net("mateuszbuda", arrays)

    def double(bottom: str, name: str, short: str) -> str:
        pairs = [(f"{name}.{short}conv{i}", f"{name}.{short}norm{i}") for i in (1, 2)]
        return net.block(bottom, *pairs)

    bottom, left = net.input(channels), []
    for level in range(1, LEVELS + 1):
        left.append(double(bottom, f"encoder{level}", f"enc{level}"))
        bottom = net.pool(left[-1])
    right = double(bottom, "bottleneck", "bottleneck")
    for level in range(LEVELS, 0, -1):
        above = net.up(f"upconv{level}", right)
        joined = net.join(f"decoder{level}.concat", above, left.pop())
        right = double(joined, f"decoder{level}", f"dec{level}")
    net.score("conv", right, sigmoid=True)
    return net.finished()


_MAPPINGS: dict[str, Callable[[Arrays], Mapped]] = {
    "mateuszbuda": _mateuszbuda,
    "milesial": _milesial,
}
NAMES = tuple(_MAPPINGS)


def map_weights(arrays: Arrays, mapping: str) -> Mapped:
    """Make the net of another project's weights, and name them as its layers.

    Parameters
    ----------
    arrays : mapping of str to array
        Their state_dict.
    mapping : {"milesial", "mateuszbuda"}

    Returns
    -------
    prototxt : str
        The net for segmenting, its tiles of 256 x 256 pixels or any multiple of 16.
    weights : dict of str to array
        For `caffe.export.fill`.

    Raises
    ------
    DataError
        Weights of another net, or of a variant that Caffe cannot say.

    Examples
    --------
    >>> map_weights({}, "milesial")
    Traceback (most recent call last):
    pyunet.errors.DataError: no 'inc.double_conv.0.weight' among the weights, which \
every net of 'milesial' has; there are  ...
    """
    return _MAPPINGS[mapping](arrays)

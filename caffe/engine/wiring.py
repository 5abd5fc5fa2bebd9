"""From the text of a net to connected layers, blobs and parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import torch

from caffe.engine import common, fillers
from caffe.engine.blob import Blob, BlobVec
from caffe.engine.catalogue import layer_class
from caffe.engine.layer import BlobOperator, Context, Operator
from caffe.engine.node import Learnable, Node, ParamEntry, naming
from caffe.engine.unknown import check_known
from caffe.errors import CheckError
from caffe.glog import log
from caffe.proto import caffe_pb2

_AUTOMATIC = "(automatic)"  # the top that a loss without one gets


def _fill(blob: Blob, draw: Callable[[], torch.Tensor]) -> None:
    blob.fill(draw())


class Wiring:
    """All layers and blobs of a net, built in order.

    Parameters
    ----------
    net : NetParameter
        Filtered, with splits.
    fill : bool, default True
        Fill the parameters now; False: `fill` is called when weights were loaded.
    blob_counts : callable, optional
        Number of blobs by layer in the weights that will be loaded. Called only where
        it tells which layer a type means.
    """

    def __init__(
        self,
        net: Any,
        *,
        fill: bool = True,
        blob_counts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.train = net.state.phase == caffe_pb2.TRAIN
        self.nodes: list[Node] = []
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self.inputs: list[str] = []
        # not a forward's: inputs, tops filled only once, tops that are parameters
        self.held: set[str] = set()
        self.parameter_tops: set[str] = set()
        self.learnable: list[Learnable] = []
        self.entries: list[ParamEntry] = []
        self._fills = fill
        self._blob_counts = blob_counts
        self._available: set[str] = set()
        self._needs: dict[str, bool] = {}
        self._owners: dict[str, tuple[Node, int, Learnable]] = {}
        self._memory = 0
        self._named = {name for layer in net.layer for name in layer.top}
        self._check(net)
        for layer in net.layer:
            self._add(layer)
        self.outputs = sorted(self._available)
        self._prune_backward(net.force_backward)
        for name in self.outputs:
            log("net.cpp:260", f"This network produces output {name}")
        log("net.cpp:273", "Network initialization done.")

    def _check(self, net: Any) -> None:
        check_known(net)

    def fill(self) -> None:
        """Fill the parameters that nobody has given values."""
        for entry in self.entries:
            entry.blob.data_memory.resolve()

    def share_data(self, blob: Blob, source: Blob) -> None:
        """Use another net's values for a parameter, and for those that share it here.

        In Caffe a layer that shares it, but is not in the other net, is left behind
        (BVLC/caffe#4585).
        """
        memory = blob.data_memory
        for blobs in (self.blobs.values(), *(node.blobs for node in self.nodes)):
            for other in blobs:
                if other.data_memory is memory:
                    other.share_data(source)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        try:
            return self.blobs[name].shape
        except KeyError:
            raise CheckError(f"there is no blob '{name}' before this layer") from None

    @property
    def blob_loss_weights(self) -> dict[str, float]:
        """Weight of every blob in the loss, 0 for most."""
        weights = dict.fromkeys(self.blobs, 0.0)
        for node in self.nodes:
            weights.update(zip(node.top, node.loss_weights, strict=True))
        return weights

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the blobs that are losses."""
        return {n: w for n, w in self.blob_loss_weights.items() if w}

    def _add(self, layer: Any) -> None:
        if any(n.name == layer.name for n in self.nodes) and layer.name:
            log("net.cpp:96", f"layer name '{layer.name}' is used twice", "W")
        log("layer_factory.hpp:77", f"Creating layer {layer.name}")
        cls = self._class_of(layer)
        log("net.cpp:102", f"Creating Layer {layer.name}")
        with naming(layer.name, layer.type, foreign=cls.runs_on_blobs):
            _check_arity(cls, layer)
            node = self._node(layer)
            self._connect_bottoms(node)
            self._connect_tops(node, cls)
            node.op = cls(_with_tops(node), node.context)
            if isinstance(node.op, BlobOperator):
                node.op.prepare(
                    node.of(node.bottom, self.blobs), node.of(node.top, self.blobs)
                )
            node.reshape_tops(self.blobs)
            for index, value in node.op.first_tops(node.context).items():
                self.blobs[node.top[index]].data[...] = value.cpu().numpy()
                self.held.add(node.top[index])
            log("net.cpp:140", f"Setting up {node.name}")
            self._set_loss_weights(node)
            self._log_tops(node)
            if isinstance(node.op, BlobOperator):
                self._add_blobs(node, node.op.blobs)
            else:
                self._add_parameters(node)
        self.nodes.append(node)
        for top in node.top:
            self._needs[top] = node.needs_backward

    def _class_of(self, layer: Any) -> type[Operator]:
        try:
            return layer_class(
                layer.type, layer, lambda: self._blob_counts().get(layer.name)
            )
        except CheckError as error:
            raise CheckError(f"layer '{layer.name}': {error}") from None

    def _node(self, layer: Any) -> Node:
        device = common.device()
        streams = common.streams()
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(layer)
        if not param.HasField("phase"):
            param.phase = caffe_pb2.TRAIN if self.train else caffe_pb2.TEST
        context = Context(
            layer_name=layer.name,
            train=param.phase == caffe_pb2.TRAIN,
            gpu=device.type == "cuda",
            device=device,
            generator=streams.generator(device),
            rng=streams.rng,
            log=log,
            shape_of=self._shape_of,
            rank=common.solver_rank() if self.train else 0,
            ranks=common.solver_count() if self.train else 1,
        )
        return Node(layer.name, layer.type, param, context, list(layer.bottom))

    def _connect_bottoms(self, node: Node) -> None:
        wanted = list(node.param.propagate_down)
        if wanted and len(wanted) != len(node.bottom):
            raise CheckError(
                f"propagate_down is given {len(wanted)} times for "
                f"{len(node.bottom)} bottoms: give it never or once a bottom"
            )
        for j, name in enumerate(node.bottom):
            if name not in self._available:
                raise CheckError(
                    f"unknown bottom blob '{name}' (bottom index {j}): "
                    "no layer before it makes it"
                )
            log("net.cpp:424", f"{node.name} <- {name}")
            self._available.discard(name)
            needs = wanted[j] if wanted else self._needs[name]
            node.bottom_needs_backward.append(needs)
            node.needs_backward |= self._needs[name]

    def _connect_tops(self, node: Node, cls: type[Operator]) -> None:
        for j, name in enumerate(node.param.top):
            if j < len(node.bottom) and node.bottom[j] == name:
                log("net.cpp:385", f"{node.name} -> {name} (in-place)")
            elif name in self.blobs:
                raise CheckError(f"top blob '{name}' is made by more than one layer")
            else:
                log("net.cpp:398", f"{node.name} -> {name}")
                self.blobs[name] = Blob()
            if cls.filled_by_user:
                self.inputs.append(name)
                self.held.add(name)
            self._append_top(node, name, cls)
            self._available.add(name)
        if cls.loss and not node.top:
            log("net.cpp:394", f"{node.name} -> (automatic)")
            name = _AUTOMATIC
            if name in self._named:  # Caffe shows the last one of this name only
                name = f"{node.name} {name}"
            self._named.add(name)
            self.blobs[name] = Blob()
            self._append_top(node, name, cls)

    def _append_top(self, node: Node, name: str, cls: type[Operator]) -> None:
        node.top.append(name)
        if cls.aliases(node.param) and name != node.bottom[0]:
            self.blobs[name].share_data(self.blobs[node.bottom[0]])
            if not cls.adds_gradients:
                self.blobs[name].share_diff(self.blobs[node.bottom[0]])

    def _set_loss_weights(self, node: Node) -> None:
        weights = list(node.param.loss_weight)
        if weights and len(weights) != len(node.top):
            raise CheckError(
                f"loss_weight is given {len(weights)} times for {len(node.top)} "
                "tops: give it never or once a top"
            )
        if not weights:
            weights = [
                1.0 if node.op.loss and j == 0 else 0.0 for j in range(len(node.top))
            ]
        node.loss_weights = weights
        for name, weight in zip(node.top, weights, strict=True):
            if weight:
                self.blobs[name].diff[...] = weight

    def _log_tops(self, node: Node) -> None:
        for name, weight in zip(node.top, node.loss_weights, strict=True):
            shape = self.blobs[name].shape
            count = prod(shape)
            extents = " ".join(str(d) for d in (*shape, f"({count})"))
            log("net.cpp:147", f"Top shape: {extents}")
            if weight:
                log("net.cpp:150", f"    with loss weight {weight:.6g}")
            self._memory += count
        log("net.cpp:155", f"Memory required for data: {4 * self._memory}")

    def _add_parameters(self, node: Node) -> None:
        wanted = node.op.parameters([self.blobs[b].shape for b in node.bottom])
        blobs = BlobVec(Blob(need.shape) for need in wanted)
        for index, need in enumerate(wanted):
            if need.statistics or need.held:
                _fix_rate(node.param, index, held=need.held)
        owned = self._add_blobs(node, blobs)
        generator = common.streams().generator(common.torch_cpu())
        for blob, need, spec, own in zip(
            blobs, wanted, _param_specs(node.param, len(blobs)), owned, strict=True
        ):
            if not own:
                continue
            draw = partial(fillers.fill, need.filler, need.shape, generator)
            if spec.name or node.op.aliases_parameter:
                # blobs of other shapes may share it: row-major
                blob.data[...] = draw().numpy()
                continue
            memory = blob.data_memory
            memory.row_major = not self.train and node.context.device.type == "cpu"
            memory.pending = partial(_fill, blob, draw)
            if self._fills:
                memory.resolve()
        if node.op.aliases_parameter:
            self.blobs[node.top[0]].share_data(blobs[0])
            self.blobs[node.top[0]].share_diff(blobs[0])
            self.held.add(node.top[0])
            self.parameter_tops.add(node.top[0])

    def _add_blobs(self, node: Node, blobs: BlobVec) -> list[bool]:
        """Enter the parameters of a layer; tell which it does not share."""
        if len(node.param.param) > len(blobs):
            raise CheckError(
                f"{len(node.param.param)} param entries are given, the layer has "
                f"{len(blobs)} parameter blobs"
            )
        owned = []
        for index, spec in enumerate(_param_specs(node.param, len(blobs))):
            blob = blobs[index]
            owner = self._owners.get(spec.name) if spec.name else None
            if owner is not None:
                self._share(blob, spec, owner)
            else:
                item = Learnable(blob, node.name, index, spec.lr_mult, spec.decay_mult)
                item.agree(spec)
                self.learnable.append(item)
                if spec.name:
                    self._owners[spec.name] = (node, index, item)
            owned.append(owner is None)
            self.entries.append(ParamEntry(node.name, index, blob, owner is None))
            node.param_propagate.append(spec.lr_mult != 0)
            node.needs_backward |= spec.lr_mult != 0
        node.blobs = node.context.packing.blobs = blobs
        return owned

    @staticmethod
    def _share(blob: Blob, spec: Any, owner: tuple[Node, int, Learnable]) -> None:
        owner_node, owner_index, learnable = owner
        log(
            "net.cpp:500",
            f"Sharing parameters '{spec.name}' owned by layer '{owner_node.name}', "
            f"param index {owner_index}",
        )
        learnable.share(blob, spec)

    def _prune_backward(self, force: bool) -> None:
        """Drop the backward of what no loss depends on, as Caffe's Net does."""
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(self.nodes):
            contributes = any(
                weight or name in under_loss
                for name, weight in zip(node.top, node.loss_weights, strict=True)
            )
            if node.needs_backward and all(top in skipped for top in node.top):
                node.needs_backward = False
                node.bottom_needs_backward = [False] * len(node.bottom)
            node.needs_backward &= contributes
            verb = "needs" if node.needs_backward else "does not need"
            line = 216 if node.needs_backward else 218
            log(f"net.cpp:{line}", f"{node.name} {verb} backward computation.")
            for j, name in enumerate(node.bottom):
                if contributes:
                    under_loss.add(name)
                else:
                    node.bottom_needs_backward[j] = False
                if not node.bottom_needs_backward[j]:
                    skipped.add(name)
            if force:
                node.needs_backward = True
                node.param_propagate = [True] * len(node.blobs)
                node.bottom_needs_backward = [True] * len(node.bottom)
            _limit_to_differentiable(node, forced=force)


def _limit_to_differentiable(node: Node, *, forced: bool) -> None:
    allowed = node.op.differentiable_bottoms
    if allowed is None:
        return
    for j, needs in enumerate(node.bottom_needs_backward):
        if needs and j not in allowed:
            if node.op.loss and node.needs_backward and not forced:
                raise CheckError(
                    f"layer '{node.name}' ({node.type}): cannot backpropagate to "
                    f"bottom {j} ('{node.bottom[j]}')"
                )
            node.bottom_needs_backward[j] = False


def _with_tops(node: Node) -> Any:
    """Options of a layer with the tops that it really has, an automatic one too."""
    if len(node.top) == len(node.param.top):
        return node.param
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(node.param)
    param.top[:] = node.top
    return param


def _param_specs(layer: Any, count: int) -> list[Any]:
    given = list(layer.param)
    return given + [caffe_pb2.ParamSpec() for _ in range(count - len(given))]


def _fix_rate(layer: Any, index: int, *, held: bool) -> None:
    """Give a parameter the learning rate 0; refuse another if it is not held."""
    given = index < len(layer.param)
    while len(layer.param) <= index:
        layer.param.add()
    spec = layer.param[index]
    if given and spec.lr_mult != 0 and not held:
        raise CheckError(
            f"param {index} has lr_mult {spec.lr_mult:g}: Cannot "
            "configure batch normalization statistics as layer parameters; expected 0"
        )
    spec.lr_mult = 0


def _check_arity(cls: type[Operator], layer: Any) -> None:
    bottoms, tops = cls.arity(layer)
    for kind, names, (least, most) in (
        ("bottom", layer.bottom, bottoms),
        ("top", layer.top, tops),
    ):
        automatic = kind == "top" and cls.loss and not names
        if automatic or (least <= len(names) and (most is None or len(names) <= most)):
            continue
        if most == least:
            wanted = str(least)
        else:
            wanted = f"{least} or more" if most is None else f"{least} to {most}"
        raise CheckError(f"has {len(names)} {kind} blobs, needs {wanted}")
    if cls.equal_bottoms_tops and len(layer.bottom) != len(layer.top):
        raise CheckError(
            f"has {len(layer.bottom)} bottom and {len(layer.top)} top blobs, "
            "needs as many of one as of the other"
        )

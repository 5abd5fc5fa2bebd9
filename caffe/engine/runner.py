"""Which executor runs a net, and what its blobs hold afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

from caffe.engine import common
from caffe.engine.blob import Memory
from caffe.engine.debug import DebugInfo
from caffe.engine.executors import Graphed, Hooks, Inspecting
from caffe.engine.executors.exported import Exported
from caffe.engine.memory import LARGE, check_room, memory_errors
from caffe.engine.node import Node, naming
from caffe.engine.wiring import Wiring
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


class Runner:
    """Runs the layers of a net, as one graph where nobody looks in between.

    Parameters
    ----------
    wiring : Wiring
    phase : int

    Attributes
    ----------
    keep_blobs : bool
        False lets a training step free every blob at its last use.
    forward_hooks, backward_hooks : Hooks
        Functions to call around each layer.
    """

    def __init__(self, wiring: Wiring, phase: int) -> None:
        self.keep_blobs = True
        self._wiring = wiring
        self._in_test = phase == caffe_pb2.TEST
        self._inspecting = Inspecting(wiring)
        self._fused = Graphed(wiring)
        self._exported: tuple[str, Exported] | None = None
        self._debug: DebugInfo | None = None
        self._runs_on_blobs = any(n.op.runs_on_blobs for n in wiring.nodes)
        self._last = len(wiring.nodes) - 1
        self._has_run = False
        # tops of data layers in the last fused forward, to compute the rest again
        self._replayable: dict[str, torch.Tensor] | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}  # of all blobs in that forward

    @property
    def cuda_graphs(self) -> bool:
        """False keeps a GPU from replaying steps."""
        return self._fused.graphs.wanted

    @cuda_graphs.setter
    def cuda_graphs(self, value: bool) -> None:
        self._fused.graphs.wanted = value

    @property
    def forward_hooks(self) -> Hooks:
        """Functions to call around the forward of each layer."""
        return self._inspecting.forward_hooks

    @property
    def backward_hooks(self) -> Hooks:
        """Functions to call around the backward of each layer."""
        return self._inspecting.backward_hooks

    @property
    def remembers(self) -> bool:
        """Whether a forward left something to a backward, parameters among it."""
        return self._inspecting.remembers

    def set_debug_info(self, value: bool) -> None:
        """Log from now on, or no more, how large the numbers in the net are."""
        if value == (self._debug is not None):
            return
        forward, backward = self.forward_hooks.after, self.backward_hooks.after
        if self._debug is not None:
            forward.remove(self._debug.forward)
            backward.remove(self._debug.backward)
            self._debug = None
        else:
            self._debug = DebugInfo(self._wiring)
            forward.append(self._debug.forward)
            backward.append(self._debug.backward)

    @memory_errors()
    def forward(self) -> float:
        """Run all layers, so that every blob can be read; return the loss."""
        if self._in_test and not self._layer_by_layer():
            return self._forward_fused()
        return self.forward_layers(0, self._last)

    @memory_errors()
    def forward_loss(self) -> float:
        """Run all layers for the sake of the loss and the outputs."""
        if self._in_test or self.keep_blobs or self._layer_by_layer():
            return self.forward()
        self._forget()
        loss, _ = self._fused.forward(common.device(), self._prepare_to_run)
        self._replayable = None
        self._mark_freed(_no_data)
        return loss

    @memory_errors()
    def forward_backward(self) -> float:
        """Run forward and backward, add to param diffs, return the loss."""
        if self._diffs_are_held() or self._layer_by_layer():
            loss = self.forward_layers(0, self._last)
            self.backward(0, self._last)
            return loss
        self._forget()
        loss = self._fused.forward_backward(
            common.device(), self._prepare_to_run, keep=self.keep_blobs
        )
        self._replayable = None
        if not self.keep_blobs:
            _mark_pending(self._activation_diffs(), _no_diff)
            self._mark_freed(_no_data)
        return loss

    @memory_errors()
    def forward_layers(self, first: int, last: int) -> float:
        """Run the layers from one number to another, on what stands in the blobs."""
        if first > 0:
            nodes = self._wiring.nodes
            self.recompute(grad=any(node.needs_backward for node in nodes))
        self._replayable = None
        self._has_run = True
        return self._inspecting.forward(
            first, last, common.device(), prepare=self._prepare_to_run
        )

    @memory_errors()
    def backward(self, first: int, last: int) -> None:
        """Run the backward of the layers from `last` down to `first`."""
        if self._has_run:
            self._inspecting.check_backward(first, last)
        for memory in self._activation_diffs():
            memory.pending = None
        self._inspecting.backward(first, last, common.device())
        if self._debug is not None:
            self._debug.totals()

    @memory_errors()
    def recompute(self, *, grad: bool = False) -> None:
        """Compute the blobs that the last fused forward did not keep."""
        if self._replayable is None:
            return
        self._inspecting.replay(
            self._replayable, self._shapes, common.device(), grad=grad
        )
        for blob in self._wiring.blobs.values():
            blob.data_memory.pending = None
        if grad:
            self._replayable = None

    def activation_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Most bytes that activations take in a forward in phase TEST.

        Parameters
        ----------
        shapes : mapping
            Of all blobs; nothing is allocated.
        """
        return self._fused.activation_bytes(shapes)

    def prepare(self, node: Node) -> None:
        """Give the tops of a layer the shapes of this iteration."""
        device = common.device()
        if node.context.device != device:
            node.context.device = device
            node.context.gpu = device.type == "cuda"
            node.context.generator = common.streams().generator(device)
        if node.op.filled_by_user:
            return
        with naming(node.name, node.type, foreign=node.op.runs_on_blobs):
            node.reshape_tops(self._wiring.blobs)

    def _prepare_to_run(self, node: Node) -> None:
        """Do so before the tops are filled."""
        self.prepare(node)
        most = max((self._wiring.blobs[name].count for name in node.top), default=0)
        if most < LARGE or node.in_place() or node.op.aliases_bottom:
            return
        with naming(node.name, node.type):
            check_room(most)

    def _layer_by_layer(self) -> bool:
        """Whether somebody looks at, or works on, the blobs between two layers."""
        hooks = self._inspecting.forward_hooks or self._inspecting.backward_hooks
        return self._runs_on_blobs or bool(hooks)

    def _diffs_are_held(self) -> bool:
        """Whether Python has a view of a gradient, or gave a loss another weight."""
        weights = self._wiring.loss_weights.items()
        return any(m.handed_out for m in self._activation_diffs()) or any(
            (self._wiring.blobs[name].gradients() != weight).any()
            for name, weight in weights
        )

    def _forget(self) -> None:
        self._inspecting.forget()
        self._has_run = True

    def _forward_fused(self) -> float:
        self._forget()
        blobs = self._wiring.blobs
        device, backend = common.device(), common.backend()
        elsewhere = backend != "torch" and device.type == "cpu"
        if elsewhere:
            outputs = self._exported_by(backend).forward(common.precision())
            loss, inputs = 0.0, self._fused.take(outputs, device)
        else:
            loss, inputs = self._fused.forward(device, self._prepare_to_run)
        self._replayable = inputs
        self._shapes = {name: blob.shape for name, blob in blobs.items()}
        self._mark_freed(self.recompute)
        if elsewhere and self._fused.overwritten:  # outputs are all that it gave
            changed = [blobs[name].data_memory for name in self._fused.overwritten]
            _mark_pending(changed, self.recompute)
            self.recompute()
        return loss

    def _exported_by(self, backend: str) -> Exported:
        """Give the net to another library, once."""
        if self._exported is None or self._exported[0] != backend:
            self._exported = (backend, Exported(self._wiring, backend))
        return self._exported[1]

    def _mark_freed(self, callback: Callable[[], None]) -> None:
        held = {*self._wiring.held, *self._wiring.outputs}
        kept = {id(self._wiring.blobs[name].data_memory) for name in held}
        memories = (blob.data_memory for blob in self._wiring.blobs.values())
        _mark_pending(
            (m for m in memories if id(m) not in kept and not m.handed_out), callback
        )

    def _activation_diffs(self) -> list[Memory]:
        others = {*self._wiring.loss_weights, *self._wiring.parameter_tops}
        return [b.diff_memory for n, b in self._wiring.blobs.items() if n not in others]


def _mark_pending(memories: Iterable[Memory], callback: Callable[[], None]) -> None:
    """Let `callback` compute the values when one of them is read."""
    for memory in memories:
        memory.pending = callback


def _no_diff() -> None:
    raise CheckError(
        "the gradient of this blob was not kept by the solver's step, as "
        "net.keep_blobs is False: read .diff before the step (from then on it is "
        "kept), or call net.forward() and net.backward()"
    )


def _no_data() -> None:
    raise CheckError("this blob was freed at its last use")

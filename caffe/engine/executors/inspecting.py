"""Layer by layer: what looks at, or works on, the blobs between two layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from caffe.engine import common
from caffe.engine.blob import Blob, Memory, shaped
from caffe.engine.executors.shared import (
    half_layers,
    layout,
    typed,
    weighted_loss,
)
from caffe.engine.layer import BlobOperator
from caffe.engine.node import Node, naming
from caffe.engine.wiring import Wiring
from caffe.errors import CheckError


def _owned(value: torch.Tensor, bottoms: list[torch.Tensor]) -> torch.Tensor:
    """Copy a value that is a view of a bottom, so that blobs share no memory."""
    memory = value.untyped_storage().data_ptr()
    shared = any(b.untyped_storage().data_ptr() == memory for b in bottoms)
    return value.detach().clone() if shared else value


def _publish(blob: Blob, value: torch.Tensor) -> None:
    """Give a blob its value, and its shape where only the values decide on it."""
    if value.numel() != blob.count:
        blob.reshape(*value.shape)
    blob.data_memory.put(value)


class Hooks:
    """Functions to call with a layer's number before and after it runs."""

    def __init__(self) -> None:
        self.before: list[Callable[[int], object]] = []
        self.after: list[Callable[[int], object]] = []

    def run_before(self, index: int) -> None:
        """Call what is to be called before a layer."""
        for function in self.before:
            function(index)

    def run_after(self, index: int) -> None:
        """Call what is to be called after a layer."""
        for function in self.after:
            function(index)

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


@dataclass
class _Record:
    """What the backward of one layer needs."""

    bottoms: list[torch.Tensor]
    params: list[torch.Tensor]
    tops: list[torch.Tensor]


class Inspecting:
    """Layer by layer, on blobs, each layer with its own piece of gradient graph."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._records: dict[int, _Record] = {}
        self._half = half_layers(wiring.nodes)
        self._overwritten: set[Memory] = set()
        # what a forward has left in them at last
        self._left: dict[Memory, torch.Tensor] = {}
        self.forward_hooks = Hooks()
        self.backward_hooks = Hooks()

    def forward(
        self,
        first: int,
        last: int,
        device: torch.device,
        *,
        prepare: Callable[[Node], None],
    ) -> float:
        """Run layers `first` to `last` and return the weighted loss of their tops."""
        loss: torch.Tensor | float = 0.0
        self._find_overwritten()
        for index in range(first, last + 1):
            node = self._wiring.nodes[index]
            self.forward_hooks.run_before(index)
            prepare(node)
            if isinstance(node.op, BlobOperator):
                blobs = self._wiring.blobs
                bottoms, tops = node.of(node.bottom, blobs), node.of(node.top, blobs)
                node.op.run_forward(bottoms, tops)
                for name in node.top:
                    self._leave(name)
                loss = loss + self._loss_of_blobs(node, device)
            elif not node.op.filled_by_user:
                loss = loss + self._forward_node(index, node, device)
            self.forward_hooks.run_after(index)
        return float(loss)

    def _find_overwritten(self) -> None:
        """Find the memory that layers in place write into."""
        in_place = [node for node in self._wiring.nodes if node.in_place()]
        names = {name for node in in_place for name in node.top}
        self._overwritten = {self._wiring.blobs[n].data_memory for n in names}
        kept = self._overwritten.intersection(self._left)
        self._left = {memory: self._left[memory] for memory in kept}

    def _leave(self, name: str, value: torch.Tensor | None = None) -> None:
        """Remember what a layer made; if None, what is in its blob."""
        blob = self._wiring.blobs[name]
        if blob.data_memory in self._overwritten:
            made = blob.tensor().clone() if value is None else value
            self._left[blob.data_memory] = made.detach()

    def _forward_node(
        self, index: int, node: Node, device: torch.device
    ) -> torch.Tensor | float:
        bottoms = [self._bottom(node, name, device) for name in node.bottom]
        tops = self._run(index, bottoms, device, grad=node.needs_backward)
        for name, value in zip(node.top, tops, strict=True):
            self._leave(name, value)
            self._put(node, name, _owned(value, bottoms))
        return weighted_loss(node, [t.detach() for t in tops])

    def _loss_of_blobs(self, node: Node, device: torch.device) -> torch.Tensor | float:
        pairs = zip(node.loss_weights, node.top, strict=True)
        blobs = self._wiring.blobs
        return sum(
            (w * blobs[t].tensor(device).sum() for w, t in pairs if w), start=0.0
        )

    def replay(
        self,
        inputs: dict[str, torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        device: torch.device,
        *,
        grad: bool,
    ) -> None:
        """Compute again what the last forward of the fused executor did not keep.

        Parameters
        ----------
        inputs : dict
            Tops of data and input layers in that forward.
        shapes : mapping
            Shapes of all blobs in that forward.
        grad : bool
            Also record what a backward needs.
        """
        blobs = self._wiring.blobs
        missing = {id(b.data_memory) for b in blobs.values() if b.data_memory.pending}
        known = {id(blobs[name].data_memory): t for name, t in inputs.items()}
        self._find_overwritten()
        for index, node in enumerate(self._wiring.nodes):
            if node.op.source or node.op.side_effects:
                continue
            bottoms = []
            for name in node.bottom:
                memory = id(blobs[name].data_memory)
                bottoms.append(shaped(known[memory], shapes[name]))
            needs = grad and node.needs_backward
            node.context.recomputing = True
            try:
                tops = self._run(index, bottoms, device, grad=needs)
            finally:
                node.context.recomputing = False
            for name, value in zip(node.top, tops, strict=True):
                known[id(blobs[name].data_memory)] = value.detach()
                self._leave(name, value)
                if id(blobs[name].data_memory) in missing:
                    self._put(node, name, _owned(value, bottoms))

    def check_backward(self, first: int, last: int) -> None:
        """See whether the layers `last` down to `first` can run their backward.

        Raises
        ------
        CheckError
            If one that overwrites its bottom has not run since the records were last
            forgotten; others start from what stands in the blobs.
        """
        for index in range(first, last + 1):
            node = self._wiring.nodes[index]
            written = node.in_place() and not node.op.runs_on_blobs
            if self._has_backward(node) and written and not self._recorded(index):
                raise CheckError(
                    f"layer '{node.name}' ({node.type}): has run no forward that a "
                    "backward can use (a solver's step keeps none): call "
                    "net.forward() before net.backward()"
                )

    @staticmethod
    def _has_backward(node: Node) -> bool:
        possible = bool(node.bottom) or node.op.runs_on_blobs
        return possible and node.needs_backward and not node.op.side_effects

    def backward(self, first: int, last: int, device: torch.device) -> None:
        """Run the backward of the layers `last` down to `first`; add to param diffs."""
        for index in range(last, first - 1, -1):
            node = self._wiring.nodes[index]
            self.backward_hooks.run_before(index)
            if not self._has_backward(node):
                pass
            elif isinstance(node.op, BlobOperator):
                blobs = self._wiring.blobs
                node.op.run_backward(
                    node.of(node.top, blobs),
                    node.bottom_needs_backward,
                    node.of(node.bottom, blobs),
                )
            elif node.in_place() and not self._recorded(index):
                # no layer has run yet: all is 0, where rectifiers are flat
                for name in node.bottom:
                    self._wiring.blobs[name].diff_memory.clear()
            else:
                self._backward_node(node, self._record(index, device), device)
            self.backward_hooks.run_after(index)

    @property
    def remembers(self) -> bool:
        """Whether a forward left something to a backward."""
        return bool(self._records)

    def forget(self) -> None:
        """Give up what backwards would need."""
        self._records.clear()
        self._left.clear()

    def _record(self, index: int, device: torch.device) -> _Record:
        """Give what the last forward of a layer left, or what its blobs say now.

        Caffe's layers read their bottoms again in the backward, so what a user wrote
        into one since the forward counts. Its losses keep what they need.
        """
        node = self._wiring.nodes[index]
        recorded = self._recorded(index)
        if recorded and (node.in_place() or node.op.loss):
            return self._records[index]
        if not recorded or self._written_to(node, self._records[index], device):
            node.context.recomputing = True
            try:
                bottoms = [self._bottom(node, name, device) for name in node.bottom]
                self._run(index, bottoms, device, grad=True)
            finally:
                node.context.recomputing = False
        return self._records[index]

    def _recorded(self, index: int) -> bool:
        """Tell whether a layer has run on bottoms of their present shapes."""
        node, record = self._wiring.nodes[index], self._records.get(index)
        return record is not None and all(
            self._wiring.blobs[name].shape == bottom.shape
            for name, bottom in zip(node.bottom, record.bottoms, strict=True)
        )

    def _written_to(self, node: Node, record: _Record, device: torch.device) -> bool:
        """Tell whether a user has changed a bottom or a parameter since the forward."""
        bottoms = [self._wiring.blobs[name] for name in node.bottom]
        used = (*record.bottoms, *record.params)
        for blob, used_then in zip((*bottoms, *node.blobs), used, strict=False):
            memory = blob.data_memory
            if not memory.handed_out:
                continue
            # layers in place are no users
            old = self._left.get(memory, used_then).to(device)
            now = blob.tensor(device)
            if now.data_ptr() != old.data_ptr() and not torch.equal(
                now.flatten(), old.detach().flatten()
            ):
                return True
        return False

    def _bottom(self, node: Node, name: str, device: torch.device) -> torch.Tensor:
        blob = self._wiring.blobs[name]
        value = blob.tensor(device)
        memory = blob.data_memory
        if memory.handed_out and memory in self._overwritten:
            value = value.clone()  # a layer in place writes into this memory
        return layout(value)

    def _run(
        self,
        index: int,
        bottoms: list[torch.Tensor],
        device: torch.device,
        *,
        grad: bool,
    ) -> list[torch.Tensor]:
        node = self._wiring.nodes[index]
        leaves = [
            b.detach().requires_grad_(grad and needs)
            for b, needs in zip(bottoms, node.bottom_needs_backward, strict=True)
        ]
        params = [
            b.tensor(device).detach().requires_grad_(grad and needs)
            for b, needs in zip(node.blobs, node.param_propagate, strict=False)
        ]
        half = common.precision() == "bf16" and index in self._half
        with torch.set_grad_enabled(grad), naming(node.name, node.type):
            inside = typed(node.op, leaves, half=half) if half else leaves
            tops = node.op.forward(inside, params, node.context)
            if half:
                tops = [t.float() for t in tops]
        if node.op.source:
            tops = [layout(t) for t in tops]
        self._records.pop(index, None)
        if grad:
            self._records[index] = _Record(leaves, params, tops)
        return tops

    def _put(self, node: Node, name: str, value: torch.Tensor) -> None:
        fixed = node.op.source or node.op.aliases_parameter
        held = fixed and name in self._wiring.held
        alias = node.op.aliases_bottom and name != node.bottom[0]
        if not held and not alias:
            _publish(self._wiring.blobs[name], value.detach())

    def _backward_node(self, node: Node, record: _Record, device: torch.device) -> None:
        blobs = self._wiring.blobs
        with naming(node.name, node.type):
            got = iter(self._gradients(node, record, device))
        for name, leaf in zip(node.bottom, record.bottoms, strict=True):
            if leaf.requires_grad:
                grad = next(got)
                grad = torch.zeros_like(leaf) if grad is None else grad
                if name in self._wiring.parameter_tops and name not in node.top:
                    blobs[name].grad_tensor(device).add_(grad)
                else:
                    blobs[name].diff_memory.put(grad)
        for blob, leaf in zip(node.blobs, record.params, strict=False):
            if leaf.requires_grad and (grad := next(got)) is not None:
                blob.grad_tensor(device).add_(grad)

    def _gradients(
        self, node: Node, record: _Record, device: torch.device
    ) -> Sequence[torch.Tensor | None]:
        """Gradients of the bottoms, then of the parameters, that want one."""
        outputs, grads = [], []
        for name, top in zip(node.top, record.tops, strict=True):
            if top.requires_grad:
                blob = self._wiring.blobs[name]
                outputs.append(top)
                grads.append(shaped(blob.grad_tensor(device), top.shape))
        wanted = [t for t in (*record.bottoms, *record.params) if t.requires_grad]
        if not wanted or not outputs or node.op.aliases_parameter:
            return [None] * len(wanted)
        return torch.autograd.grad(
            outputs, wanted, grads, retain_graph=True, allow_unused=True
        )

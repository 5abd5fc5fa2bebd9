"""The two ways to run a net: layer by layer on blobs, and as one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import torch

from caffe.engine.blob import Blob, Memory, channels_last, shaped
from caffe.engine.wiring import Node, Wiring, naming
from caffe.errors import CheckError


def is_input(node: Node) -> bool:
    """Tell layers whose tops the user fills, not a forward."""
    return node.type == "Input"


def _layout(value: torch.Tensor) -> torch.Tensor:
    """Channels last, the layout in which convolutions are fastest."""
    value = channels_last(value)
    # with one channel both layouts are one memory, but torch goes by the strides
    if value.dim() in (4, 5) and value.shape[1] == 1:
        strides = list(value.stride())
        strides[1] = 1
        value = value.as_strided(value.shape, strides)
    return value


def _owned(value: torch.Tensor, bottoms: list[torch.Tensor]) -> torch.Tensor:
    """Copy a value that is a view of a bottom, so that blobs share no memory."""
    memory = value.untyped_storage().data_ptr()
    shared = any(b.untyped_storage().data_ptr() == memory for b in bottoms)
    return value.detach().clone() if shared else value


def _loss(node: Node, tops: list[torch.Tensor]) -> torch.Tensor | float:
    pairs = zip(node.loss_weights, tops, strict=True)
    return sum((w * t.sum() for w, t in pairs if w), start=0.0)


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
        for index in range(first, last + 1):
            node = self._wiring.nodes[index]
            prepare(node)
            if not is_input(node):
                bottoms = [self._bottom(node, name, device) for name in node.bottom]
                tops = self._run(index, bottoms, device, grad=node.needs_backward)
                for name, value in zip(node.top, tops, strict=True):
                    self._put(node, name, _owned(value, bottoms))
                loss = loss + _loss(node, [t.detach() for t in tops])
        return float(loss)

    def replay(
        self, inputs: dict[str, torch.Tensor], device: torch.device, *, grad: bool
    ) -> None:
        """Compute again what the last forward of the fused executor did not keep.

        Parameters
        ----------
        inputs : dict
            Tops of data and input layers in that forward.
        grad : bool
            Also record what a backward needs.
        """
        blobs = self._wiring.blobs
        missing = {id(b.data_memory) for b in blobs.values() if b.data_memory.pending}
        known = {id(blobs[name].data_memory): t for name, t in inputs.items()}
        for index, node in enumerate(self._wiring.nodes):
            if is_input(node) or node.op.source or node.op.side_effects:
                continue
            bottoms = []
            for name in node.bottom:
                memory = id(blobs[name].data_memory)
                bottoms.append(shaped(known[memory], blobs[name].shape))
            needs = grad and node.needs_backward
            tops = self._run(index, bottoms, device, grad=needs)
            for name, value in zip(node.top, tops, strict=True):
                known[id(blobs[name].data_memory)] = value.detach()
                if id(blobs[name].data_memory) in missing:
                    self._put(node, name, _owned(value, bottoms))

    def backward_order(self, first: int, last: int) -> list[int]:
        """Which of the layers `last` down to `first` have a backward to run.

        Raises
        ------
        CheckError
            If one of them has not run since the records were last forgotten.
        """
        order = []
        for index in range(last, first - 1, -1):
            node = self._wiring.nodes[index]
            if not node.needs_backward or not node.bottom or node.op.side_effects:
                continue
            if index not in self._records:
                raise CheckError(
                    f"layer '{node.name}' ({node.type}): has run no forward that a "
                    "backward can use (a solver's step keeps none): call "
                    "net.forward() before net.backward()"
                )
            order.append(index)
        return order

    def backward(self, order: Iterable[int], device: torch.device) -> None:
        """Run the backward of layers in this order, adding to param diffs."""
        for index in order:
            node = self._wiring.nodes[index]
            self._backward_node(node, self._records[index], device)

    def forget(self) -> None:
        """Give up what backwards would need."""
        self._records.clear()

    def _bottom(self, node: Node, name: str, device: torch.device) -> torch.Tensor:
        blob = self._wiring.blobs[name]
        value = blob.tensor(device)
        if blob.data_memory.handed_out and name in node.top:
            value = value.clone()  # the top is written into this memory
        return _layout(value)

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
            for b, needs in zip(node.blobs, node.param_propagate, strict=True)
        ]
        with torch.set_grad_enabled(grad), naming(node.name, node.type):
            tops = node.op.forward(leaves, params, node.context)
        if node.op.source:
            tops = [_layout(t) for t in tops]
        self._records.pop(index, None)
        if grad:
            self._records[index] = _Record(leaves, params, tops)
        return tops

    def _put(self, node: Node, name: str, value: torch.Tensor) -> None:
        held = node.op.source and name in self._wiring.held
        alias = node.op.aliases_bottom and name != node.bottom[0]
        if not held and not alias:
            self._wiring.blobs[name].data_memory.put(value.detach())

    def _backward_node(self, node: Node, record: _Record, device: torch.device) -> None:
        blobs = self._wiring.blobs
        outputs, grads = [], []
        for name, top in zip(node.top, record.tops, strict=True):
            if top.requires_grad:
                outputs.append(top)
                grads.append(shaped(blobs[name].grad_tensor(device), top.shape))
        wanted = [t for t in (*record.bottoms, *record.params) if t.requires_grad]
        if not wanted:
            return
        found: Iterable[torch.Tensor | None] = [None] * len(wanted)
        if outputs:
            found = torch.autograd.grad(
                outputs, wanted, grads, retain_graph=True, allow_unused=True
            )
        got = iter(found)
        for name, leaf in zip(node.bottom, record.bottoms, strict=True):
            if leaf.requires_grad:
                grad = next(got)
                blobs[name].diff_memory.put(
                    torch.zeros_like(leaf) if grad is None else grad
                )
        for blob, leaf in zip(node.blobs, record.params, strict=True):
            if leaf.requires_grad and (grad := next(got)) is not None:
                blob.grad_tensor(device).add_(grad)


@dataclass
class _Step:
    """One layer of the fused plan; names are those of the memory's first blob."""

    node: Node
    bottoms: list[str]
    tops: list[str]
    in_place: bool
    frees: list[str]


class Fused:
    """The whole net as one graph, with nothing kept that nobody needs."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._root: dict[str, str] = {}
        self._leaves: list[tuple[Blob, torch.Tensor]] = []
        self._steps = self._plan()

    def _plan(self) -> list[_Step]:
        steps: list[_Step] = []
        producer: dict[str, Node] = {}
        for node in self._wiring.nodes:
            bottoms = [self._root[name] for name in node.bottom]
            if node.type == "Split":
                self._root.update(dict.fromkeys(node.top, bottoms[0]))
                continue
            for name in node.top:
                self._root.setdefault(name, name)
            tops = [self._root[name] for name in node.top]
            over = node.in_place() and len(node.top) == 1 and len(node.bottom) == 1
            safe = over and not producer[bottoms[0]].op.backward_needs_top
            producer.update(dict.fromkeys(tops, node))
            steps.append(_Step(node, bottoms, tops, safe, []))
        last_use: dict[str, _Step] = {}
        for step in steps:
            last_use.update(dict.fromkeys((*step.bottoms, *step.tops), step))
        for name, step in last_use.items():
            step.frees.append(name)
        return steps

    def forward(
        self, device: torch.device, prepare: Callable[[Node], None]
    ) -> tuple[float, dict[str, torch.Tensor]]:
        """Run without gradients; keep outputs and what Python has a view of.

        Returns
        -------
        loss : float
            Weighted sum of the losses.
        inputs : dict
            Tops of data and input layers, from which the rest can be computed again.
        """
        kept = self._kept()
        self._release()
        values: dict[str, torch.Tensor] = {}
        inputs: dict[str, torch.Tensor] = {}
        loss: torch.Tensor | float = 0.0
        with torch.no_grad():
            for step in self._steps:
                prepare(step.node)
                tops = self._run(step, values, device, grad=False)
                if is_input(step.node) or step.node.op.source:
                    inputs.update(zip(step.tops, tops, strict=True))
                loss = loss + _loss(step.node, tops)
                for name in step.frees:
                    if name not in kept:
                        del values[name]
        self._publish(values)
        return float(loss), inputs

    def forward_backward(
        self, device: torch.device, prepare: Callable[[Node], None], *, keep: bool
    ) -> float:
        """Run forward and backward; add to the parameters' diffs.

        Parameters
        ----------
        keep : bool
            Keep the value of every blob.
        """
        self._release()
        self._leaves.clear()
        values: dict[str, torch.Tensor] = {}
        loss: torch.Tensor | float = 0.0
        for step in self._steps:
            prepare(step.node)
            grad = step.node.needs_backward
            tops = self._run(step, values, device, grad=grad)
            loss = loss + _loss(step.node, tops)
        kept = set(values) if keep else self._kept()
        self._publish({n: t.detach() for n, t in values.items() if n in kept})
        values.clear()
        if not isinstance(loss, torch.Tensor):
            return loss
        if loss.requires_grad:
            loss.backward()
        self._collect(device)
        return float(loss.detach())

    def activation_bytes(self) -> int:
        """Most bytes that the activations of one forward without gradients take."""
        blobs = self._wiring.blobs
        live: dict[str, int] = {}
        peak = 0
        for step in self._steps:
            made = {n: 4 * prod(blobs[n].shape) for n in step.tops}
            extra = 0 if step.in_place else sum(live.get(n, 0) for n in made)
            live.update(made)
            peak = max(peak, sum(live.values()) + extra)
            for name in step.frees:
                live.pop(name, None)
        return peak

    def _kept(self) -> set[str]:
        blobs = self._wiring.blobs
        names = [n for n, b in blobs.items() if b.data_memory.handed_out]
        return {self._root[n] for n in (*names, *self._wiring.outputs)}

    def _release(self) -> None:
        for name, blob in self._wiring.blobs.items():
            if self._root[name] not in self._wiring.held:
                blob.data_memory.release()

    def _publish(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            if name not in self._wiring.held:
                self._wiring.blobs[name].data_memory.put(value)

    def _run(
        self,
        step: _Step,
        values: dict[str, torch.Tensor],
        device: torch.device,
        *,
        grad: bool,
    ) -> list[torch.Tensor]:
        node = step.node
        if is_input(node):
            tops = [self._input(name, device) for name in node.top]
        else:
            bottoms = [values[name] for name in step.bottoms]
            params = [
                self._param(b, device, grad and needs)
                for b, needs in zip(node.blobs, node.param_propagate, strict=True)
            ]
            if grad:
                bottoms = [
                    b if needs else b.detach()
                    for b, needs in zip(
                        bottoms, node.bottom_needs_backward, strict=True
                    )
                ]
            with torch.set_grad_enabled(grad), naming(node.name, node.type):
                if step.in_place:
                    tops = [node.op.forward_in_place(bottoms[0], node.context)]
                else:
                    tops = node.op.forward(bottoms, params, node.context)
            if node.op.source:
                held = self._wiring.held
                tops = [
                    self._input(name, device) if name in held else _layout(top)
                    for name, top in zip(step.tops, tops, strict=True)
                ]
        values.update(zip(step.tops, tops, strict=True))
        return tops

    def _input(self, name: str, device: torch.device) -> torch.Tensor:
        blob = self._wiring.blobs[name]
        value = blob.tensor(device)
        copied = _layout(value)
        return copied.clone() if copied.data_ptr() == value.data_ptr() else copied

    def _param(self, blob: Blob, device: torch.device, grad: bool) -> torch.Tensor:
        leaf = blob.tensor(device).detach()
        if grad:
            leaf.requires_grad_()
            if not blob.diff_memory.empty:
                present = blob.grad_tensor(device)
                # in another layout it is added to later, by `_collect`
                leaf.grad = present if present.stride() == leaf.stride() else None
            self._leaves.append((blob, leaf))
        return leaf

    def _collect(self, device: torch.device) -> None:
        """Take over gradients that did not go into the blobs' memory by themselves."""
        for blob, leaf in self._leaves:
            if leaf.grad is None:
                continue
            if blob.diff_memory.empty:
                blob.diff_memory.put(leaf.grad)
            elif (present := blob.grad_tensor(device)).data_ptr() != (
                leaf.grad.data_ptr()
            ):
                present.add_(leaf.grad)
        self._leaves.clear()


def mark_pending(memories: Iterable[Memory], callback: Callable[[], None]) -> None:
    """Let `callback` compute the values when one of them is read."""
    for memory in memories:
        memory.pending = callback

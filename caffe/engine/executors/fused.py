"""The whole net as one graph: inference and training steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch

from caffe.engine import common
from caffe.engine.blob import Blob, shaped
from caffe.engine.executors.plan import Step, merged, with_last_uses
from caffe.engine.executors.shared import (
    half_layers,
    layout,
    typed,
    weighted_loss,
)
from caffe.engine.layer import Shape
from caffe.engine.node import Node, backward_errors, naming
from caffe.engine.wiring import Wiring


class Fused:
    """The whole net as one graph, with nothing kept that nobody needs.

    Attributes
    ----------
    overwritten : set of str
        Inputs and the like that a layer behind them works on in place.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._root: dict[str, str] = {}
        self._leaves: list[tuple[Blob, torch.Tensor]] = []
        self._half = False
        # in training: where gradients of another name of a memory go, and what it held
        self._paths: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None
        steps = self._plan()
        self.overwritten = {
            name
            for step in steps
            if not (step.node.op.source or step.node.op.aliases_parameter)
            for name in step.tops
            if name in wiring.held and not step.node.op.aliases_bottom
        }
        self._layers = with_last_uses(steps)
        # the same with a rectifier in the step of the layer before it
        self._steps = with_last_uses(merged(steps))

    def _plan(self) -> list[Step]:
        steps: list[Step] = []
        half = half_layers(self._wiring.nodes)
        producer: dict[str, Node] = {}
        read: set[str] = set()  # by others than the layer that comes next
        shared: set[str] = set()
        for index, node in enumerate(self._wiring.nodes):
            bottoms = [self._root[name] for name in node.bottom]
            alias = node.op.aliases_bottom
            for name in node.top:
                self._root.setdefault(name, bottoms[0] if alias else name)
            tops = [self._root[name] for name in node.top]
            over = node.in_place() and len(node.top) == 1 and len(node.bottom) == 1
            safe = over and not alias and bottoms[0] not in read
            safe = safe and not producer[bottoms[0]].op.backward_needs_top
            named = over and bottoms[0] in shared
            steps.append(Step(node, bottoms, tops, safe, named, index in half))
            if alias:
                shared.update(tops)
            else:
                read.update(bottoms)
                read.difference_update(tops)
                producer.update(dict.fromkeys(tops, node))
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
        self._half = common.precision() == "bf16"
        values: dict[str, torch.Tensor] = {}
        loss, inputs = self._infer(self._steps, values, kept, device, prepare)
        self._publish(values)
        return float(loss), inputs

    def _infer(
        self,
        steps: list[Step],
        values: dict[str, torch.Tensor],
        kept: set[str],
        device: torch.device,
        prepare: Callable[[Node], None] | None,
    ) -> tuple[torch.Tensor | float, dict[str, torch.Tensor]]:
        """Run layers without gradients; the loss, and what data layers gave."""
        inputs: dict[str, torch.Tensor] = {}
        self._paths = None
        loss: torch.Tensor | float = 0.0
        with torch.no_grad():
            for step in steps:
                if prepare is not None:
                    prepare(step.node)
                tops = self._run(step, values, device, grad=False)
                if step.node.op.source:
                    inputs.update(zip(step.tops, tops, strict=True))
                loss = loss + weighted_loss(step.node, tops)
                for name in step.frees:
                    if name not in kept:
                        del values[name]
        return loss, inputs

    def take(
        self, outputs: dict[str, torch.Tensor], device: torch.device
    ) -> dict[str, torch.Tensor]:
        """Take the outputs of a forward that was computed elsewhere.

        Returns
        -------
        dict
            Tops of input layers, from which the rest can be computed.
        """
        self._release()
        self._publish({self._root[name]: value for name, value in outputs.items()})
        steps = [step for step in self._steps if step.node.op.filled_by_user]
        return {
            root: self._input(name, device)
            for step in steps
            for root, name in zip(step.tops, step.node.top, strict=True)
        }

    def forward_backward(
        self, device: torch.device, prepare: Callable[[Node], None], *, keep: bool
    ) -> float:
        """Run forward and backward; add to the parameters' diffs.

        Parameters
        ----------
        keep : bool
            Keep value and gradient of every blob.
        """
        self._release()
        self._leaves.clear()
        self._half = common.precision() == "bf16"
        values: dict[str, torch.Tensor] = {}
        # a rectifier's bottom has no gradient of its own where it is merged
        steps = self._layers if keep else self._steps
        loss = self._train(steps, values, device, prepare, keep=keep)
        kept = set(values) if keep else self._kept()
        self._publish({n: t.detach() for n, t in values.items() if n in kept})
        values.clear()
        if not isinstance(loss, torch.Tensor):
            return loss
        if loss.requires_grad:
            with backward_errors():
                loss.backward()
        self._collect(device)
        return float(loss.detach())

    def _train(
        self,
        steps: list[Step],
        values: dict[str, torch.Tensor],
        device: torch.device,
        prepare: Callable[[Node], None] | None,
        *,
        keep: bool = False,
    ) -> torch.Tensor | float:
        """Run layers forward for a backward; the loss."""
        self._paths = {}
        loss: torch.Tensor | float = 0.0
        for step in steps:
            if prepare is not None:
                prepare(step.node)
            grad = step.node.needs_backward
            tops = self._run(step, values, device, grad=grad, keep=keep)
            loss = loss + weighted_loss(step.node, tops)
        return loss

    def activation_bytes(self, shapes: Mapping[str, Shape]) -> int:
        """Most bytes that one forward without gradients takes beside the parameters.

        Parameters
        ----------
        shapes : mapping
            Of all blobs.
        """
        live: dict[str, int] = {}
        peak = kept = 0
        for step in self._steps:
            made = {n: 4 * prod(shapes[n]) for n in step.tops}
            over = step.in_place or step.node.op.aliases_bottom
            extra = 0 if over else sum(live.get(n, 0) for n in made)
            live.update(made)
            lasting, passing = step.node.op.workspace(
                [shapes[name] for name in step.node.bottom]
            )
            kept += lasting
            peak = max(peak, kept + sum(live.values()) + extra + passing)
            for name in step.frees:
                live.pop(name, None)
        return peak

    def _kept(self) -> set[str]:
        blobs = self._wiring.blobs
        names = [n for n, b in blobs.items() if b.data_memory.handed_out]
        kept = {self._root[n] for n in (*names, *self._wiring.outputs)}
        return kept | self.overwritten

    def _release(self) -> None:
        for name, blob in self._wiring.blobs.items():
            if self._root[name] not in self._wiring.held:
                blob.data_memory.release()

    def _publish(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            if name not in self._wiring.held or name in self.overwritten:
                self._wiring.blobs[name].data_memory.put(value)

    def _run(
        self,
        step: Step,
        values: dict[str, torch.Tensor],
        device: torch.device,
        *,
        grad: bool,
        keep: bool = False,
    ) -> list[torch.Tensor]:
        node = step.node
        if node.op.filled_by_user:
            tops = [self._input(name, device) for name in node.top]
        elif node.op.aliases_bottom:
            self._alias(step, values, keep=keep and grad)
            return [values[name] for name in step.tops]
        else:
            bottoms = self._bottoms(step, values, grad=grad, keep=keep)
            params = [
                self._param(b, device, grad and needs)
                for b, needs in zip(node.blobs, node.param_propagate, strict=False)
            ]
            with torch.set_grad_enabled(grad), naming(node.name, node.type):
                bottoms = typed(node.op, bottoms, half=self._half and step.half)
                if step.slope is not None:
                    tops = [
                        node.op.forward_rectified(
                            bottoms[0], params, node.context, step.slope
                        )
                    ]
                elif _overwrites(step, bottoms, grad=grad, keep=keep):
                    tops = [node.op.forward_in_place(bottoms[0], params, node.context)]
                else:
                    tops = node.op.forward(bottoms, params, node.context)
            if node.op.source:
                held = self._wiring.held
                tops = [
                    self._input(name, device) if name in held else layout(top)
                    for name, top in zip(step.tops, tops, strict=True)
                ]
        for root, name, top in zip(step.tops, node.top, tops, strict=True):
            values[root] = top
            if self._paths is not None and name != root:
                self._paths[name] = top, top
            if top.numel() != self._wiring.blobs[name].count:
                self._wiring.blobs[name].reshape(*top.shape)
        return tops

    def _bottoms(
        self, step: Step, values: dict[str, torch.Tensor], *, grad: bool, keep: bool
    ) -> list[torch.Tensor]:
        node, bottoms = step.node, []
        for root, name, needs in zip(
            step.bottoms, node.bottom, node.bottom_needs_backward, strict=True
        ):
            value = self._value(name, values[root])
            value = shaped(value, self._wiring.blobs[name].shape)
            if grad and not needs:
                value = value.detach()
            elif grad and keep:
                value = self._keep_gradient(name, value)
            bottoms.append(value)
        return bottoms

    def _keep_gradient(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Let the gradient of a layer's bottom go into its blob."""
        if name in self._wiring.parameter_tops:
            return value
        if not value.requires_grad:  # data, with force_backward
            value = value.detach().requires_grad_().clone()
        blobs = self._wiring.blobs
        memory = blobs[name].diff_memory
        if memory is not blobs[self._root[name]].diff_memory:
            # each top of a Split has a gradient of its own
            value = value.view_as(value)
        value.register_hook(memory.put_or_clear)
        return value

    def _alias(
        self, step: Step, values: dict[str, torch.Tensor], *, keep: bool
    ) -> None:
        """Let gradients of tops go to the bottom, whatever overwrites the memory."""
        if self._paths is None:
            return
        name, present = step.node.bottom[0], values[step.bottoms[0]]
        value = self._value(name, present)
        if keep and step.node.bottom_needs_backward[0]:
            value = self._keep_gradient(name, value)
        for top in step.node.top:
            self._paths[top] = value, present

    def _value(self, name: str, present: torch.Tensor) -> torch.Tensor:
        """Value of a blob, whose memory holds `present`."""
        path = (self._paths or {}).get(name)
        if path is None:
            return present
        value, before = path
        if before is present:
            return value
        through: torch.Tensor = _Through.apply(value, present.detach())
        return through

    def _input(self, name: str, device: torch.device) -> torch.Tensor:
        blob = self._wiring.blobs[name]
        value = blob.tensor(device)
        copied = layout(value)
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


def _overwrites(
    step: Step, bottoms: list[torch.Tensor], *, grad: bool, keep: bool
) -> bool:
    """Whether a step may write over its bottom without changing another gradient.

    In autograd the layer becomes part of every tensor that is this memory, and what is
    hooked to a view is forgotten.
    """
    if not (step.in_place and grad):
        return step.in_place
    return not (step.shared or (keep and bottoms[0]._is_view()))


class _Through(torch.autograd.Function):
    """What another name of the same memory has been made, with one's own gradient.

    As in Caffe, where the tops of a Split have one value, and a layer that works on one
    of them in place has no part in the gradients of the others.
    """

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return present.reshape(value.shape).clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad, None

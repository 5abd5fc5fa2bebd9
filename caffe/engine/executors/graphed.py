"""The whole net as one graph that a GPU replays, data and update aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from caffe.engine import common
from caffe.engine.blob import Blob, shaped
from caffe.engine.cuda_graphs import Graphs, Replayed
from caffe.engine.executors.fused import Fused
from caffe.engine.node import Node, naming
from caffe.engine.packing import Packing
from caffe.engine.wiring import Wiring

Values = dict[str, torch.Tensor]
Prepare = Callable[[Node], None]


class Graphed(Fused):
    """As `Fused`; on a GPU forwards and training steps are captured and replayed.

    Not captured are steps that keep every blob, and those that add to gradients.

    Attributes
    ----------
    graphs : Graphs
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self.graphs = Graphs(wiring.nodes)
        pairs = zip(wiring.nodes, self.graphs.inside, strict=True)
        body = {id(node) for node, inside in pairs if inside}
        self._data = [step for step in self._steps if id(step.node) not in body]
        self._body = [step for step in self._steps if id(step.node) in body]
        losses = (any(step.node.loss_weights) for step in self._body)
        self._has_loss = any(losses)  # else there is no number to wait for
        self._reached: list[Blob] = []  # parameters whose gradients a step gives

    def forward(
        self, device: torch.device, prepare: Prepare
    ) -> tuple[float, dict[str, torch.Tensor]]:
        """Run without gradients, as `Fused` does."""
        graph = self.graphs.of("the forward", device)
        if graph is None:
            return super().forward(device, prepare)
        kept = self._kept()
        self._release()
        self._half = common.precision() == "bf16"
        values: Values = {}
        # nothing of the data is freed yet: the layers of the graph may read it
        whole = set(self._root.values())
        loss, inputs = self._infer(self._data, values, whole, device, prepare)
        made = sorted((kept - set(values)) | self.overwritten)

        def work(given: Values) -> tuple[torch.Tensor | float, list[torch.Tensor]]:
            total, _ = self._infer(self._body, given, kept, device, None)
            return total, [given[name] for name in made]

        total, found = self._replay(graph, work, values, made, device, prepare)
        values.update(zip(made, found, strict=True))
        self._publish({n: t for n, t in values.items() if n in kept})
        return float(loss + total), inputs

    def forward_backward(
        self, device: torch.device, prepare: Prepare, *, keep: bool
    ) -> float:
        """Run forward and backward, as `Fused` does."""
        graph = None if keep else self.graphs.of("a step", device)
        if graph is None or self._has_diffs():
            return super().forward_backward(device, prepare, keep=keep)
        self._release()
        self._half = common.precision() == "bf16"
        values: Values = {}
        loss = self._train(self._data, values, device, prepare)
        kept = self._kept()
        made = sorted((kept - set(values)) | self.overwritten)

        def work(given: Values) -> tuple[torch.Tensor | float, list[torch.Tensor]]:
            self._leaves.clear()
            total = self._train(self._body, given, device, None)
            found = [given[name].detach() for name in made]
            given.clear()
            if isinstance(total, torch.Tensor) and total.requires_grad:
                total.backward()
                total = total.detach()
            self._reached = [blob for blob, t in self._leaves if t.grad is not None]
            found += [t.grad for _, t in self._leaves if t.grad is not None]
            self._leaves.clear()
            return total, found

        total, found = self._replay(graph, work, values, made, device, prepare)
        values.update(zip(made, found, strict=False))
        self._publish({n: t.detach() for n, t in values.items() if n in kept})
        for blob, grad in zip(self._reached, found[len(made) :], strict=True):
            if blob.diff_memory.empty:
                blob.diff_memory.put(grad)
            else:  # a parameter of two layers
                blob.grad_tensor(device).add_(grad)
        return float(loss + total)

    def _replay(
        self,
        graph: Replayed,
        work: Callable[[Values], tuple[torch.Tensor | float, list[torch.Tensor]]],
        values: Values,
        made: list[str],
        device: torch.device,
        prepare: Prepare,
    ) -> tuple[torch.Tensor | float, list[torch.Tensor]]:
        """Run the layers of the graph on what the others made: loss and results."""
        for step in self._body:
            prepare(step.node)
        self._look_ahead(values)
        read = {name for step in self._body for name in step.bottoms}
        given = sorted(read.intersection(values))

        def run(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
            arguments = dict(zip(given, tensors, strict=True))
            if tensors is present:
                total, found = work(arguments)
            else:
                with self._recording():
                    total, found = work(arguments)
            return [total, *found] if isinstance(total, torch.Tensor) else found

        present = [values[name].detach() for name in given]
        blobs = [blob for step in self._body for blob in step.node.blobs]
        parameters = [blob.tensor(device) for blob in blobs]
        places = tuple((p.data_ptr(), p.stride()) for p in parameters)
        fixed = (tuple(made), common.precision(), places)
        found = graph.run(run, present, fixed)
        return (found[0], found[1:]) if self._has_loss else (0.0, found)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Let no layer read anything back, or use what it derived from parameters."""
        contexts = [step.node.context for step in self._body]
        packings = [context.packing for context in contexts]
        for context in contexts:
            context.captured, context.packing = True, Packing()
        try:
            yield
        finally:
            for context, packing in zip(contexts, packings, strict=True):
                context.captured, context.packing = False, packing

    def _look_ahead(self, values: Values) -> None:
        """Let losses refuse the labels that they can't look at in a replay."""
        for step in self._body:
            node, blobs = step.node, self._wiring.blobs
            bottom = node.op.label_bottom
            if bottom is not None:
                labels = values[step.bottoms[bottom]]
                labels = shaped(labels, blobs[node.bottom[bottom]].shape)
                with naming(node.name, node.type):
                    node.op.look_ahead(labels, blobs[node.bottom[0]].shape)

    def _has_diffs(self) -> bool:
        """Whether there are gradients to which those of this step are added."""
        blobs = (blob for node in self._wiring.nodes for blob in node.blobs)
        return any(not blob.diff_memory.empty for blob in blobs)

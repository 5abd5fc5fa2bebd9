"""What stands in for CUDA graphs where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.fx.experimental.proxy_tensor import make_fx

Tensors = list[torch.Tensor]


class Tape:
    """Records the operations of torch, not Python, and plays them into fixed memory.

    As in a CUDA graph, numbers that Python had during the capture stay what they were.

    Attributes
    ----------
    calls : list of str
        "rehearse", "capture" and "replay", in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def rehearse(self, work: Callable[[], Tensors]) -> Tensors:
        """Run the work."""
        self.calls.append("rehearse")
        return work()

    def capture(
        self, work: Callable[[], Tensors]
    ) -> tuple[Tensors, Callable[[], object]]:
        """Trace the work; nobody sees that it ran for this."""
        self.calls.append("capture")
        return self.play(make_fx(work)())

    def play(self, work: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], object]]:
        """Memory for the results, and what fills it."""
        with torch.random.fork_rng():
            places = [value.detach().clone() for value in work()]

        def replay() -> None:
            self.calls.append("replay")
            for place, value in zip(places, work(), strict=True):
                place.copy_(value.detach())

        return places, replay


class Again(Tape):
    """Runs the work once more at each replay, for what can't be traced.

    Parameters
    ----------
    generators : sequence of torch.Generator
        What the work draws from; a capture leaves them where they were.
    """

    def __init__(self, generators: Sequence[torch.Generator] = ()) -> None:
        super().__init__()
        self._generators = list(generators)

    def capture(
        self, work: Callable[[], Tensors]
    ) -> tuple[Tensors, Callable[[], object]]:
        """Run the work for the shapes of its results."""
        self.calls.append("capture")
        states = [generator.get_state() for generator in self._generators]
        found = self.play(work)
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
        return found

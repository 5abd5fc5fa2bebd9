"""Gradient descent with momentum, and what all updates share."""

from __future__ import annotations

import math

import torch

from caffe.engine import common
from caffe.engine.solvers.policies import LearningRate
from caffe.engine.solvers.solver import Solver
from caffe.errors import CheckError
from caffe.glog import log


class SGDSolver(Solver):
    """Stochastic gradient descent: ``h = momentum h + rate g``; ``w -= h``.

    The base of the other solvers, which each say in `_update` what a gradient
    becomes. As in Caffe, the gradients are clipped, divided by `iter_size`, given
    their weight decay and turned into the update in place, so that the `diff` of a
    parameter holds the update after a step.

    Attributes
    ----------
    history : list of torch.Tensor
        What the update remembers: one tensor for each learnable parameter, or more.
    """

    histories = 1

    def _prepare(self) -> None:
        self._check_options()
        self.rate = LearningRate(self.param)
        self._device = common.device()
        self.history: list[torch.Tensor] = [
            torch.zeros_like(learnable.blob.tensor(self._device))
            for _ in range(self.histories)
            for learnable in self.net.learnable
        ]

    def _check_options(self) -> None:
        """Refuse numbers of the solver that the method can't use."""
        if self.param.regularization_type not in ("L1", "L2"):
            raise CheckError(
                f"Unknown regularization type: '{self.param.regularization_type}'; "
                "known types: L1, L2"
            )

    def apply_update(self) -> None:
        """Turn the gradients into updates, subtract them from the weights, count."""
        rate = self.rate.at(self.iter)
        if self._displays():
            log("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {rate:.6g}")
        learnable = self.net.learnable
        weights = [item.blob.tensor(self._device) for item in learnable]
        diffs = [item.blob.grad_tensor(self._device) for item in learnable]
        with torch.no_grad():
            self._clip(diffs)
            for index, item in enumerate(learnable):
                diff = diffs[index]
                if self.param.iter_size > 1:
                    diff.mul_(1 / self.param.iter_size)
                self._regularize(weights[index], diff, item.decay_mult)
                self._update(diff, self._past(index), rate * item.lr_mult)
                weights[index].sub_(diff)
        self.iter += 1

    def _past(self, index: int) -> list[torch.Tensor]:
        """History of one learnable parameter."""
        return self.history[index :: len(self.net.learnable)]

    def _clip(self, diffs: list[torch.Tensor]) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        norm = math.sqrt(sum(float(diff.square().sum()) for diff in diffs))
        if norm > limit:
            scale = limit / norm
            log(
                "sgd_solver.cpp:127",
                f"Gradient clipping: scaling down gradients (L2 norm {norm:.6g} > "
                f"{limit:.6g}) by scale factor {scale:.6g}",
            )
            for diff in diffs:
                diff.mul_(scale)

    def _regularize(
        self, weight: torch.Tensor, diff: torch.Tensor, decay_mult: float
    ) -> None:
        decay = self.param.weight_decay * decay_mult
        if not decay:
            return
        if self.param.regularization_type == "L2":
            diff.add_(weight, alpha=decay)
        else:
            diff.add_(weight.sign(), alpha=decay)

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        """Replace a gradient by what is to be subtracted from the weight."""
        (history,) = past
        history.mul_(self.param.momentum).add_(diff, alpha=rate)
        diff.copy_(history)


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient, in the form of Sutskever et al. (2013)."""

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        (history,) = past
        momentum = self.param.momentum
        old = history.clone()
        history.mul_(momentum).add_(diff, alpha=rate)
        torch.mul(history, 1 + momentum, out=diff)
        diff.sub_(old, alpha=momentum)

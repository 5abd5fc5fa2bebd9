"""Updates that scale each number by what its gradients were before."""

from __future__ import annotations

import math

import torch

from caffe.engine.solvers.sgd import SGDSolver
from caffe.errors import CheckError


class _WithoutMomentum(SGDSolver):
    """Methods that Caffe refuses to combine with momentum."""

    def _check_options(self) -> None:
        super()._check_options()
        if self.param.momentum:
            method = type(self).__name__.removesuffix("Solver")
            raise CheckError(
                f"Momentum cannot be used with {method}: "
                f"it is {self.param.momentum:.6g}, leave it out"
            )


class AdaGradSolver(_WithoutMomentum):
    """Duchi et al. (2011): ``h += g^2``; ``w -= rate g / (sqrt(h) + delta)``."""

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        (history,) = past
        history.addcmul_(diff, diff)
        diff.div_(history.sqrt().add_(self.param.delta)).mul_(rate)


class RMSPropSolver(_WithoutMomentum):
    """Tieleman and Hinton (2012): AdaGrad with a history that decays."""

    def _check_options(self) -> None:
        super()._check_options()
        if not 0 <= self.param.rms_decay < 1:
            raise CheckError(
                f"rms_decay should lie between 0 and 1, "
                f"it is {self.param.rms_decay:.6g}"
            )

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        (history,) = past
        decay = self.param.rms_decay
        history.mul_(decay).addcmul_(diff, diff, value=1 - decay)
        diff.div_(history.sqrt().add_(self.param.delta)).mul_(rate)


class AdaDeltaSolver(SGDSolver):
    """Zeiler (2012): steps as large as the earlier ones, relative to the gradients."""

    histories = 2

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        gradients, updates = past
        momentum, delta = self.param.momentum, self.param.delta
        gradients.mul_(momentum).addcmul_(diff, diff, value=1 - momentum)
        diff.mul_(updates.add(delta).div_(gradients + delta).sqrt_())
        updates.mul_(momentum).addcmul_(diff, diff, value=1 - momentum)
        diff.mul_(rate)


class AdamSolver(SGDSolver):
    """Kingma and Ba (2015), with momentum as beta1 and momentum2 as beta2."""

    histories = 2

    def _check_options(self) -> None:
        super()._check_options()
        for name in ("momentum", "momentum2"):
            value = getattr(self.param, name)
            if not 0 <= value < 1:  # else the correction divides by 0, or has no root
                raise CheckError(
                    f"Adam's {name} is {value:.6g}: expected 0 or more, below 1"
                )

    def _update(
        self, diff: torch.Tensor, past: list[torch.Tensor], rate: float
    ) -> None:
        first, second = past
        beta1, beta2 = self.param.momentum, self.param.momentum2
        steps = self.iter + 1
        correction = math.sqrt(1 - beta2**steps) / (1 - beta1**steps)
        first.mul_(beta1).add_(diff, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(diff, diff, value=1 - beta2)
        torch.sqrt(second, out=diff)
        diff.add_(self.param.delta)
        torch.div(first, diff, out=diff).mul_(rate * correction)

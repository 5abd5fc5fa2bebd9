"""Learning rate policies: the rate of an iteration from the solver's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.errors import CheckError
from caffe.glog import log

_LEAST_EXPONENT = -700


class LearningRate:
    """The rate of each iteration, by the `lr_policy` of a solver.

    ==========  ==========================================================
    fixed       base_lr
    step        base_lr * gamma ^ floor(iter / stepsize)
    exp         base_lr * gamma ^ iter
    inv         base_lr * (1 + gamma * iter) ^ (-power)
    multistep   as step, at the iterations named by stepvalue
    poly        base_lr * (1 - iter / max_iter) ^ power
    sigmoid     base_lr / (1 + exp(-gamma * (iter - stepsize)))
    ==========  ==========================================================

    Parameters
    ----------
    param : SolverParameter

    Attributes
    ----------
    current_step : int
        Steps taken so far by step and multistep; a solver state keeps it.

    Raises
    ------
    CheckError
        If the policy is unknown or lacks a number that it needs.

    Examples
    --------
    >>> from caffe.proto import caffe_pb2
    >>> param = caffe_pb2.SolverParameter(
    ...     base_lr=0.5, lr_policy="step", gamma=0.5, stepsize=10)
    >>> LearningRate(param).at(25)
    0.125
    """

    def __init__(self, param: Any) -> None:
        policies: dict[str, Callable[[int], float]] = {
            "fixed": lambda iteration: 1.0,
            "step": self._step,
            "exp": lambda iteration: _power(param.gamma, iteration),
            "inv": lambda iteration: _power(1 + param.gamma * iteration, -param.power),
            "multistep": self._multistep,
            "poly": lambda iteration: _power(
                max(1 - iteration / param.max_iter, 0.0), param.power
            ),
            "sigmoid": lambda iteration: _logistic(
                param.gamma * (iteration - param.stepsize)
            ),
        }
        if param.lr_policy not in policies:
            raise CheckError(
                f"Unknown learning rate policy: '{param.lr_policy}'; "
                f"known policies: {', '.join(policies)}"
            )
        for policy, name in (("step", "stepsize"), ("poly", "max_iter")):
            if param.lr_policy == policy and getattr(param, name) <= 0:
                raise CheckError(
                    f"lr_policy '{policy}' needs {name} > 0, "
                    f"it is {getattr(param, name)}"
                )
        self._param = param
        self._factor = policies[param.lr_policy]
        self.current_step = 0
        self._tells = True

    def at(self, iteration: int) -> float:
        """Rate of an iteration, rounded to float32 as Caffe's."""
        with np.errstate(all="ignore"):  # infinity and no number, as in C++
            return float(np.float32(self._param.base_lr * self._factor(iteration)))

    def peek(self, iteration: int) -> float:
        """Rate of an iteration, as `at` gives it, without taking a step."""
        other = LearningRate(self._param)
        other.current_step = self.current_step
        other._tells = False
        return other.at(iteration)

    def _step(self, iteration: int) -> float:
        self.current_step = iteration // self._param.stepsize
        return _power(self._param.gamma, self.current_step)

    def _multistep(self, iteration: int) -> float:
        values = self._param.stepvalue
        if self.current_step < len(values) and iteration >= values[self.current_step]:
            self.current_step += 1
            if self._tells:
                log(
                    "sgd_solver.cpp:51",
                    f"MultiStep Status: Iteration {iteration}, "
                    f"step = {self.current_step}",
                )
        return _power(self._param.gamma, self.current_step)


def _logistic(x: float) -> float:
    """1 / (1 + e^-x), 0 where the exponential overflows."""
    return 1 / (1 + math.exp(-x)) if x > _LEAST_EXPONENT else 0.0


def _power(base: float, exponent: float) -> float:
    return float(np.power(np.float64(base), np.float64(exponent)))

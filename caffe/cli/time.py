"""``caffe time``: benchmark model execution time, layer by layer."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from caffe.cli import devices
from caffe.cli.flags import Flags
from caffe.errors import CheckError
from caffe.glog import log

if TYPE_CHECKING:
    from caffe.engine.net import Net

NAME = "time"
HELP = "benchmark model execution time"
_PHASES = {"TRAIN": 0, "TEST": 1, "": 0}


def run(flags: Flags) -> int:
    """Time forward and backward of every layer of a net.

    Raises
    ------
    CaffeError
        If flags, files or the device are wrong.
    """
    if not flags.model:
        raise CheckError("Need a model definition to time: -model FILE")
    if flags.phase not in _PHASES:
        raise CheckError(f"-phase must be TRAIN or TEST, it is '{flags.phase}'")
    if flags.iterations < 1:
        raise CheckError(f"-iterations must be 1 or more, it is {flags.iterations}")
    devices.choose(flags.gpu, "caffe.cpp:343")

    import caffe

    caffe.set_precision(flags.precision)
    caffe.prefer_dialects(*flags.preferred)
    net = caffe.Net(
        flags.model,
        _PHASES[flags.phase],
        level=flags.level,
        stages=flags.stage.split(","),
    )
    for path in filter(None, flags.weights.split(",")):
        net.copy_from(path.strip())
    log("caffe.cpp:351", "Performing Forward")
    numbers = range(len(net._layer_names))
    loss = _forward(net, [0.0 for _ in numbers])
    log("caffe.cpp:356", f"Initial loss: {loss:.6g}")
    log("caffe.cpp:357", "Performing Backward")
    _backward(net, [0.0 for _ in numbers])
    _benchmark(net, flags.iterations)
    _print_cost(net)
    return 0


def _print_cost(net: Net) -> None:
    """Say what the net costs: on stdout, as Caffe's log has no such lines."""
    from caffe.engine.cost import cost

    total = cost(net)
    print(f"parameters: {total.parameters}")
    print(
        f"multiply-adds of a forward pass: {total.multiply_adds} "
        f"({total.gflops:.6g} GFLOP)"
    )


def _benchmark(net: Net, iterations: int) -> None:
    log("caffe.cpp:365", "*** Benchmark begins ***")
    log("caffe.cpp:366", f"Testing for {iterations} iterations.")
    forward = [0.0 for _ in net._layer_names]
    backward = [0.0 for _ in net._layer_names]
    begin = perf_counter()
    for iteration in range(iterations):
        since = perf_counter()
        _forward(net, forward)
        _backward(net, backward)
        log(
            "caffe.cpp:394",
            f"Iteration: {iteration + 1} forward-backward time: "
            f"{_ms(perf_counter() - since)}",
        )
    total = perf_counter() - begin
    log("caffe.cpp:397", "Average time per layer: ")
    for name, ahead, back in zip(net._layer_names, forward, backward, strict=True):
        log("caffe.cpp:400", f"{name:>10}\tforward: {_ms(ahead / iterations)}")
        log("caffe.cpp:403", f"{name:>10}\tbackward: {_ms(back / iterations)}")
    log("caffe.cpp:408", f"Average Forward pass: {_ms(sum(forward) / iterations)}")
    log("caffe.cpp:410", f"Average Backward pass: {_ms(sum(backward) / iterations)}")
    log("caffe.cpp:412", f"Average Forward-Backward: {_ms(total / iterations)}")
    log("caffe.cpp:414", f"Total Time: {_ms(total)}")
    log("caffe.cpp:415", "*** Benchmark ends ***")


def _forward(net: Net, seconds: list[float]) -> float:
    """Run all layers, add the seconds of each, return the loss."""
    for number in range(len(seconds)):
        seconds[number] += net.forward_layer(number)
    return sum(
        weight * float(net.blobs[name].data.sum())
        for name, weight in net.loss_weights.items()
    )


def _backward(net: Net, seconds: list[float]) -> None:
    for number in reversed(range(len(seconds))):
        seconds[number] += net.backward_layer(number)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.6g} ms."

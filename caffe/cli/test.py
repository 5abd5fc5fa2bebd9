"""``caffe test``: score a model."""

from __future__ import annotations

from caffe.cli import devices, weights
from caffe.cli.flags import Flags
from caffe.errors import CheckError
from caffe.glog import log

NAME = "test"
HELP = "score a model"


def run(flags: Flags) -> int:
    """Run a net in phase TEST and log every output and the means.

    Raises
    ------
    CaffeError
        If flags, files or the device are wrong.
    """
    if not flags.model:
        raise CheckError("Need a model definition to score: -model FILE")
    if not flags.weights:
        raise CheckError("Need model weights to score: -weights FILE")
    if flags.iterations < 1:
        raise CheckError(f"-iterations must be 1 or more, it is {flags.iterations}")
    devices.choose(flags.gpu, "caffe.cpp:275")

    import caffe
    from caffe.engine.solvers import report

    caffe.set_precision(flags.precision)
    caffe.prefer_dialects(*flags.preferred)
    net = caffe.Net(
        flags.model, caffe.TEST, level=flags.level, stages=flags.stage.split(",")
    )
    weights.load(net, flags.weights)
    log("caffe.cpp:281", f"Running for {flags.iterations} iterations.")
    means = report.MeanOutputs()
    for batch in range(flags.iterations):
        for name, value in means.add(net):
            log("caffe.cpp:304", f"Batch {batch}, {name} = {value:.6g}")
    log("caffe.cpp:309", f"Loss: {means.loss:.6g}")
    for name, value in means.values:
        ending = report.weighted(net, name, value)
        log("caffe.cpp:321", f"{name} = {value:.6g}{ending}")
    return 0

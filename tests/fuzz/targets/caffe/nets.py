"""Nets that are made of damaged texts, and computed; solvers that take steps."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe.engine.solvers import get_solver
from caffe.proto import caffe_pb2, files
from tests.fuzz import corpus
from tests.fuzz.target import Target, refusing
from tests.fuzz.targets.caffe.messages import in_text

# What torch and layers load when they first need it: each worker would do so anew.
for _late in ("torch.fx.experimental.symbolic_shapes", "scipy.ndimage"):
    import_module(_late)

_MOST_NUMBERS = 1 << 20  # more of them only take time
_STEPS = 2
# What the stored layers of tests/reference lack.
_OTHERS = {
    "dummy": """
        layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {
          data_filler { type: "gaussian" std: 0.1 } data_filler { type: "constant" }
          shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 } } }
        layer { name: "a" type: "ValueAugmentation" bottom: "x" top: "a"
          value_augmentation_param { black_from: -0.1 white_to: 1.1 slope_max: 1.2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "a" top: "ip"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "l" }
    """,
    "lstm_unit": """
        input: "c" input_shape { dim: 1 dim: 2 dim: 3 }
        input: "g" input_shape { dim: 1 dim: 2 dim: 12 }
        input: "t" input_shape { dim: 1 dim: 2 }
        layer { name: "u" type: "LSTMUnit" bottom: "c" bottom: "g" bottom: "t"
          top: "cc" top: "h" }
        layer { name: "s" type: "Silence" bottom: "cc" bottom: "h" }
    """,
    "odd-memory": """
        layer { name: "m" type: "MemoryData" top: "x" top: "y" memory_data_param {
          batch_size: 2 channels: 1 height: 3 width: 3 } }
        layer { name: "p" type: "Parameter" top: "w"
          parameter_param { shape { dim: 2 dim: 9 } } }
        layer { name: "o" type: "HDF5Output" bottom: "w"
          hdf5_output_param { file_name: "out.h5" } }
    """,
    "old": """
        input: "x" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
        layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 1
          convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
        layers { name: "r" type: RELU bottom: "c" top: "c" }
        layers { name: "p" type: POOLING bottom: "c" top: "p"
          pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
    """,
    "shared": """
        name: "two" force_backward: true state { level: 1 stage: "s" }
        layer { name: "x" type: "Input" top: "x"
          input_param { shape { dim: 2 dim: 4 } } }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
          param { name: "w" lr_mult: 2 decay_mult: 0 } param { name: "b" }
          include { min_level: 0 stage: "s" }
          inner_product_param { num_output: 4 } }
        layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
        layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" loss_weight: 1
          param { name: "w" share_mode: PERMISSIVE } param { name: "b" }
          exclude { phase: TEST not_stage: "t" }
          inner_product_param { num_output: 4 } propagate_down: true }
    """,
}
_METHODS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


def _net(data: bytes, folder: Path) -> None:
    """Make the net in both phases; a small one is computed, forward and back."""
    path = folder / "net.prototxt"
    path.write_bytes(data)
    for phase in (caffe.TEST, caffe.TRAIN):
        with refusing():
            param = files.read_net(path)
            for layer in param.layer:
                layer.hdf5_output_param.file_name = "out.h5"
                if layer.type == "Python":  # code of its own can do anything
                    layer.type = "ReLU"
            net = caffe.Net(param, phase)
            if _count(net) > _MOST_NUMBERS:
                continue
            for name in net.inputs:
                net.blobs[name].data[...] = 1
            net.forward()
            if phase == caffe.TRAIN:
                net.backward()


def _count(net: Any) -> int:
    return sum(blob.count for blob in net.blobs.values())


def _solver(data: bytes, folder: Path) -> None:
    path = folder / "solver.prototxt"
    path.write_bytes(data)
    with refusing():
        param = files.read_solver(path)
        param.snapshot_prefix = "snap"
        param.test_iter[:] = [min(count, 2) for count in param.test_iter]
        param.iter_size = min(param.iter_size, 3)
        solver = get_solver(param)
        if _count(solver.net) <= _MOST_NUMBERS:
            solver.step(_STEPS)
            solver.snapshot()


def _nets() -> dict[str, bytes]:
    found = {name: text.encode() for name, text in _OTHERS.items()}
    for path in sorted((corpus.TESTS / "reference/layers").glob("*.npz")):
        with np.load(path) as stored:
            found[path.stem] = str(stored["prototxt"]).encode()
    return found


def _solvers() -> dict[str, bytes]:
    rest = "base_lr: 0.01 max_iter: 5 display: 1 snapshot: 2 random_seed: 3"
    policies = (
        'lr_policy: "step" stepsize: 2 gamma: 0.5 momentum: 0.9',
        'lr_policy: "multistep" stepvalue: 1 stepvalue: 3 gamma: 0.1 weight_decay: 0.1',
        'lr_policy: "poly" power: 2 clip_gradients: 1 iter_size: 2',
        'lr_policy: "inv" gamma: 1 power: 1 regularization_type: "L1"',
        'lr_policy: "exp" gamma: 0.9 momentum: 0.9 delta: 1e-3',
        'lr_policy: "fixed" average_loss: 3 debug_info: false momentum2: 0.99',
    )
    # to draw the curves of ValueAugmentation takes most of the time
    net = _OTHERS["dummy"].replace("ValueAugmentation", "Sigmoid")
    return {
        method: f'type: "{method}" {rest} {policy} net_param {{ {net} }}'.encode()
        for method, policy in zip(_METHODS, policies, strict=True)
    }


TARGETS = (
    Target("net", _net, _nets, in_text(caffe_pb2.NetParameter), structured=0.95),
    Target(
        "solver", _solver, _solvers, in_text(caffe_pb2.SolverParameter), structured=0.95
    ),
)

"""A net as solvers, snapshots and the commands see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine import common, gaps, snapshot
from caffe.engine.blob import Blob
from caffe.engine.gaps import Gap
from caffe.engine.node import Learnable, ParamEntry
from caffe.engine.runner import Runner
from caffe.engine.timer import Timer
from caffe.engine.turns import Turns
from caffe.engine.wiring import Wiring
from caffe.proto import blobs as blob_protos
from caffe.proto import caffe_pb2


class Trainable:
    """Base of `caffe.Net` with what pycaffe's own methods do not show."""

    name: str
    _wiring: Wiring
    _runner: Runner
    _turns: Turns

    @property
    def learnable(self) -> list[Learnable]:
        """Parameter blobs that a solver updates, in Caffe's order."""
        return self._wiring.learnable

    @property
    def param_entries(self) -> list[ParamEntry]:
        """All places of parameter blobs, shared ones too."""
        return self._wiring.entries

    def layer_params(self, name: str) -> list[Blob] | None:
        """Parameter blobs of a layer, or None if there is no such layer."""
        for node in self._wiring.nodes:
            if node.name == name:
                return node.blobs
        return None

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the blobs that are losses."""
        return self._wiring.loss_weights

    def clear_param_diffs(self) -> None:
        """Set the diffs of all learnable parameters to zero."""
        for learnable in self.learnable:
            learnable.blob.diff_memory.clear()

    @property
    def keep_blobs(self) -> bool:
        """False lets a training step free every blob at its last use."""
        return self._runner.keep_blobs

    @keep_blobs.setter
    def keep_blobs(self, value: bool) -> None:
        self._runner.keep_blobs = value

    @property
    def cuda_graphs(self) -> bool:
        """False keeps a GPU from replaying steps: each operation is started anew."""
        return self._runner.cuda_graphs

    @cuda_graphs.setter
    def cuda_graphs(self, value: bool) -> None:
        self._runner.cuda_graphs = value

    def set_debug_info(self, value: bool) -> None:
        """Log from now on, or no more, how large the numbers in the net are."""
        self._runner.set_debug_info(value)

    def forward_loss(self) -> float:
        """Run a forward and return the weighted sum of the losses."""
        with self._turns.taken():
            return self._runner.forward_loss()

    def forward_backward(self) -> float:
        """Run forward and backward, add to param diffs, return the loss."""
        with self._turns.taken():
            return self._runner.forward_backward()

    def gives_probabilities(self, blob: str) -> bool:
        """Whether the layer that makes a blob last gives probabilities."""
        last = [node for node in self._wiring.nodes if blob in node.top][-1:]
        return any(node.op.probabilities for node in last)

    def activation_bytes(self) -> int:
        """Most bytes that activations take in a forward in phase TEST.

        For the present shapes of the inputs (after `reshape`); nothing is allocated.
        """
        shapes = {name: blob.shape for name, blob in self._wiring.blobs.items()}
        return self._runner.activation_bytes(shapes)

    def to_proto(self, write_diff: bool = False) -> Any:
        """Make the NetParameter, with all parameters, that a snapshot holds."""
        net = self.outline()
        messages = [message for layer in net.layer for message in layer.blobs]
        for message, blob in zip(messages, self.written_blobs, strict=True):
            blob_protos.put(message, "data", blob.values())
            if write_diff:
                blob_protos.put(message, "diff", blob.gradients())
        return net

    @property
    def written_blobs(self) -> list[Blob]:
        """Parameters in the order in which a snapshot holds them, shared ones too."""
        return [blob for node in self._wiring.nodes for blob in node.blobs]

    @property
    def remembers(self) -> bool:
        """Whether a forward left something to a backward, parameters among it."""
        return self._runner.remembers

    def outline(self) -> Any:
        """Make the NetParameter of a snapshot with blobs that have shapes only."""
        net = caffe_pb2.NetParameter(name=self.name)
        for node in self._wiring.nodes:
            layer = net.layer.add()
            layer.CopyFrom(node.param)
            layer.ClearField("blobs")
            if node.op.loss and not layer.loss_weight:
                layer.loss_weight.append(1)
            for blob in node.blobs:
                layer.blobs.add(shape={"dim": blob.shape})
        return net

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Random streams and the state of all layers, for an exact resume."""
        found = common.streams().state()
        for node in self._wiring.nodes:
            for key, value in node.context.state.items():
                found[f"layer/{node.name}/{key}"] = np.asarray(value)
        return found

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state_dict` gave."""
        common.streams().restore(dict(state))
        for node in self._wiring.nodes:
            prefix = f"layer/{node.name}/"
            for key, value in state.items():
                if key.startswith(prefix):
                    node.context.state[key.removeprefix(prefix)] = np.array(value)

    def missing_weights(self, path: Any) -> list[Gap]:
        """Find the parameters that a file of weights gives no values, or not all.

        Parameters
        ----------
        path : path
            As for `copy_from`; no numbers are read.

        Returns
        -------
        list of Gap
            Their `layer`, `index`, shape `wanted` by the net, and shape `found` in
            the file (None: not there).
        """
        return snapshot.find_gaps(self.param_entries, os.fspath(path))

    def check_weights(self, path: Any, *, but: Collection[str] = ()) -> None:
        """See that a file has weights for all layers, without loading them.

        Parameters
        ----------
        path : path
        but : collection of str
            Layers that may stay without.

        Raises
        ------
        CheckError
            One has none, or of another shape; the text names the layers.
        """
        found = [gap for gap in self.missing_weights(path) if gap.layer not in but]
        gaps.check(found, path)

    def forward_layer(self, index: int) -> float:
        """Run one layer by its number and return the seconds it took."""
        return _seconds(self._runner.forward_layers, index)

    def backward_layer(self, index: int) -> float:
        """Run the backward of one layer and return the seconds it took."""
        return _seconds(self._runner.backward, index)


def _seconds(work: Callable[[int, int], object], index: int) -> float:
    """Seconds that one layer's work takes, what it left to do on a GPU included."""
    timer = Timer()
    timer.start()
    work(index, index)
    return timer.seconds

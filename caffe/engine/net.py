"""`caffe.Net`: pycaffe's net over the engine's executors."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine import common, graph, snapshot
from caffe.engine.blob import Blob, Memory
from caffe.engine.executors import Fused, Inspecting, is_input, mark_pending
from caffe.engine.layer import layer_type_list as layer_type_list
from caffe.engine.log import log
from caffe.engine.wiring import Learnable, Node, ParamEntry, Wiring, naming
from caffe.errors import CaffeError, CheckError
from caffe.proto import blobs as blob_protos
from caffe.proto import caffe_pb2, files, text


class LayerView:
    """A layer as pycaffe shows it: its type and its parameter blobs."""

    def __init__(self, node: Node) -> None:
        self.type = node.type
        self.blobs = node.blobs


class Net:
    """A net of layers, wired by the names of their blobs.

    Parameters
    ----------
    network_file : path or NetParameter
        Text of the net; old forms are upgraded.
    phase : int
        ``caffe.TRAIN`` or ``caffe.TEST``.
    level : int, default 0
    stages : sequence of str, optional
        Level and stages of the net's state, for the rules of its layers.
    weights : path, optional
        A ``.caffemodel`` or ``.caffemodel.h5``. The oldest pycaffe's order is read
        too: ``Net(network_file, weights, phase)``.
    crop : {"explicit", "coordinate_maps"}, default "explicit"
        What a Crop layer without axis and offset means: BVLC's axis 2 and offset 0,
        or the offsets of the layers' coordinate maps (files in the dialect of the
        2015 release written in new syntax, such as Cascaded-FCN's).

    Raises
    ------
    CaffeError
        If the text, a layer or the weights are wrong; the text of the error names
        file, layer and blob.

    Examples
    --------
    >>> import tempfile, caffe
    >>> lines = ['layer { name: "in" type: "Input" top: "x" ',
    ...          '  input_param { shape { dim: 1 dim: 2 } } }',
    ...          'layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }']
    >>> with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
    ...     _ = file.write("".join(lines))
    ...     file.flush()
    ...     net = caffe.Net(file.name, caffe.TEST)
    >>> net.blobs['x'].data[...] = [[-1, 2]]
    >>> net.forward()['y'].tolist()
    [[0.0, 2.0]]
    """

    def __init__(
        self,
        network_file: Any,
        phase: Any,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: Any = None,
        *,
        crop: Literal["explicit", "coordinate_maps"] = "explicit",
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase, level = phase, level, 0
        param, source = caffe_pb2.NetParameter(), ""
        if isinstance(network_file, (str, os.PathLike)):
            param = files.read_net(network_file, crop=crop)
            param.state.level = level
            source = f"{os.fspath(network_file)}: "
        else:
            param.CopyFrom(network_file)
        param.state.phase = phase
        param.state.stage.extend(stages or [])
        self._build(param, source)
        if weights is not None:
            self.copy_from(weights)

    def _build(self, param: Any, source: str) -> None:
        try:
            filtered = graph.filter_net(param)
            shown = text.to_text(filtered)
            log("net.cpp:59", f"Initializing net from parameters: \n{shown.rstrip()}")
            self._param = graph.insert_splits(filtered)
            self._wiring = Wiring(self._param, self._shape_of)
        except CaffeError as error:
            raise type(error)(f"{source}{error}") from error
        self.name: str = param.name
        self.phase: int = param.state.phase
        self.keep_blobs = True
        self._inspecting = Inspecting(self._wiring)
        self._fused = Fused(self._wiring)
        self._replayable: dict[str, torch.Tensor] | None = None

    # What pycaffe shows.

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        """Blobs by name, in the order of the layers that make them."""
        return self._wiring.blobs

    @property
    def params(self) -> OrderedDict[str, list[Blob]]:
        """Parameter blobs by layer name; layers without parameters are left out."""
        nodes = self._wiring.nodes
        return OrderedDict((n.name, n.blobs) for n in nodes if n.blobs)

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that the user fills."""
        return list(self._wiring.inputs)

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer consumes, in alphabetical order."""
        return list(self._wiring.outputs)

    @property
    def layers(self) -> list[LayerView]:
        """All layers, with those added for splits."""
        return [LayerView(node) for node in self._wiring.nodes]

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self._wiring.nodes]

    @property
    def layer_dict(self) -> OrderedDict[str, LayerView]:
        """All layers by name."""
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Names of the tops by layer."""
        return OrderedDict((n.name, list(n.top)) for n in self._wiring.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Names of the bottoms by layer."""
        return OrderedDict((n.name, list(n.bottom)) for n in self._wiring.nodes)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Weight of every blob in the loss, 0 for most."""
        weights = OrderedDict.fromkeys(self.blobs, 0.0)
        for node in self._wiring.nodes:
            weights.update(zip(node.top, node.loss_weights, strict=True))
        return weights

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from the inputs' shapes."""
        for node in self._wiring.nodes:
            self._prepare(node)

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> dict[str, NDArray[Any]]:
        """Run the net, or the layers from `start` to `end`.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return beside the outputs.
        start, end : str, optional
            Names of the first and last layer to run.
        **kwargs : array
            Values of the input blobs; all of them, or none.

        Returns
        -------
        dict of str to ndarray
            The outputs by name. The arrays are the blobs' own memory.

        Raises
        ------
        CheckError
            If the inputs are not the net's, or not of its batch size.
        """
        self._fill_inputs(kwargs)
        names = self._layer_names
        first = names.index(start) if start is not None else 0
        last = names.index(end) if end is not None else len(names) - 1
        outputs = self.top_names[names[last]] if end is not None else self.outputs
        if start is None and end is None and self.phase == caffe_pb2.TEST:
            self._forward_fused()
        else:
            self._forward_inspecting(first, last)
        return {name: self.blobs[name].data for name in (*outputs, *(blobs or ()))}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> dict[str, NDArray[Any]]:
        """Run the backward of the last forward; parameter diffs are added to.

        Parameters
        ----------
        diffs : sequence of str, optional
            Blobs whose diffs to return beside the inputs'.
        start, end : str, optional
            Names of the layers to begin and end with; `start` is the later one.
        **kwargs : array
            Diffs of output blobs.

        Returns
        -------
        dict of str to ndarray
            Diffs by name.
        """
        for name, value in kwargs.items():
            if name not in self.outputs:
                raise CheckError(f"'{name}' is no output: {', '.join(self.outputs)}")
            self.blobs[name].diff[...] = value
        names = self._layer_names
        last = names.index(start) if start is not None else len(names) - 1
        first = names.index(end) if end is not None else 0
        self._recompute(grad=True)
        self._run_backward(first, last)
        wanted = self.bottom_names[names[first]] if end is not None else self.inputs
        return {name: self.blobs[name].diff for name in (*wanted, *(diffs or ()))}

    def copy_from(self, path: Any) -> None:
        """Take the weights of layers of the same name from a file.

        Parameters
        ----------
        path : path
            ``.caffemodel`` (binary, V0 to V2) or ``.caffemodel.h5``.
        """
        snapshot.copy_trained_from(self, os.fspath(path))

    def share_with(self, other: Net) -> None:
        """Use the parameters of layers of the same name of another net."""
        for name in other._layer_names:
            mine, theirs = self.layer_params(name), other.layer_params(name)
            if mine is None or theirs is None:
                log("net.cpp:714", f"Ignoring source layer {name}")
                continue
            for index, (blob, source) in enumerate(zip(mine, theirs, strict=True)):
                if blob.shape != source.shape:
                    raise CheckError(
                        f"cannot share param {index} weights of layer '{name}': "
                        f"shape {source.shape} there, {blob.shape} here"
                    )
                blob.share_data(source)

    def save(self, path: Any) -> None:
        """Write the weights as a binary ``.caffemodel``."""
        snapshot.write_weights(self, path, hdf5_format=False)

    def save_hdf5(self, path: Any) -> None:
        """Write the weights as a ``.caffemodel.h5``."""
        snapshot.write_weights(self, path, hdf5_format=True)

    def load_hdf5(self, path: Any) -> None:
        """Take the weights from a ``.caffemodel.h5``."""
        snapshot.copy_trained_from_hdf5(self, os.fspath(path))

    # What the solver and the commands need.

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
        return {n: w for n, w in self.blob_loss_weights.items() if w}

    def clear_param_diffs(self) -> None:
        """Set the diffs of all learnable parameters to zero."""
        for learnable in self.learnable:
            learnable.blob.diff_memory.clear()

    def forward_loss(self) -> float:
        """Run a forward and return the weighted sum of the losses."""
        if self.phase == caffe_pb2.TEST:
            return self._forward_fused()
        if self.keep_blobs:
            return self._forward_inspecting(0, len(self._wiring.nodes) - 1)
        self._inspecting.forget()
        loss, _ = self._fused.forward(common.device(), self._prepare)
        self._replayable = None
        self._mark_freed(_no_data)
        return loss

    def forward_backward(self) -> float:
        """Run forward and backward, add to param diffs, return the loss."""
        if any(m.handed_out for m in self._activation_diffs()):
            last = len(self._wiring.nodes) - 1
            loss = self._forward_inspecting(0, last)
            self._run_backward(0, last)
            return loss
        self._inspecting.forget()
        loss = self._fused.forward_backward(
            common.device(), self._prepare, keep=self.keep_blobs
        )
        self._replayable = None
        mark_pending(self._activation_diffs(), _no_diff)
        if not self.keep_blobs:
            self._mark_freed(_no_data)
        return loss

    def activation_bytes(self) -> int:
        """Most bytes that activations take in a forward in phase TEST.

        For the present shapes of the inputs (after `reshape`); nothing is allocated.
        """
        return self._fused.activation_bytes()

    def to_proto(self, write_diff: bool = False) -> Any:
        """Make the NetParameter, with all parameters, that a snapshot holds."""
        net = caffe_pb2.NetParameter(name=self.name)
        for node in self._wiring.nodes:
            layer = net.layer.add()
            layer.CopyFrom(node.param)
            layer.ClearField("blobs")
            if node.op.loss and not layer.loss_weight:
                layer.loss_weight.append(1)
            layer.blobs.extend(
                blob_protos.to_proto(
                    blob.values(), blob.gradients() if write_diff else None
                )
                for blob in node.blobs
            )
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

    def forward_layer(self, index: int) -> float:
        """Run one layer by its number and return the seconds it took."""
        return _seconds(lambda: self._forward_inspecting(index, index))

    def backward_layer(self, index: int) -> float:
        """Run the backward of one layer and return the seconds it took."""
        return _seconds(lambda: self._run_backward(index, index))

    # Behind the face.

    def _shape_of(self, name: str) -> tuple[int, ...]:
        try:
            return self._wiring.blobs[name].shape
        except KeyError:
            raise CheckError(f"there is no blob '{name}' before this layer") from None

    def _prepare(self, node: Node) -> None:
        """Give the tops of a layer the shapes of this iteration."""
        device = common.device()
        if node.context.device != device:
            node.context.device = device
            node.context.gpu = device.type == "cuda"
            node.context.generator = common.streams().generator(device)
        if is_input(node):
            return
        with naming(node.name, node.type):
            shapes = node.op.shapes([self.blobs[name].shape for name in node.bottom])
        for name, shape in zip(node.top, shapes, strict=True):
            if self.blobs[name].shape != shape:
                self.blobs[name].reshape(*shape)

    def _fill_inputs(self, values: Mapping[str, Any]) -> None:
        if not values:
            return
        if set(values) != set(self.inputs):
            raise CheckError(
                f"inputs given: {', '.join(sorted(values))}; "
                f"the net's inputs are: {', '.join(self.inputs)}"
            )
        for name, value in values.items():
            blob, array = self.blobs[name], np.asarray(value)
            if blob.shape and (not array.shape or array.shape[0] != blob.shape[0]):
                raise CheckError(
                    f"input '{name}' has shape {array.shape}: "
                    f"its batch size must be {blob.shape[0]}, as in {blob.shape}"
                )
            blob.data[...] = array

    def _forward_fused(self) -> float:
        self._inspecting.forget()
        loss, inputs = self._fused.forward(common.device(), self._prepare)
        self._replayable = inputs
        self._mark_freed(self._recompute)
        return loss

    def _forward_inspecting(self, first: int, last: int) -> float:
        if first > 0:
            nodes = self._wiring.nodes
            self._recompute(grad=any(node.needs_backward for node in nodes))
        self._replayable = None
        return self._inspecting.forward(
            first, last, common.device(), prepare=self._prepare
        )

    def _mark_freed(self, callback: Callable[[], None]) -> None:
        held = {*self._wiring.held, *self.outputs}
        kept = {id(self.blobs[name].data_memory) for name in held}
        memories = (blob.data_memory for blob in self.blobs.values())
        mark_pending(
            (m for m in memories if id(m) not in kept and not m.handed_out), callback
        )

    def _recompute(self, *, grad: bool = False) -> None:
        """Compute the blobs that the last fused forward did not keep."""
        if self._replayable is None:
            return
        self._inspecting.replay(self._replayable, common.device(), grad=grad)
        for blob in self.blobs.values():
            blob.data_memory.pending = None
        if grad:
            self._replayable = None

    def _activation_diffs(self) -> list[Memory]:
        losses = self.loss_weights
        return [b.diff_memory for n, b in self.blobs.items() if n not in losses]

    def _run_backward(self, first: int, last: int) -> None:
        order = self._inspecting.backward_order(first, last)
        for memory in self._activation_diffs():
            memory.pending = None
        self._inspecting.backward(order, common.device())


def _seconds(work: Callable[[], object]) -> float:
    """Seconds of a piece of work, what it left to do on a GPU included."""
    begin = time.perf_counter()
    work()
    if common.gpu_mode():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _no_diff() -> None:
    raise CheckError(
        "the gradient of this blob was not kept by the solver's step: read .diff "
        "before the step (from then on it is kept), or call net.forward() and "
        "net.backward()"
    )


def _no_data() -> None:
    raise CheckError("this blob was freed at its last use")

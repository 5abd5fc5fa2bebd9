"""`caffe.Net`: pycaffe's net over the engine's executors."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Literal

from numpy.typing import NDArray

from caffe.engine import gaps, graph, snapshot, whole_arrays
from caffe.engine.blob import Blob
from caffe.engine.memory import memory_errors
from caffe.engine.node import naming
from caffe.engine.numbered import Numbered
from caffe.engine.runner import Runner
from caffe.engine.trainable import Trainable
from caffe.engine.turns import Turns
from caffe.engine.unknown import read_net
from caffe.engine.views import shown
from caffe.engine.wiring import Wiring
from caffe.errors import CaffeError, CheckError
from caffe.glog import log
from caffe.proto import caffe_pb2, text


class Net(Trainable, Numbered):
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
    complete : bool, default False
        Weights that lack a layer of the net, or have another shape for one, are an
        error. Otherwise such a layer keeps the values of its filler, as in Caffe; in
        phase TEST the log warns of it.

    Notes
    -----
    A Python layer imports the module that it names, also from the current folder: the
    net of a stranger can run code.

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

    @memory_errors()
    def __init__(
        self,
        network_file: Any,
        phase: Any,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: Any = None,
        *,
        crop: Literal["explicit", "coordinate_maps"] = "explicit",
        complete: bool = False,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            weights, phase, level = phase, level, 0
        param, source = caffe_pb2.NetParameter(), ""
        if isinstance(network_file, (str, os.PathLike)):
            param = read_net(network_file, crop)
            param.state.level = level
            source = f"{os.fspath(network_file)}: "
        else:
            param.CopyFrom(network_file)
        param.state.phase = phase
        param.state.stage.extend(stages or [])
        path = None if weights is None else os.fspath(weights)
        self._build(param, source, path)
        if path is not None:
            left = snapshot.copy_trained_from(self, path, complete=complete)
            self._wiring.fill()
            if phase == caffe_pb2.TEST:
                gaps.warn(left, path)

    def _build(self, param: Any, source: str, weights: str | None) -> None:
        try:
            filtered = graph.filter_net(param)
            shown = text.to_text(filtered)
            heading = "Initializing net from parameters: "
            log("net.cpp:59", f"{heading}\n{shown.rstrip()}", several=True)
            self._param = graph.insert_splits(filtered)
            self._wiring = Wiring(
                self._param,
                fill=weights is None,
                blob_counts=cache(partial(snapshot.blob_counts, weights)),
            )
        except CaffeError as error:
            raise type(error)(f"{source}{error}") from error
        self.name: str = param.name
        self._turns = Turns(f"net '{param.name}'")
        self.phase: int = param.state.phase
        self._runner = Runner(self._wiring, self.phase)
        self.set_debug_info(param.debug_info)

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
    def layers(self) -> list[Any]:
        """All layers, with those added for splits: objects with `type` and `blobs`.

        A Python layer is the user's own object.
        """
        return [shown(node) for node in self._wiring.nodes]

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
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
        return OrderedDict(self._wiring.blob_loss_weights)

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from the inputs' shapes."""
        with self._turns.taken():
            for node in self._wiring.nodes:
                self._runner.prepare(node)

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
            The outputs by name. The arrays are the blobs' own memory; copies if several
            threads give this net its inputs here, which is done one after the other.

        Raises
        ------
        CheckError
            If the inputs are not the net's, or not of its batch size.
        CaffeError
            If no inputs are given and another thread is at work with this net.
        """
        with self._turns.taken(wait=bool(kwargs)):
            outputs = self._run_on(kwargs, start, end)
            names = (*outputs, *(blobs or ()))
            found = {name: self.blobs[name].data for name in names}
            if kwargs and self._turns.many:
                found = {name: array.copy() for name, array in found.items()}
        return found

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
        given = whole_arrays.fitting(self.blobs, kwargs, "diff", self.outputs)
        for blob, array in given:
            blob.diff[...] = array
        names = self._layer_names
        last = names.index(start) if start is not None else len(names) - 1
        first = names.index(end) if end is not None else 0
        with self._turns.taken():
            self._runner.recompute(grad=True)
            self._runner.backward(first, last)
        wanted = self.bottom_names[names[first]] if end is not None else self.inputs
        return {name: self.blobs[name].diff for name in (*wanted, *(diffs or ()))}

    def forward_all(
        self, blobs: Sequence[str] | None = None, **kwargs: Any
    ) -> dict[str, NDArray[Any]]:
        """Run any number of samples, batch by batch.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return beside the outputs.
        **kwargs : array
            For each input blob all samples along axis 0; the last batch is filled up
            with zeros, and what comes of them is left out.

        Returns
        -------
        dict of str to ndarray
            Outputs of all samples by name, copied.

        Raises
        ------
        CheckError
            If the inputs are not the net's, or not of one length.
        """
        with self._turns.taken(wait=True):
            return whole_arrays.forward_all(self, self.outputs, blobs, kwargs)

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Run forward and backward of any number of samples, batch by batch.

        Parameters
        ----------
        blobs, diffs : sequence of str, optional
            Blobs whose values and diffs to return beside outputs and inputs.
        **kwargs : array
            All samples of each input, and diffs of outputs.

        Returns
        -------
        all_outs, all_diffs : dict of str to ndarray

        Raises
        ------
        CheckError
            If a name is neither input nor output, or lengths differ.
        """
        with self._turns.taken(wait=True):
            return whole_arrays.forward_backward_all(
                self, self.outputs, self.inputs, blobs, diffs, kwargs
            )

    def set_input_arrays(self, data: Any, labels: Any) -> None:
        """Give samples to the MemoryData layer that the net begins with.

        Parameters
        ----------
        data : array of float32, (N, C, Y, X)
            N is a multiple of the batch size; both arrays are read at each forward.
        labels : array of float32, (N,) or (N, 1, 1, 1)

        Raises
        ------
        CheckError
            If the net begins with another layer, or the arrays do not fit it.
        """
        first = next(iter(self._wiring.nodes), None)
        if first is None:
            raise CheckError(
                "set_input_arrays may only be called if the first layer is a "
                "MemoryDataLayer; it is missing"
            )
        with naming(first.name, first.type):
            first.op.set_arrays(data, labels)

    _set_input_arrays = set_input_arrays

    def before_forward(self, function: Callable[[int], object]) -> None:
        """Call a function with the number of each layer before it runs."""
        self._runner.forward_hooks.before.append(function)

    def after_forward(self, function: Callable[[int], object]) -> None:
        """Call a function with the number of each layer after it has run."""
        self._runner.forward_hooks.after.append(function)

    def before_backward(self, function: Callable[[int], object]) -> None:
        """Call a function with the number of each layer before its backward."""
        self._runner.backward_hooks.before.append(function)

    def after_backward(self, function: Callable[[int], object]) -> None:
        """Call a function with the number of each layer after its backward."""
        self._runner.backward_hooks.after.append(function)

    def copy_from(self, path: Any, *, complete: bool = False) -> None:
        """Take the weights of layers of the same name from a file.

        Parameters
        ----------
        path : path
            ``.caffemodel`` (binary, V0 to V2) or ``.caffemodel.h5``.
        complete : bool, default False
            Weights that lack a layer of the net, or have another shape for one, are
            an error that names the layers, and the net stays as it was.
        """
        snapshot.copy_trained_from(self, os.fspath(path), complete=complete)

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
                self._wiring.share_data(blob, source)

    def save(self, path: Any) -> None:
        """Write the weights as a binary ``.caffemodel``."""
        snapshot.write_weights(self, path, hdf5_format=False)

    def save_hdf5(self, path: Any) -> None:
        """Write the weights as a ``.caffemodel.h5``."""
        snapshot.write_weights(self, path, hdf5_format=True)

    def load_hdf5(self, path: Any) -> None:
        """Take the weights from a ``.caffemodel.h5``."""
        snapshot.copy_trained_from_hdf5(self, os.fspath(path))

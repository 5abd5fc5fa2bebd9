"""The whole net in phase TEST through ONNX Runtime or OpenVINO, on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.blob import Blob
from caffe.engine.node import naming
from caffe.engine.wiring import Wiring
from caffe.errors import CaffeError, CheckError, OutOfMemoryError

_LIMIT = 2**31  # bytes that a model of ONNX in memory may have

Arrays = dict[str, NDArray[np.float32]]
Run = Callable[[Arrays], Arrays]


class Exported:
    """The net as a model of ONNX, in memory, run by another library.

    Parameters
    ----------
    wiring : Wiring
        Of phase TEST.
    backend : {"onnxruntime", "openvino"}

    Raises
    ------
    CheckError
        If a layer has no counterpart in ONNX, has side effects, or remembers
        something from one forward to the next; the text names it.
    CaffeError
        If a package is missing.
    """

    def __init__(self, wiring: Wiring, backend: str) -> None:
        if backend not in _ENGINES:
            known = ", ".join(f"'{name}'" for name in _ENGINES)
            raise CheckError(f"backend is '{backend}': expected one of {known}")
        _check(wiring)
        self._wiring = wiring
        self._library = _ENGINES[backend](backend)
        self._key: object = None
        self._run: Run | None = None
        self._feeds: list[str] = []
        self._outputs: dict[str, str] = {}

    def forward(self, precision: str) -> dict[str, torch.Tensor]:
        """Run the net on what stands in its input blobs.

        The model is rebuilt only when shapes, precision, number of threads or weights
        changed since the last call.

        Parameters
        ----------
        precision : {"float32", "bf16"}
            In which activations are computed; what goes in and out is float32.

        Returns
        -------
        dict of str to torch.Tensor
            Outputs of the net, in new memory, row-major.

        Raises
        ------
        CheckError
            If the backend does not know the precision, or refuses the model.
        """
        self._reshape()
        blobs = self._wiring.blobs
        held = sorted(self._wiring.held - self._wiring.parameter_tops)
        key = (
            precision,
            torch.get_num_threads(),
            *(blobs[name].shape for name in held),
            *(entry.blob.data_memory.version for entry in self._wiring.entries),
        )
        if self._run is None or key != self._key:
            self._run = None  # the old model's memory first
            self._run = self._made(precision)
            self._key = key
        feeds = {name: _array(blobs[name]) for name in self._feeds}
        found = self._run(feeds)
        outputs = {
            blob: torch.from_numpy(found[name]) for blob, name in self._outputs.items()
        }
        for name in self._wiring.outputs:
            if name not in outputs:  # an input that no layer takes
                outputs[name] = blobs[name].tensor()
        return outputs

    def _reshape(self) -> None:
        """Give all blobs the shapes that follow from the inputs'."""
        for node in self._wiring.nodes:
            if not node.op.filled_by_user:
                with naming(node.name, node.type):
                    node.reshape_tops(self._wiring.blobs)

    def _made(self, precision: str) -> Run:
        model = _model(self._wiring)
        self._feeds, self._outputs = model.inputs, model.outputs
        return self._library.compiled(model, precision)


@dataclass(frozen=True)
class _Model:
    """A net in ONNX, its tensors, and the shapes of the outputs where known."""

    content: bytes
    inputs: list[str]
    outputs: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def _model(wiring: Wiring) -> _Model:
    """Translate the net with the shapes and weights that it has."""
    from caffe.export.onnx import translate

    translation = translate(wiring, constant_data=False)
    message = translation.graph.model("net")
    size = message.ByteSize()
    if size >= _LIMIT:
        raise CheckError(
            f"the net has {size / 2**30:.1f} GB of weights: expected up to 2 GB "
            "by this backend"
        )
    outputs = translation.outputs
    shapes = {
        value.name: value.shape
        for value in outputs.values()
        if value.is_fixed(range(len(value.shape)))
    }
    return _Model(
        message.SerializeToString(),
        [value.name for value in translation.graph.inputs],
        {blob: value.name for blob, value in outputs.items()},
        shapes,
    )


def _array(blob: Blob) -> NDArray[np.float32]:
    """Values of a blob in row-major order; its own memory, if that is."""
    array: NDArray[np.float32] = blob.tensor().detach().contiguous().numpy()
    return array


def _check(wiring: Wiring) -> None:
    """Reject layers whose ONNX version behaves differently."""
    from caffe.export.onnx import check_layers

    check_layers(wiring.nodes)
    for node in wiring.nodes:
        with naming(node.name, node.type):
            if node.op.side_effects or node.op.remembers:
                raise CheckError(
                    "its forward does more than fill its tops: expected backend 'torch'"
                )


class _Library(ABC):
    """What runs a model of ONNX."""

    def __init__(self, name: str) -> None:
        self._name = name
        for package in ("onnx", name):
            try:
                self._module: Any = import_module(package)
            except ImportError:
                raise CaffeError(
                    f"backend '{name}': the package {package} is missing: "
                    'pip install "pyunet[speed]"'
                ) from None

    @abstractmethod
    def compiled(self, model: _Model, precision: str) -> Run:
        """Make a model ready to run."""

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn the library's errors into the engine's."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            if "alloc" in text:
                raise OutOfMemoryError(f"out of memory on the CPU: {text}") from error
            raise CheckError(f"{self._name} refuses the net: {text}") from error

    def _refuse(self, precision: str, expected: str) -> CheckError:
        return CheckError(
            f"precision is '{precision}': backend '{self._name}' expected {expected}"
        )


class _OnnxRuntime(_Library):
    def compiled(self, model: _Model, precision: str) -> Run:
        if precision != "float32":
            raise self._refuse(precision, "'float32'")
        ort = self._module
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        with self._refusals():
            session = ort.InferenceSession(
                model.content, options, providers=["CPUExecutionProvider"]
            )
        names, shapes = list(model.outputs.values()), model.shapes

        def run(feeds: Arrays) -> Arrays:
            if set(names) - set(shapes):
                with self._refusals():
                    return dict(zip(names, session.run(names, feeds), strict=True))
            binding = session.io_binding()
            results = {name: np.empty(shapes[name], np.float32) for name in names}
            for bind, arrays in (
                (binding.bind_input, feeds),
                (binding.bind_output, results),
            ):
                for name, array in arrays.items():
                    bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            with self._refusals():
                session.run_with_iobinding(binding)
            return results

        return run


class _OpenVino(_Library):
    def compiled(self, model: _Model, precision: str) -> Run:
        types = {"float32": "f32", "bf16": "bf16"}
        if precision not in types:
            raise self._refuse(precision, "'float32' or 'bf16'")
        ov = self._module
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": types[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        with self._refusals():
            core = ov.Core()
            request = core.compile_model(
                core.read_model(model.content), "CPU", options
            ).create_infer_request()
        # an input whose numbers nobody needs is gone
        known = {name for port in request.model_inputs for name in port.get_names()}
        inputs = [name for name in model.inputs if name in known]
        outputs, shapes = model.outputs.values(), model.shapes

        def run(feeds: Arrays) -> Arrays:
            results = {name: np.empty(shapes[name], np.float32) for name in shapes}
            with self._refusals():
                for name in inputs:
                    tensor = ov.Tensor(feeds[name], shared_memory=True)
                    request.set_tensor(name, tensor)
                for name, array in results.items():
                    tensor = ov.Tensor(array, shared_memory=True)
                    request.set_tensor(name, tensor)
                request.infer()
                for name in set(outputs) - set(results):
                    results[name] = request.get_tensor(name).data.copy()
            return results

        return run


_ENGINES: dict[str, type[_Library]] = {
    "onnxruntime": _OnnxRuntime,
    "openvino": _OpenVino,
}

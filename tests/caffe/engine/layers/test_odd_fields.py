"""Whatever the fields of a layer hold, it computes or it is refused with its name.

The layers are those for which the original's answers are stored; each field of their
messages is given values that nobody meant: zero, negative, the largest numbers of 31
and 32 bits, no number at all.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import glog
from caffe.engine.catalogue import layer_class
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from tests.support.layers import REFERENCE
from tests.support.odd_fields import every, memory_limit, spoiled
from tests.support.stored import load_arrays

CASES = sorted(path.stem for path in REFERENCE.glob("*.npz"))
# of the layer itself, and what all layers have
OWN = re.compile(r"\w+_param\.")
COMMON = re.compile(r"(loss_weight|propagate_down|param)\b")
NOT_TRIED = re.compile(r"(type|name|bottom|top|phase)=")
SLICE = 29  # one in so many is tried in a moment
SHAPES = ((), (1,), (0,), (3,), (2, 0), (0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4),
          (1, 1, 1, 1), (1, 2, 1, 3, 1), (1,) * 9)  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    glog.mute(3)
    yield
    glog.mute(0)


class Case:
    """A stored layer with its bottoms."""

    def __init__(self, name: str) -> None:
        stored = load_arrays(REFERENCE / f"{name}.npz")
        net = caffe_pb2.NetParameter()
        text_format.Parse(str(stored["prototxt"]), net)
        (self.layer,) = (x for x in net.layer if x.name == "under_test")
        self.bottoms = {b: stored[f"in.{b}"] for b in self.layer.bottom}
        self.phase = caffe.TRAIN if str(stored["phase"]) == "TRAIN" else caffe.TEST

    def run(self, layer: caffe_pb2.LayerParameter) -> None:
        """Build a net of the layer, run it forward and, for training, backward."""
        self.run_on(self.bottoms, layer)

    def run_on(self, bottoms, layer: caffe_pb2.LayerParameter) -> None:
        """Do so with other bottoms."""
        net = caffe_pb2.NetParameter(force_backward=True)
        for name, value in bottoms.items():
            shape = caffe_pb2.BlobShape(dim=value.shape)
            made = net.layer.add(name=name, type="Input", top=[name])
            made.input_param.shape.append(shape)
        net.layer.append(layer)
        built = caffe.Net(net, self.phase)
        for name, value in bottoms.items():
            built.blobs[name].data[...] = value
        built.forward()
        if self.phase == caffe.TRAIN and built.outputs:
            built.backward()

    def changes(self):
        """The layer with one field changed at a time."""
        own = f"{_message(self.layer)}."
        for change, layer in spoiled(self.layer):
            if NOT_TRIED.match(change):
                continue
            if change.startswith(own) or COMMON.match(change):
                yield change, layer


def _message(layer) -> str:
    """Name of the field in which the options of a layer are."""
    given = [f.name for f, _ in layer.ListFields() if f.name.endswith("_param")]
    named = f"{re.sub('(?<!^)(?=[A-Z])', '_', layer.type).lower()}_param"
    return given[0] if given else named


def raw_errors(name, step=1, first=0):
    """What is raised that is no error of ours, or does not name the layer."""
    case, found, count = Case(name), [], 0
    with memory_limit():
        for change, layer in every(case.changes(), step, first):
            count += 1
            found += complaints(change, lambda layer=layer: case.run(layer))
    return found, count


def complaints(change, run):
    """What is wrong with the error that is raised."""
    try:
        run()
    except CaffeError as error:
        text = str(error)
        if "layer 'under_test'" not in text or "\n" in text:
            return [f"{change}: {text}"]
    except Exception as error:
        return [f"{change}: {type(error).__name__}: {error}"[:300]]
    return []


@pytest.mark.parametrize("name", CASES)
def test_an_odd_value_in_a_field_computes_or_names_the_layer(name):
    found, _ = raw_errors(name, step=SLICE, first=sum(map(ord, name)) % SLICE)
    assert not found


@pytest.mark.parametrize("name", CASES)
def test_a_bottom_of_an_odd_shape_computes_or_names_the_layer(name):
    case, found = Case(name), []
    chosen = SHAPES[sum(map(ord, name)) % 2 :: 2]
    for shape in chosen:
        zeros = np.zeros(shape, np.float32)
        alike = dict.fromkeys(case.bottoms, zeros)
        first = case.bottoms | dict(list(alike.items())[:1])
        for bottoms in (alike, first):
            given = {k: v.shape for k, v in bottoms.items()}
            found += complaints(
                given, lambda bottoms=bottoms: case.run_on(bottoms, case.layer)
            )
    assert not found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_odd_value_in_every_field_computes_or_names_the_layer(name):
    found, count = raw_errors(name)
    assert count > 20
    assert not found


def test_the_stored_layers_are_of_most_types():
    types = {Case(name).layer.type for name in CASES}
    assert len(types) >= 50
    assert all(layer_class(type_name) for type_name in types)

"""Nets written in Python: ``L.Convolution(bottom, num_output=8, kernel_size=3)``.

Examples
--------
>>> from caffe import layers as L, params as P
>>> n = NetSpec()
>>> n.data = L.Input(input_param=dict(shape=dict(dim=[1, 1, 8, 8])))
>>> n.pool = L.Pooling(n.data, pool=P.Pooling.AVE, kernel_size=2, stride=2)
>>> n.relu = L.ReLU(n.pool, in_place=True)
>>> [(layer.name, list(layer.top)) for layer in n.to_proto().layer]
[('data', ['data']), ('pool', ['pool']), ('relu', ['pool'])]
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from caffe.proto import caffe_pb2

Named = dict["Top | Function", str]
Written = OrderedDict["Function", Any]


def param_name_dict() -> dict[str, str]:
    """Map layer types to the fields that hold their options.

    Examples
    --------
    >>> param_name_dict()["InnerProduct"]
    'inner_product'
    """
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {
        field.message_type.name.removesuffix("Parameter"): field.name[: -len("_param")]
        for field in fields
        if field.name.endswith("_param")
    }


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set a field of a message from numbers, texts, lists and dictionaries.

    A single value for a repeated field is its first; a dictionary is a message.

    Examples
    --------
    >>> layer = caffe_pb2.LayerParameter()
    >>> assign_proto(layer, "param", [dict(lr_mult=1), dict(lr_mult=2)])
    >>> [param.lr_mult for param in layer.param]
    [1.0, 2.0]
    """
    field = getattr(proto, name)
    if hasattr(field, "extend"):
        for item in val if isinstance(val, (list, tuple)) else [val]:
            if isinstance(item, dict):
                _assign_all(field.add(), item)
            else:
                field.append(item)
    elif isinstance(val, dict):
        field.SetInParent()
        _assign_all(field, val)
    else:
        setattr(proto, name, val)


def to_proto(*tops: Top | Function) -> Any:
    """Return the NetParameter of all layers that the given tops need."""
    return _net(tops, {})


class Top:
    """One output of a layer.

    Parameters
    ----------
    fn : Function
        The layer.
    n : int
        Which of its outputs.
    """

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """Return the NetParameter of all layers that this output needs."""
        return to_proto(self)


class Function:
    """A layer with its inputs and options.

    Parameters
    ----------
    type_name : str
    inputs : sequence of Top
    params : dict
        Options by name; `ntop` is the number of outputs (default 1), `in_place`
        says that the output is written over the input.

    Raises
    ------
    TypeError
        If an input is no output of a layer.
    """

    def __init__(
        self, type_name: str, inputs: Sequence[Top], params: dict[str, Any]
    ) -> None:
        for index, source in enumerate(inputs):
            if not isinstance(source, Top):
                raise TypeError(
                    f"{type_name} input {index} is not a Top (type is {type(source)})"
                )
        self.type_name = type_name
        self.inputs = tuple(inputs)
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _write(self, layers: Written, names: Named, counts: Counter[str]) -> None:
        """Append this layer and, before it, those that it needs."""
        if self in layers:
            return
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        for source in self.inputs:
            source.fn._write(layers, names, counts)
            layer.bottom.append(layers[source.fn].top[source.n])
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._name_of(top, names, counts) for top in self.tops)
        named = self.tops[0] if self.tops else self
        layer.name = self._name_of(named, names, counts)
        for option, value in self.params.items():
            self._assign(layer, option, value)
        layers[self] = layer

    def _name_of(self, item: Top | Function, names: Named, counts: Counter[str]) -> str:
        if item not in names:
            counts[self.type_name] += 1
            names[item] = f"{self.type_name}{counts[self.type_name]}"
        return names[item]

    def _assign(self, layer: Any, option: str, value: Any) -> None:
        own = _FIELDS.get(self.type_name)
        if own and not option.endswith("param"):
            options = getattr(layer, f"{own}_param")
            if option in options.DESCRIPTOR.fields_by_name:
                assign_proto(options, option, value)
                return
        if option not in layer.DESCRIPTOR.fields_by_name:
            raise AttributeError(f"a layer of type {self.type_name} has no '{option}'")
        assign_proto(layer, option, value)


class NetSpec:
    """A net whose outputs are its attributes (or items), by the names of blobs."""

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no '{name}'") from None

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, key: str) -> Any:
        return self.tops[key]

    def __delitem__(self, key: str) -> None:
        del self.tops[key]

    def to_proto(self) -> Any:
        """Return the net as a NetParameter, layers in the order they were named."""
        return _net(self.tops.values(), {top: name for name, top in self.tops.items()})


class Layers:
    """``L.<Type>(*bottoms, **options)`` makes a layer of any type."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def make(*args: Top, **kwargs: Any) -> Any:
            function = Function(name, args, kwargs)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return make


class Parameters:
    """``P.<Type>.<VALUE>`` is the value of an enum of ``<Type>Parameter``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(caffe_pb2, f"{name}Parameter")


def _assign_all(proto: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


def _net(tops: Any, names: Named) -> Any:
    written: Written = OrderedDict()
    counts: Counter[str] = Counter()
    for top in tops:
        function = top.fn if isinstance(top, Top) else top
        function._write(written, names, counts)
    net = caffe_pb2.NetParameter()
    net.layer.extend(written.values())
    return net


_FIELDS = param_name_dict()
layers = Layers()
params = Parameters()

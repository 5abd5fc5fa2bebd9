"""Nets that can't be built for what is not known here: all of it is said at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from typing import Any

from caffe.engine.catalogue import layer_type_list
from caffe.errors import CheckError, UnknownNamesError
from caffe.proto import caffe_pb2, files
from caffe.proto.forks import fork_of, unsupported
from caffe.proto.upgrade import Crop, upgrade_net

_ADVICE = "docs/dialects.md shows how a package adds layers"
_STANDS_IN = "an Input layer with the same tops can stand in for it"
_READS = re.compile("(?<=[a-z])Data$")


def read_net(path: str | PathLike[str], crop: Crop = "explicit") -> Any:
    """Read a net that is to be built; an error names unknown layer types as well.

    Parameters
    ----------
    path, crop
        As for `caffe.proto.files.read_net`.

    Raises
    ------
    CaffeError
        As `caffe.proto.files.read_net`.
    """
    try:
        return files.read_net(path, crop=crop)
    except UnknownNamesError as error:
        more = [] if error.known is None else faults_of(_todays(error.known))
        if not more:
            raise
        raise UnknownNamesError("; ".join([str(error), *more])) from error


def check_known(net: Any) -> None:
    """Refuse a net with layer types, fields or values that are not known here.

    Parameters
    ----------
    net : NetParameter

    Raises
    ------
    UnknownNamesError
        Naming every one of them, its layers, and the fork that has it.
    """
    faults = faults_of(net)
    if faults:
        raise UnknownNamesError("; ".join([*faults, _ADVICE]))


def check_solver_known(solver: Any) -> None:
    """Refuse a solver with fields that are not known here; its nets are not looked at.

    Raises
    ------
    UnknownNamesError
        Naming every one of them, and the fork that has it.
    """
    alone = caffe_pb2.SolverParameter()
    alone.CopyFrom(solver)
    for name in ("net_param", "train_net_param", "test_net_param"):
        alone.ClearField(name)
    faults = [_field(*name) for name in dict.fromkeys(unsupported(alone))]
    if faults:
        raise UnknownNamesError("; ".join(faults))


def faults_of(net: Any) -> list[str]:
    """Say of each layer type, field and value of a net that is not known here.

    Parameters
    ----------
    net : NetParameter
        Its layers in today's form.
    """
    known = layer_type_list()
    types: dict[str, list[str]] = {}
    names: dict[tuple[str, str], list[str]] = {}
    for layer in net.layer:
        if layer.type not in known:
            types.setdefault(layer.type, []).append(layer.name)
        for name in dict.fromkeys(unsupported(layer)):
            names.setdefault(name, []).append(layer.name)
    alone = caffe_pb2.NetParameter()
    alone.CopyFrom(net)
    alone.ClearField("layer")
    of_net = [_field(*name) for name in dict.fromkeys(unsupported(alone))]
    return [
        *(_type(name, layers, known) for name, layers in types.items()),
        *of_net,
        *(_field(*name) + _where(layers) for name, layers in names.items()),
    ]


def _type(name: str, layers: list[str], known: Iterable[str]) -> str:
    """Say of a layer type that it is not known, whose it is, and what to do."""
    said = f"unknown layer type '{name}'{_where(layers)}"
    fork = fork_of("type", name)
    if fork:
        said += f", a layer of {fork}"
        return f"{said}: {_STANDS_IN}" if _READS.search(name) else said
    lowered = {other.lower(): other for other in known}
    for alike in get_close_matches(name.lower(), lowered, n=1):
        return f"{said}: did you mean '{lowered[alike]}'?"
    return f"{said}; caffe.layer_type_list() names the {len(lowered)} known ones"


def _field(place: str, name: str) -> str:
    said = f"{place}.{name} is not known here"
    fork = fork_of(place, name)
    return f"{said} but in {fork}" if fork else said


def _where(layers: list[str]) -> str:
    more = f" and {len(layers) - 1} more" if layers[1:] else ""
    return f" (layer '{layers[0]}'{more})"


def _todays(net: Any) -> Any:
    """Upgrade what can be read of a net, as far as that goes."""
    try:
        upgrade_net(net, crop="as_written")
    except CheckError:
        net.ClearField("layer")
    return net

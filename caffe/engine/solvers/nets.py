"""Which nets a solver trains and tests, by Caffe's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe.engine.net import Net
from caffe.engine.snapshot import find_beside
from caffe.engine.unknown import read_net
from caffe.errors import CaffeError, CheckError
from caffe.glog import log
from caffe.proto import caffe_pb2

_TRAIN_FIELDS = "net, net_param, train_net, train_net_param"


def train_net(param: Any, folder: Path) -> Net:
    """Build the net that is trained, with the starting weights that the solver names.

    Parameters
    ----------
    param : SolverParameter
    folder : Path
        Where nets are looked for that are not in the working directory.

    Raises
    ------
    CheckError
        If there is not exactly one.
    """
    found = [name for name in _TRAIN_FIELDS.split(", ") if param.HasField(name)]
    if not found:
        raise CheckError(
            "SolverParameter must specify a train net using one of these fields: "
            f"{_TRAIN_FIELDS}"
        )
    if len(found) > 1:
        raise CheckError(
            "SolverParameter must not contain more than one of these fields "
            f"specifying a train_net: {', '.join(found)}"
        )
    (field,) = found
    if field.endswith("param"):
        log("solver.cpp:87", f"Creating training net specified in {field}.")
        net_param = caffe_pb2.NetParameter()
        net_param.CopyFrom(getattr(param, field))
        path = field
    else:
        path = getattr(param, field)
        kind = "net" if field == "net" else "train_net"
        log("solver.cpp:102", f"Creating training net from {kind} file: {path}")
        net_param = _read(path, folder)
    states = [net_param.state, param.train_state]
    return _build(net_param, caffe_pb2.TRAIN, states, param, path)


def test_nets(param: Any, folder: Path) -> list[Net]:
    """Build the nets that are tested, one for each `test_iter`.

    Raises
    ------
    CheckError
        If numbers of nets, states and test_iter do not go together.
    """
    generic = [name for name in ("net", "net_param") if param.HasField(name)]
    named = len(param.test_net_param) + len(param.test_net)
    count = _count(param, named, generic=bool(generic))
    sources = [("test_net_param", message) for message in param.test_net_param]
    sources += [(f"test_net file: {path}", path) for path in param.test_net]
    for field in generic:
        source = getattr(param, field)
        text = f"net file: {source}" if field == "net" else "net_param"
        sources += [(text, source)] * (count - named)
    return [
        _test_net(index, text, source, param, folder)
        for index, (text, source) in enumerate(sources)
    ]


def _count(param: Any, named: int, *, generic: bool) -> int:
    """Count the test nets, or say which numbers do not go together."""
    count = len(param.test_iter)
    if count < named or (count > named and not generic):
        raise CheckError(
            "test_iter must be specified for each test network: it is given "
            f"{count} times for {named} test nets"
        )
    if param.test_state and len(param.test_state) != count:
        raise CheckError(
            "test_state must be unspecified or specified once per test net: it is "
            f"given {len(param.test_state)} times for {count} test nets"
        )
    if count and param.test_interval <= 0:
        raise CheckError(
            f"test_interval must be more than 0 where there is a test net, "
            f"it is {param.test_interval}"
        )
    return count


def _test_net(index: int, text: str, source: Any, param: Any, folder: Path) -> Net:
    if isinstance(source, str):
        net_param = _read(source, folder)
    else:
        net_param = caffe_pb2.NetParameter()
        net_param.CopyFrom(source)
    states = [net_param.state]
    if param.test_state:
        states.append(param.test_state[index])
    log("solver.cpp:190", f"Creating test net (#{index}) specified by {text}")
    name = source if isinstance(source, str) else text
    net = _build(net_param, caffe_pb2.TEST, states, param, name)
    net.set_debug_info(param.debug_info)
    return net


def _read(path: str, folder: Path) -> Any:
    return read_net(find_beside(path, folder / "solver.prototxt"))


def _build(
    net_param: Any, phase: int, states: list[Any], param: Any, source: str
) -> Net:
    merged = caffe_pb2.NetState(phase=phase)
    for state in states:
        merged.MergeFrom(state)
    net_param.state.CopyFrom(merged)
    try:
        net = Net(net_param, merged.phase)
    except CaffeError as error:
        raise type(error)(f"{source}: {error}") from error
    for names in param.weights:
        for name in names.split(","):
            log("solver.cpp:72", f"Finetuning from {name.strip()}")
            net.copy_from(name.strip())
    return net

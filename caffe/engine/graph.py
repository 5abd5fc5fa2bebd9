"""Steps on the text of a net before anything is built: rules of phases, splits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from caffe.errors import CheckError
from caffe.glog import log
from caffe.proto import caffe_pb2

_Top = tuple[int, int]


def filter_net(net: Any, *, tell: bool = True) -> Any:
    """Copy of a net with only the layers that its state includes.

    Parameters
    ----------
    net : NetParameter
        With its `state` (phase, level, stages).
    tell : bool, default True
        Log why a rule is not met, as Caffe does.

    Raises
    ------
    CheckError
        If a layer has both include and exclude rules.
    """
    kept = caffe_pb2.NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise CheckError(
                f"layer '{layer.name}': has include and exclude rules; "
                "give either include rules or exclude rules"
            )
        if layer.include:
            included = any(_meets(net.state, r, layer, tell) for r in layer.include)
        else:
            included = not any(_meets(net.state, r, layer, tell) for r in layer.exclude)
        if included:
            kept.layer.add().CopyFrom(layer)
    return kept


def _meets(state: Any, rule: Any, layer: Any, tell: bool) -> bool:
    """Whether a state meets a rule; the reason against it is logged as in Caffe."""
    reason = _difference(state, rule)
    if reason and tell:
        log(
            "net.cpp:312",
            f"The NetState {reason} specified by a rule in layer {layer.name}",
        )
    return not reason


def _difference(state: Any, rule: Any) -> str:
    if rule.HasField("phase") and rule.phase != state.phase:
        return f"phase ({state.phase}) differed from the phase ({rule.phase})"
    if rule.HasField("min_level") and state.level < rule.min_level:
        return f"level ({state.level}) is above the min_level ({rule.min_level})"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return f"level ({state.level}) is above the max_level ({rule.max_level})"
    for stage in rule.stage:
        if stage not in state.stage:
            return f"did not contain stage '{stage}'"
    for stage in rule.not_stage:
        if stage in state.stage:
            return f"contained a not_stage '{stage}'"
    return ""


def insert_splits(net: Any) -> Any:
    """Copy of a net in which every blob has one consumer, by added Split layers.

    A Split for blob ``b`` of layer ``l``, its top number ``i``, is called
    ``b_l_i_split``; its tops bear the same name and a running number.

    Raises
    ------
    CheckError
        If a bottom is no earlier layer's top.
    """
    sources, uses, weights = _count_uses(net)
    split = caffe_pb2.NetParameter()
    split.CopyFrom(net)
    del split.layer[:]
    given: Counter[_Top] = Counter()
    for i, original in enumerate(net.layer):
        layer = split.layer.add()
        layer.CopyFrom(original)
        for j, blob in enumerate(original.bottom):
            top = sources[i, j]
            if uses[top] > 1:
                producer = net.layer[top[0]].name
                layer.bottom[j] = f"{_split(producer, blob, top[1])}_{given[top]}"
                given[top] += 1
        for j, blob in enumerate(original.top):
            if uses[i, j] > 1:
                weight = weights.get((i, j), 0.0)
                _add_split(split, original.name, blob, j, uses[i, j], weight)
                if weight:
                    layer.ClearField("loss_weight")
                    given[i, j] += 1
    return split


def _count_uses(
    net: Any,
) -> tuple[dict[_Top, _Top], Counter[_Top], dict[_Top, float]]:
    """For each bottom the top it comes from; uses and loss weight of each top."""
    last: dict[str, _Top] = {}
    sources: dict[_Top, _Top] = {}
    uses: Counter[_Top] = Counter()
    weights: dict[_Top, float] = {}
    for i, layer in enumerate(net.layer):
        for j, blob in enumerate(layer.bottom):
            if blob not in last:
                raise CheckError(
                    f"layer '{layer.name}' ({layer.type}): unknown bottom blob "
                    f"'{blob}' (bottom index {j}): no layer before it makes it"
                )
            sources[i, j] = last[blob]
            uses[last[blob]] += 1
        for j, blob in enumerate(layer.top):
            last[blob] = (i, j)
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            weights[i, j] = weight
            uses[i, j] += weight != 0
    return sources, uses, weights


def _split(layer: str, blob: str, index: int) -> str:
    return f"{blob}_{layer}_{index}_split"


def _add_split(
    net: Any, layer: str, blob: str, index: int, count: int, weight: float
) -> None:
    name = _split(layer, blob, index)
    added = net.layer.add(name=name, type="Split", bottom=[blob])
    added.top.extend(f"{name}_{k}" for k in range(count))
    if weight:
        added.loss_weight.extend([weight] + [0.0] * (count - 1))

"""How many nets of strangers build, once Inputs stand in for their data layers.

``python -m tests.support.strangers FOLDER`` lists what does not, each with its reason.
The folder has an ``EXPECT.tsv`` (columns: path, kind, what is known of the file).
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import caffe
from caffe.engine import graph
from caffe.engine.unknown import faults_of
from caffe.proto import caffe_pb2

_SIDES = ("crop_size", "crop_h", "crop_height", "new_height", "height")
_WIDTHS = ("crop_size", "crop_w", "crop_width", "new_width", "width")
_NOT_COUNTED = ("broken", "user's Python")
# that compare a blob with one of its own shape, or with one class for each place
_SAME = ("EuclideanLoss", "SigmoidCrossEntropyLoss", "SmoothL1Loss", "L1Loss")


def verdict(path: Path) -> str:
    """Reason why the net of a file builds in no phase; "": it builds in one."""
    try:
        net = caffe.read_net(path)
    except caffe.CaffeError as error:
        return f"does not parse: {str(error).removeprefix(f'{path}:')}"
    reasons = [_of_phase(net, phase) for phase in (caffe.TEST, caffe.TRAIN)]
    return "" if "" in reasons else _most_telling(reasons)


def _most_telling(reasons: list[str]) -> str:
    return min(reasons, key=lambda reason: "unknown bottom blob" in reason)


def _of_phase(net: Any, phase: int) -> str:
    message = caffe_pb2.NetParameter()
    message.CopyFrom(net)
    message.state.phase = phase
    try:
        message = graph.filter_net(message, tell=False)
    except caffe.CaffeError as error:
        return str(error)
    if any(layer.type == "Python" for layer in message.layer):
        return "user's Python layer"
    first = "; ".join(faults_of(_replaced(message, {})))
    if first:
        return first
    for candidate in itertools.islice(_candidates(message), 30):
        reason = _built(candidate, phase)
        if not reason:
            return ""
        first = first or reason
    return first


def _built(net: Any, phase: int) -> str:
    try:
        caffe.Net(net, phase)
    except caffe.CaffeError as error:
        return str(error)
    return ""


def _candidates(net: Any) -> Iterator[Any]:
    """Give the net with Inputs of one shape after the other for its data layers."""
    sources = [layer for layer in net.layer if _reads(layer)]
    if not sources:
        yield net
        return
    for channels, side in itertools.product((3, 1), (None, 224, 32, 64, 513)):
        images = {s.top[0]: _image(s, channels, side) for s in sources if s.top}
        labels = [top for s in sources for top in s.top if top not in images]
        shapes = _trunk(net, images, labels)
        choices = [_label_shapes(net, top, shapes, images) for top in labels]
        tries = itertools.zip_longest(*(c[:6] for c in choices))
        for combination in tries if choices else [()]:
            chosen = [
                shape or choice[0]
                for shape, choice in zip(combination, choices, strict=True)
            ]
            yield _replaced(net, images | dict(zip(labels, chosen, strict=True)))


def _reads(layer: Any) -> bool:
    kept = ("Input", "DummyData", "Parameter", "Python", "CreateDeformation")
    return not layer.bottom and layer.type not in kept


def _image(layer: Any, channels: int, side: int | None) -> tuple[int, ...]:
    """Shape of what a data layer's options say of its images, with other defaults."""
    found = list(_numbers(layer))
    values = dict(reversed(found))
    batch = values.get("batch_size", 1) or 1
    if layer.type == "MemoryData":
        names = ("channels", "height", "width")
        return batch, *(values.get(name, 1) for name in names)
    height = next((values[n] for n in _SIDES if values.get(n)), None)
    width = next((values[n] for n in _WIDTHS if values.get(n)), height)
    means = [value for name, value in found if name == "mean_value"]
    depth = len(means) if len(means) > 1 else channels
    return min(batch, 4), depth, side or height or 224, side or width or 224


def _numbers(message: Any) -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        if isinstance(value, (int, float)):
            yield field.name, value
        elif field.message_type is not None and not isinstance(value, str):
            inner = [value] if hasattr(value, "ListFields") else value
            for each in inner:
                yield from _numbers(each)
        elif field.name == "mean_value":
            yield from ((field.name, each) for each in value)


def _replaced(net: Any, shapes: dict[str, tuple[int, ...]]) -> Any:
    made = caffe_pb2.NetParameter()
    made.CopyFrom(net)
    del made.layer[:]
    for layer in net.layer:
        if not _reads(layer):
            made.layer.add().CopyFrom(layer)
            continue
        stand_in = made.layer.add(name=layer.name, type="Input", top=layer.top)
        for top in layer.top:
            stand_in.input_param.shape.add(dim=shapes.get(top, ()))
    return made


def _trunk(
    net: Any, images: dict[str, tuple[int, ...]], labels: list[str]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the blobs that depend on no label, as far as they can be built."""
    without = set(labels)
    made = caffe_pb2.NetParameter(state=net.state)
    for layer in net.layer:
        if _reads(layer):
            for top in layer.top:
                if top in images:
                    added = made.layer.add(name=top, type="Input", top=[top])
                    added.input_param.shape.add(dim=images[top])
        elif without.intersection(layer.bottom) or (
            layer.type not in caffe.layer_type_list()
        ):
            without.update(layer.top)
        else:
            made.layer.add().CopyFrom(layer)
    try:
        built = caffe.Net(made, net.state.phase)
    except caffe.CaffeError:
        return dict(images)
    return {name: blob.shape for name, blob in built.blobs.items()}


def _label_shapes(
    net: Any,
    top: str,
    shapes: dict[str, tuple[int, ...]],
    images: dict[str, tuple[int, ...]],
) -> list[tuple[int, ...]]:
    """Shapes that may fit a top of a data layer, the likeliest first."""
    batch, *_, height, width = next(iter(images.values()))
    consumer = next((x for x in net.layer if top in x.bottom), None)
    others = [
        shapes[name]
        for name in (consumer.bottom if consumer else ())
        if name != top and name in shapes
    ]
    likely: list[tuple[int, ...]] = []
    for other in others[:1]:
        per_place = (other[0], *other[2:])
        with_axis = (other[0], 1, *other[2:])
        likely += [other] if consumer.type in _SAME else []
        likely += [with_axis, per_place, other]
    return [
        *likely,
        (batch,),
        (batch, 1),
        (batch, 1, 1, 1),
        (1, 1, 4, 8),
        (4, 5),
        (batch, 1, height, width),
    ]


def report(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the nets that count, each with the reason why it does not build, or ""."""
    with (folder / "EXPECT.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        known = row["today"]
        if row["kind"] == "net" and not any(word in known for word in _NOT_COUNTED):
            reason = verdict(folder / row["path"])
            if "user's Python" not in reason:
                yield row["path"], reason


def main() -> None:
    """Write the table."""
    caffe.init_log(3)
    count = built = 0
    for path, reason in report(Path(sys.argv[1])):
        count, built = count + 1, built + (not reason)
        if reason:
            sys.stdout.write(f"{path}\t{reason}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{built} of {count} nets build: {built / count:.1%}\n")


if __name__ == "__main__":
    main()

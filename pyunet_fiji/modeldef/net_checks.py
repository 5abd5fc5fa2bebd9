"""Check the net and the solver of a model definition, as texts and as a net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyunet.errors import DataError
from pyunet_fiji.modeldef.definition import (
    CLASS_NAMES,
    DOWNSAMPLE,
    INPUT_BLOB,
    MODEL,
    PAD_INPUT,
    PAD_OUTPUT,
    SOLVER,
    ModelDefinition,
)
from pyunet_fiji.modeldef.findings import Effect, Finding
from pyunet_fiji.modeldef.nets import (
    SCORE,
    Geometry,
    Layers,
    build_net,
    find_geometry,
    loose_ends,
    parse_net,
    parse_solver,
    read_test_layers,
)

CAFFE_UNET, _, FINETUNING, WRONG, NOTE = Effect
TEXT = "protobuf text that this caffe knows"
# the plugin's schema is older than these
UNKNOWN_TO_PLUGIN = ("clip_param", "swish_param")
AXES = {2: "yx", 3: "zyx"}


def check_solver(text: str) -> Iterator[Finding]:
    """Check the text of a solver for what finetuning makes of it."""
    try:
        solver = parse_solver(text)
    except DataError as error:
        yield Finding(FINETUNING, SOLVER, str(error), TEXT)
        return
    if len(getattr(solver, "weights", ())):
        what = "has the field 'weights', which the plugin's schema does not know"
        yield Finding(FINETUNING, SOLVER, what, "a solver without it")
    if solver.display != 1:
        what = f"has display: {solver.display}, so the plugin's loss curve lacks points"
        yield Finding(NOTE, SOLVER, what, "display: 1")


def check_net(definition: ModelDefinition) -> Iterator[Finding]:
    """Check the text of a net, then its wiring, its tile geometry, and whether it runs.

    Parameters
    ----------
    definition : ModelDefinition

    Yields
    ------
    Finding
    """
    try:
        message = parse_net(definition.model_prototxt)
    except DataError as error:
        yield Finding(CAFFE_UNET, MODEL, str(error), TEXT)
        return
    if not message.layer:
        what = "has layers of the old syntax" if len(message.layers) else "has no layer"
        yield Finding(CAFFE_UNET, MODEL, what, "layer { ... }, for TRAIN and TEST")
        return
    yield from _check_finetuning(message)
    yield from _check_classes(definition, message)
    try:
        layers = read_test_layers(definition.model_prototxt)
    except DataError as error:
        yield Finding(WRONG, MODEL, str(error), "a net that can be run by tiles")
        return
    found = list(_check_wiring(definition, layers))
    if not found:
        found = list(_check_outputs(definition, layers))
        found += _check_building(definition)
        found.sort(key=lambda each: each.effect is NOTE)  # what is refused comes first
    yield from found


def check_geometry(
    definition: ModelDefinition, layers: Layers, output: str
) -> Iterator[Finding]:
    """Compare the tile sizes of a definition with those of the layers.

    Parameters
    ----------
    definition : ModelDefinition
    layers : sequence of LayerParameter
        Of phase TEST.
    output : str
        Blob of the scores.

    Yields
    ------
    Finding
        Sizes that do not fit, or layers whose sizes cannot be found.
    """
    try:
        net = find_geometry(
            layers, definition.input_blob_name, output, definition.dimensions
        )
    except DataError as error:
        what = f"tile sizes cannot be found from the layers: {error}"
        yield Finding(NOTE, MODEL, what, "a net that can be run by tiles")
        return
    for number, axis in enumerate(AXES[definition.dimensions]):
        yield from _compare(definition, net, number, axis, output)


def _compare(
    definition: ModelDefinition, net: Geometry, number: int, axis: str, output: str
) -> Iterator[Finding]:
    factor = definition.downsample_factor[number]
    before, after = definition.pad_input[number], definition.pad_output[number]
    wanted, pad = net.downsample_factor[number], net.pad_input[number]
    shrink = pad - net.pad_output[number]
    if factor % wanted:
        what = f"{axis}: is {factor}, but the layers divide by {wanted}"
        yield Finding(WRONG, DOWNSAMPLE, what, f"{wanted} for {axis}")
        return
    if (before - pad) % wanted:
        yield Finding(
            WRONG,
            PAD_INPUT,
            f"{axis}: is {before}, so that tiles do not divide exactly in every layer",
            f"{pad} for {axis}, or {wanted} more or less",
        )
    if before - after != shrink:
        yield Finding(
            WRONG,
            PAD_OUTPUT,
            f"{axis}: is {after}, so that tiles should shrink by {before - after} "
            f"pixels, but '{output}' is {shrink} smaller: tiles would be misplaced "
            "without a word",
            f"{before - shrink} for {axis}, with padInput {before}",
        )


def _check_outputs(definition: ModelDefinition, layers: Layers) -> Iterator[Finding]:
    _, outputs = loose_ends(layers)
    if len(outputs) > 1:
        what = f"has the outputs {', '.join(outputs)}: each is shown as a result"
        yield Finding(NOTE, MODEL, what, "one output")
    for output in outputs:
        yield from check_geometry(definition, layers, output)


def _check_wiring(definition: ModelDefinition, layers: Layers) -> Iterator[Finding]:
    """Check that the net of phase TEST needs the input blob and nothing else."""
    source = definition.input_blob_name
    unmade, _ = loose_ends(layers)
    made_by = [
        layer.name
        for layer in layers
        if source in layer.top and source not in layer.bottom
    ]
    needs = ", ".join(unmade) or "none"
    if made_by:
        yield Finding(
            CAFFE_UNET,
            INPUT_BLOB,
            f"is '{source}', which layer '{made_by[0]}' makes also in phase TEST",
            "a blob that is made in phase TRAIN only (include { phase: TRAIN })",
        )
    elif source not in unmade:
        yield Finding(
            CAFFE_UNET,
            INPUT_BLOB,
            f"is '{source}', but no layer of phase TEST takes it",
            f"the blob that replaces the augmented data; here unmade: {needs}",
        )
    others = [blob for blob in unmade if blob != source]
    if others and not made_by and source in unmade:
        yield Finding(
            CAFFE_UNET,
            MODEL,
            f"layers of phase TEST take {', '.join(others)}, which none of them makes",
            "layers of labels and loss with include { phase: TRAIN }",
        )


def _check_building(definition: ModelDefinition) -> Iterator[Finding]:
    try:
        build_net(definition)
    except DataError as error:
        yield Finding(CAFFE_UNET, MODEL, str(error), "a net that caffe can build")


def _check_finetuning(message: Any) -> Iterator[Finding]:
    """Check what the plugin looks for in a net that it finetunes."""
    types = {layer.type for layer in message.layer}
    scores = [layer for layer in message.layer if SCORE in layer.top]
    if not any(layer.type == "Convolution" for layer in scores):
        found = f"comes from {scores[-1].type}" if scores else "is not there"
        yield Finding(
            FINETUNING,
            MODEL,
            f"top '{SCORE}' {found}",
            f"a last Convolution with the top '{SCORE}'",
        )
    for kind, why in (
        ("CreateDeformation", "finetuning gives it the size of tiles"),
        ("HDF5Data", "finetuning gives it the training images"),
    ):
        if kind not in types:
            what = f"has no {kind} layer: {why}"
            yield Finding(FINETUNING, MODEL, what, f"a {kind} layer in phase TRAIN")
    for layer in message.layer:
        unknown = [field for field in UNKNOWN_TO_PLUGIN if _has(layer, field)]
        if _has(layer.pooling_param, "round_mode"):
            unknown.append("round_mode")
        if unknown:
            yield Finding(
                FINETUNING,
                MODEL,
                f"layer '{layer.name}' has {', '.join(unknown)}, which the plugin's "
                "schema does not know",
                "layers without these fields",
            )


def _check_classes(definition: ModelDefinition, message: Any) -> Iterator[Finding]:
    names = definition.class_names
    for layer in message.layer:
        if SCORE in layer.top and layer.type == "Convolution" and names:
            count = layer.convolution_param.num_output
            if count != len(names):
                what = f"has {len(names)} names, but '{SCORE}' has {count} channels"
                yield Finding(NOTE, CLASS_NAMES, what, f"{count} names, or none")


def _has(message: Any, field: str) -> bool:
    """Say whether an optional field is set; not every pycaffe knows every field."""
    return field in message.DESCRIPTOR.fields_by_name and message.HasField(field)

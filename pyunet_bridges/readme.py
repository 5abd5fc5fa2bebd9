"""The documentation that goes with a model into a package."""

from __future__ import annotations

from pyunet.inference.engine import Model
from pyunet_bridges.source import Source
from pyunet_fiji.modeldef.normalisation import NONE, VECTOR_NORM

AXES = "zyx"
INPUTS = {
    NONE: "grey values of 0..1",
    VECTOR_NORM: "the longest vector of the channels has length 1",
}
BEYOND = {"mirror": "mirrored", "zero": "zero"}


def readme(source: Source, model: Model, what: str) -> str:
    """Write the documentation of a model.

    Parameters
    ----------
    source : Source
    model : Model
    what : str
        What it segments.

    Returns
    -------
    str
        Markdown.
    """
    entry, definition = source.entry, source.definition
    rows = [
        f"- along {name}: {axis.smallest} + {axis.factor} k pixels; of the scores "
        f"{axis.shrink} fewer can be trusted"
        for name, axis in zip(AXES[-len(model.axes) :], model.axes, strict=True)
    ]
    measured = entry.scores if entry else []
    scores = [f"- {one.metric}: {one.value:g} ({one.data})" for one in measured]
    kind = NONE if definition is None else definition.normalization_type
    meaning = INPUTS.get(kind, "normalised as the preprocessing says")
    given = "are probabilities" if model.gives_probabilities else "are raw"
    return "\n".join(
        [
            f"# {source.name}",
            "",
            f"{what}.",
            "",
            *([entry.citation, ""] if entry and entry.citation else []),
            "Made from a Caffe net by `pyunet export --to bioimageio`. Scores "
            f"{given}, one channel a class; the largest is the label.",
            "",
            "## Input",
            "",
            f"{model.channels} channel(s): {meaning}. What lies beyond an image is to "
            f"be {BEYOND[model.padding]}.",
            "",
            *rows,
            "",
            "## Validation",
            "",
            *(scores or ["No measured scores are known for these weights."]),
            "",
        ]
    )

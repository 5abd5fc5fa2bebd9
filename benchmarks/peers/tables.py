"""Numbers of a task's raw times, and the table that a person reads."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

RIVALS = ("torch-compile", "torch-channels-last")
OURS = ("ours", "ours-onnxruntime", "ours-openvino")
Rounds = Sequence[Sequence[float]]


def summarise(peers: Mapping[str, dict[str, Any]]) -> None:
    """Add medians, minima and ratios to what each peer's rounds gave.

    Parameters
    ----------
    peers : mapping of str to dict
        `seconds` of each: a list of repeats for each round; `median_s`, `min_s` and
        `ratios` are set. A ratio is the median over the rounds of a peer's median in
        the round divided by the rival's in the same one: both then met the same
        machine. `best` is the fastest peer that is not this project.
    """
    for found in peers.values():
        every = [one for turn in found["seconds"] for one in turn]
        found["median_s"], found["min_s"] = statistics.median(every), min(every)
    others = {name: p["median_s"] for name, p in peers.items() if name not in OURS}
    rivals = {name: name for name in RIVALS if name in peers}
    if others:
        rivals["best"] = min(others, key=lambda name: others[name])
    for found in peers.values():
        found["ratios"] = {
            key: ratio(found["seconds"], peers[name]["seconds"])
            for key, name in rivals.items()
        }


def ratio(mine: Rounds, theirs: Rounds) -> float:
    """Give the median over the rounds of the ratio of two peers' medians.

    Examples
    --------
    >>> ratio([[1, 2, 9], [4, 4, 4]], [[2, 2, 2], [2, 2, 2]])
    1.5
    """
    return statistics.median(
        statistics.median(a) / statistics.median(b)
        for a, b in zip(mine, theirs, strict=False)
    )


def table(peers: Mapping[str, dict[str, Any]]) -> str:
    """Write a task's peers, ours first, then the fastest first.

    The seconds to compile stand in a column of their own; they are part of those to
    set up. Errors are relative, L2.
    """
    heads = ["peer", "median s", "min s", "of best"]
    heads += [f"of {name}" for name in RIVALS]
    heads += ["peak GiB", "error", "set up s", "compile s"]
    names = sorted(peers, key=lambda n: (n not in OURS, peers[n]["median_s"]))
    rows = [heads, *(_row(name, peers[name]) for name in names)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(name: str, found: dict[str, Any]) -> list[str]:
    about, ratios = found["about"], found["ratios"]
    return [
        name,
        _shown(found["median_s"], ".4f"),
        _shown(found["min_s"], ".4f"),
        *(_shown(ratios.get(rival), ".3f") for rival in ("best", *RIVALS)),
        _shown(found.get("peak_gib"), ".2f"),
        _shown(found.get("error_l2"), ".1e"),
        _shown(about.get("set_up_s"), ".1f"),
        _shown(about.get("compile_s"), ".1f"),
    ]


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

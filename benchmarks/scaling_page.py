"""Tables and pictures of what `scaling.py` measured, for docs/scaling.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

Points = dict[str, dict[str, Any]]


def write_page(result: dict[str, Any], docs: Path) -> None:
    """Draw the pictures and put the tables into the page, between their marks.

    Parameters
    ----------
    result : dict
        What `scaling.py` keeps: `machine`, `model`, and the points of each part.
    docs : Path
        The folder of `scaling.md`; pictures go to `images` in it.
    """
    (docs / "images").mkdir(exist_ok=True)
    page = docs / "scaling.md"
    text = page.read_text()
    tables = {"machine": _machine(result)}
    for part, (table, draw) in PARTS.items():
        if points := result[part]:
            tables[part] = table(points)
            draw(points, docs / "images" / f"scaling_{part}.png")
    for name, table in tables.items():
        text, count = re.subn(
            rf"(?s)(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
            lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}",
            text,
        )
        if not count:
            raise SystemExit(f"{page}: no place <!-- {name} --> for a table")
    page.write_text(text)


def rows_of(heads: list[str], rows: list[list[str]]) -> str:
    """Write a table of Markdown.

    Examples
    --------
    >>> print(rows_of(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return text.replace(" --- ", "---")


def _machine(result: dict[str, Any]) -> str:
    found = result["machine"]
    packages = ", ".join(f"{n} {v}" for n, v in found["packages"].items())
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB; "
        f"Python {found['python']}, {packages}; {found['date'][:10]}, commit "
        f"{found['commit'][:7]}; net `{result['model']}`."
    )


def _ordered(points: Points) -> list[dict[str, Any]]:
    return sorted(points.values(), key=lambda point: point["order"])


def _size_table(points: Points) -> str:
    heads = ["megapixels", "seconds", "seconds a megapixel", "peak memory", "tiles"]
    rows = []
    for point in _ordered(points):
        megapixels = f"{point['megapixels']:g}"
        if "failed" in point:
            rows.append([megapixels, point["failed"], "-", "-", "-"])
            continue
        rows.append(
            [
                megapixels,
                f"{point['seconds']:.1f}",
                f"{point['seconds'] / point['megapixels']:.3f}",
                f"{point['peak_gib']:.2f} GiB",
                point["tiles"],
            ]
        )
    return rows_of(heads, rows)


def _threads_table(points: Points) -> str:
    heads = ["threads", "a tile", "speed-up", "a training step", "speed-up"]
    ordered = _ordered(points)
    first = ordered[0]
    return rows_of(
        heads,
        [
            [
                str(point["threads"]),
                *(
                    text
                    for kind in ("inference", "training")
                    for text in (
                        f"{point[kind]['median_s']:.3f} s",
                        f"{first[kind]['median_s'] / point[kind]['median_s']:.2f}",
                    )
                ),
            ]
            for point in ordered
        ],
    )


def _ranks_table(points: Points) -> str:
    heads = ["processes", "threads of each", "images a second", "gain", "memory of all"]
    ordered = _ordered(points)
    first = ordered[0]
    return rows_of(
        heads,
        [
            [
                str(point["ranks"]),
                str(point["threads"]),
                f"{point['images_per_s']:.2f}",
                f"{point['images_per_s'] / first['images_per_s']:.2f}",
                f"{point['anonymous_gib']:.2f} GiB",
            ]
            for point in ordered
        ],
    )


def _figure(count: int) -> tuple[Any, list[Any]]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, count, figsize=(5 * count, 3.6), layout="constrained", squeeze=False
    )
    for one in axes[0]:
        one.grid(alpha=0.3)
    return figure, list(axes[0])


def _save(figure: Any, file: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(file, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _draw_size(points: Points, file: Path) -> None:
    done = [point for point in _ordered(points) if "failed" not in point]
    if not done:
        return
    sizes = [point["megapixels"] for point in done]
    seconds = [point["seconds"] for point in done]
    figure, (time, memory) = _figure(2)
    time.loglog(sizes, seconds, "o-", label="measured")
    slope = seconds[-1] / sizes[-1]
    time.loglog(sizes, [slope * n for n in sizes], "k:", label="linear")
    time.set(xlabel="megapixels", ylabel="seconds, from file to files")
    time.legend()
    for key, label in (
        ("peak_gib", "resident, mapped files included"),
        ("anonymous_gib", "no file's"),
    ):
        memory.semilogx(sizes, [point[key] for point in done], "o-", label=label)
    memory.set(xlabel="megapixels", ylabel="most memory, GiB")
    memory.set_ylim(bottom=0)
    memory.legend()
    _save(figure, file)


def _draw_threads(points: Points, file: Path) -> None:
    ordered = _ordered(points)
    threads = [point["threads"] for point in ordered]
    figure, (axis,) = _figure(1)
    for kind, label in (("inference", "a tile"), ("training", "a training step")):
        seconds = [point[kind]["median_s"] for point in ordered]
        axis.plot(threads, [seconds[0] / s for s in seconds], "o-", label=label)
    axis.plot(threads, [n / threads[0] for n in threads], "k:", label="ideal")
    axis.set(xlabel="threads", ylabel="speed-up", xticks=threads)
    axis.legend()
    _save(figure, file)


def _draw_ranks(points: Points, file: Path) -> None:
    ordered = _ordered(points)
    names = [f"{p['ranks']} x {p['threads']}" for p in ordered]
    figure, (axis,) = _figure(1)
    axis.bar(names, [point["images_per_s"] for point in ordered], width=0.5)
    axis.set(xlabel="processes x threads of each", ylabel="images a second")
    _save(figure, file)


PARTS = {
    "size": (_size_table, _draw_size),
    "threads": (_threads_table, _draw_threads),
    "ranks": (_ranks_table, _draw_ranks),
}

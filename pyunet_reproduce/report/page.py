"""Write the sections of a report as one page that needs nothing else."""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

import pyunet
from pyunet.files import atomic_path
from pyunet_reproduce.report.run import Run
from pyunet_reproduce.report.sections import Section, make_sections

TEMPLATE = "page.html"


def write_report(path: str | Path, run: Run) -> list[Section]:
    """Write a report.

    The page holds its pictures and its style, runs no script, and forbids the browser
    to fetch anything.

    Parameters
    ----------
    path : str or Path
        An HTML file; its folder must exist.
    run : Run

    Returns
    -------
    list of Section
        What the page shows.

    Raises
    ------
    DataError
        A part that is there and cannot be read; a file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sections = write_report(f"{folder}/report.html", Run("nothing"))
    >>> sections[0].missing
    'No net is given (--model, --weights).'
    """
    sections = make_sections(run)
    template = resources.files("pyunet_reproduce.report") / TEMPLATE
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=run.title,
        sections=sections,
        version=pyunet.__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    with atomic_path(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")
    return sections

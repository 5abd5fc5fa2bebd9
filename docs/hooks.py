"""What mkdocs.yml asks for beyond its plugins: files that lie outside of docs/.

Pages are read here and in the repository. A link from a page to a file beside docs/
is right in the repository and leads nowhere on the site: there its text stays. A page
whose head says ``include: FILE`` ends with the text of that file.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

LOG = logging.getLogger("mkdocs.hooks")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:)([^)#\s]+)(#[^)\s]+)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Append what the page includes, and mend the links of both.

    A file that is linked or included and is not there is warned about, which ends a
    strict build.
    """
    source = DOCS / page.file.src_uri
    text = _links(markdown, source, source)
    name = page.meta.get("include")
    if name is None:
        return text
    included = ROOT / name
    if not included.is_file():
        LOG.warning("%s: there is no file %s to include", source, included)
        return text
    _, _, rest = included.read_text(encoding="utf-8").partition("\n")
    return f"{text}\n{_links(rest, included, source)}"


def _links(text: str, written_in: Path, shown_in: Path) -> str:
    """Make links of a text that stands in one file right for a page."""

    def mended(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        path = Path(os.path.normpath(written_in.parent / target))
        if not path.exists():
            LOG.warning("%s: links to %s, which is not there", written_in, target)
            return words
        if not path.is_relative_to(DOCS):
            return words
        return f"[{words}]({os.path.relpath(path, shown_in.parent)}{anchor})"

    return LINK.sub(mended, text)

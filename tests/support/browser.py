"""A real browser: what a page looks like there, and what it asks the network for."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
HINT = "no Chromium: sudo apt install chromium, or playwright install chromium"


@dataclass
class Opened:
    """A page that was opened.

    Attributes
    ----------
    page : playwright.sync_api.Page
    said : list of str
        Errors and warnings of its console, and errors of its scripts.
    asked : list of str
        Addresses that it fetched, but for its own and ``data:``.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def chromium():
    """Start Chromium, or skip the test where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), None)
        path = found or (own if Path(own).is_file() else None)
        if path is None:
            pytest.skip(HINT)
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def open_page(browser, path, *, width=1100, height=900):
    """Open a file and wait until its pictures are there."""
    page = browser.new_page(viewport={"width": width, "height": height})
    opened = Opened(page)
    own = path.resolve().as_uri()
    page.on(
        "console",
        lambda message: (
            opened.said.append(message.text)
            if message.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: opened.said.append(str(error)))
    page.on(
        "request",
        lambda request: (
            opened.asked.append(request.url)
            if request.url != own and not request.url.startswith("data:")
            else None
        ),
    )
    page.goto(own, wait_until="load")
    return opened

"""The documentation site builds, and is complete in itself."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from docs.hooks import on_page_markdown
from tests.support.doc_commands import ROOT

# what a browser fetches by itself, unlike a link that somebody clicks on
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?([^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?([^"'\s>]+)"""
)


@pytest.fixture
def site(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return tmp_path


def test_it_builds_without_a_warning_and_pages_fetch_nothing_from_the_net(site):
    pages = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    written = (ROOT / "docs").rglob("*.md")
    assert {f"{p.relative_to(ROOT / 'docs').with_suffix('')}.html" for p in written} < {
        *pages
    }
    for name, page in pages.items():
        text = page.read_text(encoding="utf-8")
        fetched = ["".join(found) for found in FETCHED.findall(text)]
        assert fetched, name
        assert [url for url in fetched if re.match(r"(\w+:)?//", url)] == [], name

    speed = pages["speed.html"].read_text(encoding="utf-8")
    assert "A training step of LeNet" in speed  # of benchmarks/README.md
    names = pages["api/caffe.html"].read_text(encoding="utf-8")
    assert all(name in names for name in ("caffe.Net", "set_mode_cpu", "CheckError"))


def page_of(name, **head):
    return SimpleNamespace(file=SimpleNamespace(src_uri=name), meta=head)


def test_a_link_out_of_the_pages_becomes_its_text():
    text = "see [`nets`](../prototxt), [Crop](crop.md#a) and [Caffe](https://a.org/b)"
    shown = on_page_markdown(text, page=page_of("fiji.md"))
    assert shown == "see `nets`, [Crop](crop.md#a) and [Caffe](https://a.org/b)"


def test_links_of_an_included_file_lead_to_the_pages(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "scaling.md").touch()
    (tmp_path / "benchmarks" / "README.md").write_text(
        "# Head\nsee [there](../docs/scaling.md), [this](README.md)"
    )
    monkeypatch.setattr("docs.hooks.ROOT", tmp_path)
    monkeypatch.setattr("docs.hooks.DOCS", tmp_path / "docs")
    page = page_of("speed.md", include="benchmarks/README.md")
    assert (
        on_page_markdown("# Speed", page=page)
        == "# Speed\nsee [there](scaling.md), this"
    )


@pytest.mark.parametrize(
    ("text", "head"),
    [("[a](nothing.md)", {}), ("# Speed", {"include": "benchmarks/nothing.md"})],
)
def test_what_is_not_there_is_warned_about(text, head, caplog):
    on_page_markdown(text, page=page_of("fiji.md", **head))
    assert "nothing.md" in caplog.text

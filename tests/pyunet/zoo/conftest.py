"""A cache folder, a list of models and a web server of the test's own."""

from __future__ import annotations

import pytest

from pyunet.zoo import manifest
from pyunet.zoo.cache import CACHE
from tests.support.servers import Site, serve


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE, str(folder))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def site(cache):
    with serve(Site()) as one:
        yield one


@pytest.fixture
def listed(tmp_path, cache, monkeypatch):
    """Give a function that writes the package's list of models."""
    path = tmp_path / "weights" / "manifest.toml"
    path.parent.mkdir()
    path.touch()
    monkeypatch.setattr(manifest, "package_manifest", lambda: path)

    def write(text):
        path.write_text(text)
        return manifest.read_manifest(path)

    write.folder = path.parent
    return write

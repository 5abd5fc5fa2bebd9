"""``pyunet zoo`` as people type it."""

import pytest

import pyunet
from pyunet.cli import main
from pyunet.zoo import manifest
from pyunet.zoo.cache import CACHE, sha256_of
from tests.support.listed_models import table, write_threshold_net
from tests.support.servers import Site, serve


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Give the folder of the package's list."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "weights"
    write_threshold_net(folder)
    monkeypatch.setattr(manifest, "package_manifest", lambda: folder / "manifest.toml")
    known = sha256_of(folder / "net.caffemodel")
    scores = '[[bright.scores]]\nmetric = "IoU"\nvalue = 0.9\ndata = "D"\ncommand = "c"'
    (folder / "manifest.toml").write_text(
        table("bright", inputs="pixel_size_um = 0.5\nmean = 0.5\ndeviation = 0.2",
              file="net.caffemodel", sha256=known, size=1500000, average="mirror")
        + scores + "\n"
        + table("later", file="later.caffemodel")
        + table("theirs", urls=["http://127.0.0.1:9/net"])
        + table("many", urls=["http://127.0.0.1:9/c.zip"], prototxt="", classes=[],
                collection=True)
    )  # fmt: skip
    return folder


def said(capsys, *words, status=0):
    assert main(["zoo", *map(str, words)]) == status
    return capsys.readouterr()


def test_list_says_which_can_be_used(weights, capsys):
    lines = said(capsys, "list").out.splitlines()
    assert lines == [
        "bright  here      bright things",
        "later   missing   bright things",
        "theirs  to fetch  bright things",
        "many    to fetch  bright things",
    ]


def test_info_says_all_that_is_known(weights, capsys):
    out = said(capsys, "info", "bright").out
    for line in (
        "state         here", "pixel size    0.5 um", "size          1.5 MB",
        "channels      1 (grey)", "grey values   mean 0.5, deviation 0.2",
        "classes       dark, bright", "averaging     mirror",
        "measured      IoU 0.9 on D",
    ):  # fmt: skip
        assert line in out
    out = said(capsys, "info", "theirs").out
    assert "url           http://127.0.0.1:9/net" in out
    assert "sha256        not known; pinned on first use" in out
    assert "pixel size    any" in out
    assert "net " not in said(capsys, "info", "many").out


def test_path_prints_what_a_script_needs(weights, capsys):
    assert said(capsys, "path", "bright").out.splitlines() == [
        str(weights / "deploy.prototxt"), str(weights / "net.caffemodel"),
    ]  # fmt: skip
    err = said(capsys, "path", "theirs", status=1).err
    assert "'pyunet zoo fetch theirs' downloads it" in err


def test_verify_fails_for_what_is_missing_or_changed(weights, capsys):
    out = said(capsys, "verify", status=1).out
    assert "bright: as its list says" in out
    assert "later: WRONG: later: its file" in out
    assert "theirs: not fetched" in out
    assert said(capsys, "verify", "bright").out == "bright: as its list says\n"
    with (weights / "net.caffemodel").open("ab") as file:
        file.write(b"more")
    assert "bright: WRONG: " in said(capsys, "verify", "bright", status=1).out


def test_fetch_brings_once_and_again_when_asked(weights, capsys, tmp_path):
    with serve(Site({"/net": (weights / "net.caffemodel").read_bytes()})) as site:
        text = (weights / "manifest.toml").read_text()
        text = text.replace("http://127.0.0.1:9", site.url)
        (weights / "manifest.toml").write_text(text)
        path = tmp_path / "cache" / "theirs" / "theirs.caffemodel"
        first = said(capsys, "fetch", "theirs")
        assert first.out == f"{path}\n"
        assert "theirs: no checksum is known for" in first.err
        assert str(path) in said(capsys, "fetch", "theirs").out
        assert len(site.requests) == 1
        said(capsys, "fetch", "--again", "theirs")
        assert len(site.requests) == 2
        err = said(capsys, "fetch", "many", status=1).err
        assert "the server answers 404" in err
        assert len(err.splitlines()) == 1
    assert "net.caffemodel" in said(capsys, "fetch", "bright").out
    assert "is not there" in said(capsys, "fetch", "later", status=1).err


def test_a_model_that_was_added_segments(weights, capsys, tmp_path):
    import numpy as np

    deploy, net = write_threshold_net(tmp_path / "own", border=0.25)
    out = said(
        capsys, "add", net, deploy.parent, "--name", "mine", "--classes", "no,yes",
        "--objects", "yes", "--pixel-size-um", "0.5", "--half", "--average", "mirror",
    ).out  # fmt: skip
    assert out.startswith(f"mine: {tmp_path / 'cache' / 'mine'}")
    assert "mine: as its list says" in said(capsys, "verify", "mine").out
    model = pyunet.load("mine")
    image = np.array([[0, 100], [60, 255]], np.uint8)
    assert model.labels(image).tolist() == [[0, 1], [0, 1]]
    assert model.classes == ("no", "yes")


def test_what_does_not_fit_is_not_added(weights, capsys, tmp_path):
    deploy, _ = write_threshold_net(tmp_path / "own")
    (tmp_path / "w.caffemodel").write_text("text")
    words = ("add", tmp_path / "w.caffemodel", deploy)
    assert "w.caffemodel" in said(capsys, *words, status=1).err
    assert not manifest.user_manifest().exists()


def test_an_unknown_name_lists_the_known_ones(weights, capsys):
    err = said(capsys, "info", "nonesuch", status=1).err
    assert "known are bright, later, theirs, many" in err

"""Downloads go on where they broke off, and every failure is one plain line."""

import hashlib
import socket

import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet.zoo import download as module
from pyunet.zoo.download import download

DATA = np.random.default_rng(0).bytes(20_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "net"


def refused(url, target, **options):
    with pytest.raises(DataError) as caught:
        download(url, target, **options)
    assert not target.exists()
    (line,) = str(caught.value).splitlines()
    return line


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_else(site, target):
    site.files["/net"] = DATA
    assert download(f"{site.url}/net", target, sha256=SHA256) == target
    assert target.read_bytes() == DATA
    assert names(target) == ["net"]


def test_a_slow_server_is_waited_for(site, target):
    site.files["/net"], site.pause_s = DATA, 0.01
    download(f"{site.url}/net", target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_a_server_that_answers_no_more_is_given_up(site, target, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    site.files["/net"], site.pause_s = DATA, 0.5
    line = refused(f"{site.url}/net", target)
    assert line.startswith(f"{site.url}/net: ")
    assert "broke off after 0 bytes" in line or "no answer within 0.1 s" in line


def test_what_broke_off_goes_on_in_the_same_run(site, target):
    site.files["/net"], site.breaks = DATA, [7000, 4000]
    download(f"{site.url}/net", target, sha256=SHA256)
    assert target.read_bytes() == DATA
    assert [asked for _, asked in site.requests] == [
        None, "bytes=7000-", "bytes=11000-",
    ]  # fmt: skip


def test_what_broke_off_goes_on_in_the_next_run(site, target):
    site.files["/net"], site.breaks = DATA, [7000, 0]
    line = refused(f"{site.url}/net", target)
    assert line.endswith(
        "broke off after 7000 bytes; the same command goes on from there"
    )
    assert names(target) == ["net.part", "net.part.tag"]
    download(f"{site.url}/net", target, sha256=SHA256)
    assert target.read_bytes() == DATA
    assert site.requests[-1] == ("/net", "bytes=7000-")


def test_a_server_whose_file_changed_meanwhile_sends_the_new_one(site, target):
    site.files["/net"], site.breaks = DATA, [7000, 0]
    refused(f"{site.url}/net", target)
    site.files["/net"], site.tag = DATA[::-1], '"two"'
    download(f"{site.url}/net", target)
    assert target.read_bytes() == DATA[::-1]


@pytest.mark.parametrize("tag", [None, 'W/"weak"', '"one"'])
def test_a_server_without_parts_starts_anew(site, target, tag):
    site.files["/net"], site.breaks = DATA, [7000, 0]
    site.ranges, site.tag = False, tag
    refused(f"{site.url}/net", target)
    download(f"{site.url}/net", target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_a_part_as_long_as_the_whole_file_is_no_trap(site, target):
    site.files["/net"] = DATA
    target.parent.mkdir()
    (target.parent / "net.part").write_bytes(DATA)
    (target.parent / "net.part.tag").write_text('"one"')
    download(f"{site.url}/net", target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_another_checksum_is_refused_and_not_gone_on_from(site, target):
    site.files["/net"] = DATA[:-1] + b"?"
    line = refused(f"{site.url}/net", target, sha256=SHA256)
    assert f"another checksum than the {SHA256} that is known" in line
    assert names(target) == []


def test_a_missing_page_says_the_servers_number(site, target):
    assert refused(f"{site.url}/none", target) == (
        f"{site.url}/none: the server answers 404"
    )


def test_a_redirect_is_followed_and_a_loop_is_refused(site, target):
    site.files["/net"] = DATA
    site.redirects = {"/old": "/net", "/a": "/b", "/b": "/a"}
    download(f"{site.url}/old", target, sha256=SHA256)
    assert "from one address to the next without end" in refused(
        f"{site.url}/a", target
    )


def test_no_network_is_said(cache, target):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = refused(f"http://127.0.0.1:{port}/net", target)
    assert line.endswith("no connection; is there a network?")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/net", "file:///etc/passwd"])
def test_other_schemes_are_refused(url, target):
    assert refused(url, target) == f"{url}: expected http or https"


def test_a_folder_that_cannot_be_made_is_named(site, tmp_path):
    site.files["/net"] = DATA
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/net: cannot be written"):
        download(f"{site.url}/net", tmp_path / "file" / "net")


def test_a_length_that_is_not_said_is_no_error(site, target):
    site.files["/net"], site.lengths = DATA, False
    download(f"{site.url}/net", target)
    assert target.read_bytes() == DATA

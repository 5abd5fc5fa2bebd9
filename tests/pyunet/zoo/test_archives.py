"""Only contents are taken out of archives, and only of honest ones."""

import io
import tarfile
import zipfile

import pytest

from pyunet.errors import DataError
from pyunet.zoo.archives import member_names, take_out


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def tarred(path, members, links=()):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, to, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, to
            tar.addfile(info)
    return path


MAKERS = {"a.zip": zipped, "a.tar.gz": tarred}


@pytest.fixture(params=MAKERS)
def pack(request, tmp_path):
    return lambda members: MAKERS[request.param](tmp_path / request.param, members)


def test_files_are_found_by_the_end_of_their_path(pack, tmp_path):
    archive = pack({"release/a/net": b"1", "release/b/net": b"2", "README": b"3"})
    take_out(archive, {"b/net": tmp_path / "net", "README": tmp_path / "text"})
    assert (tmp_path / "net").read_bytes() == b"2"
    assert (tmp_path / "text").read_bytes() == b"3"
    assert member_names(archive) == ["release/a/net", "release/b/net", "README"]


@pytest.mark.parametrize(("name", "said"), [("net", "2 files"), ("other", "no files")])
def test_a_name_that_is_not_clear_is_refused(pack, tmp_path, name, said):
    archive = pack({"a/net": b"1", "b/net": b"2"})
    with pytest.raises(DataError, match=f"has {said} '{name}'; one is wanted"):
        take_out(archive, {name: tmp_path / "net"})


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil"]
)
def test_a_path_that_leaves_the_archive_refuses_all_of_it(pack, tmp_path, name):
    archive = pack({"net": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"outside of its folder: nothing was unpacked"):
        take_out(archive, {"net": tmp_path / "net"})
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_in_a_tar_is_no_file(tmp_path, kind):
    archive = tarred(tmp_path / "a.tar.gz", {}, [("net", "/etc/passwd", kind)])
    with pytest.raises(DataError, match="has no files 'net'"):
        take_out(archive, {"net": tmp_path / "net"})


def test_a_link_in_a_zip_is_no_file(tmp_path):
    info = zipfile.ZipInfo("net")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="has no files 'net'"):
        take_out(tmp_path / "a.zip", {"net": tmp_path / "net"})


def test_an_archive_that_is_cut_short_leaves_no_file(pack, tmp_path):
    archive = pack({"net": bytes(range(256)) * 500})
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"is no archive that can be read: ."):
        take_out(archive, {"net": tmp_path / "net"})
    assert not (tmp_path / "net").exists()


def test_a_damaged_content_is_noticed(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"net": b"weights"})
    archive.write_bytes(archive.read_bytes().replace(b"weights", b"WEIGHTS"))
    with pytest.raises(DataError, match="Bad CRC"):
        take_out(archive, {"net": tmp_path / "net"})


def test_what_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pyunet.zoo.archives.LARGEST", 3)
    archive = zipped(tmp_path / "a.zip", {"net": b"1234"})
    with pytest.raises(DataError, match="'net' has 4 bytes, no weights"):
        take_out(archive, {"net": tmp_path / "net"})

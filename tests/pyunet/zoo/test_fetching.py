"""Published models are brought, checked, unpacked and made to fit, once."""

import hashlib
import io
import json
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet.zoo.fetching import bring, fetch, files_of, verify
from pyunet.zoo.manifest import entries, find_entry, state
from tests.support.listed_models import table, write_threshold_net

SECRET = b"weights" * 1000


def tar(members):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return whole.getvalue()


def zipped(members):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return whole.getvalue()


def hdf5(name):
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        file["name"] = name
    return whole.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def release(site, listed):
    """The 2015 release's layout: one member of a large archive is the model."""
    site.files["/u.tar.gz"] = tar(
        {
            "u-net-release/README": b"text",
            "u-net-release/phseg_v5.caffemodel": SECRET,
            "u-net-release/lib/libhdf5.so": b"library",
        }
    )

    def entry(**changes):
        settings = {
            "urls": [f"{site.url}/u.tar.gz"],
            "member": "u-net-release/phseg_v5.caffemodel",
            "sha256": sha256(site.files["/u.tar.gz"]),
            "prototxt": "phseg_v5",
            **changes,
        }
        return listed(table("phseg", **settings))["phseg"]

    return entry


def refused(entry):
    with pytest.raises(DataError) as caught:
        fetch(entry)
    assert state(entry) == "to fetch"
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{entry.name}: ")
    return line


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_member_is_taken_and_the_archive_is_not_kept(release, cache, caplog):
    found = fetch(release())
    assert found.weights.read_bytes() == SECRET
    assert found.model.parts[-2:] == ("phseg_v5", "deploy.prototxt")
    assert names(cache / "phseg") == ["fetched.json", "phseg_v5.caffemodel"]
    assert verify(release()) == "as it was fetched"
    assert caplog.text == ""


def test_what_is_here_is_not_asked_for_again(release, site):
    fetch(release())
    asked = len(site.requests)
    assert fetch(release()).weights.read_bytes() == SECRET
    assert len(site.requests) == asked


def test_the_next_address_is_tried(release, site, caplog):
    entry = release(urls=[f"{site.url}/gone", f"{site.url}/u.tar.gz"])
    assert fetch(entry).weights.read_bytes() == SECRET
    assert "the server answers 404; trying the next address" in caplog.text


def test_another_checksum_is_refused(release):
    assert "another checksum than the 0000" in refused(release(sha256="0" * 64))


def test_a_checksum_that_nobody_knows_is_pinned_and_said(
    release, site, cache, caplog, tmp_path
):
    _, weights = write_threshold_net(tmp_path / "net")
    site.files["/u.tar.gz"] = tar({"phseg_v5.caffemodel": weights.read_bytes()})
    entry = release(sha256="", member="phseg_v5.caffemodel")
    fetch(entry)
    known = sha256(site.files["/u.tar.gz"])
    assert f"pinned on this first use to sha256 {known}" in caplog.text
    assert verify(entry) == "as it was fetched (pinned)"
    (cache / "phseg" / "phseg_v5.caffemodel").unlink()
    site.files["/u.tar.gz"] = tar({"phseg_v5.caffemodel": b"other"})
    assert f"another checksum than the {known}" in refused(entry)


def test_a_truncated_archive_is_not_pinned(release, site, cache):
    site.files["/u.tar.gz"] = site.files["/u.tar.gz"][:-40]
    assert "is no archive that can be read" in refused(release(sha256=""))
    assert names(cache / "phseg") == []


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_weights_that_were_cut_short_are_not_pinned(release, site, tmp_path, kept):
    _, weights = write_threshold_net(tmp_path / "net")
    data = weights.read_bytes()
    site.files["/net"], site.lengths = data, False
    site.breaks = [int(kept * len(data))]
    entry = release(urls=[f"{site.url}/net"], member="", sha256="")
    assert "phseg.caffemodel is damaged, or cut short" in refused(entry)
    assert fetch(entry).weights.read_bytes() == data
    assert verify(entry) == "as it was fetched (pinned)"


def test_a_model_definition_that_was_cut_short_is_not_pinned(release, site, cache):
    whole = hdf5("3d.modeldef.h5")
    site.files["/c.zip"] = zipped(
        {"a.modeldef.h5": whole[:-1], "a.caffemodel.h5": whole}
    )
    entry = release(urls=[f"{site.url}/c.zip"], collection=True, member="", sha256="",
                    prototxt="", classes=[])  # fmt: skip
    assert "what came as a.modeldef.h5 is damaged, or cut short" in refused(entry)
    assert names(cache / "phseg") == []
    assert set(entries()) == {"phseg"}


def test_a_path_that_escapes_brings_nothing(release, site, cache, tmp_path):
    site.files["/u.tar.gz"] = tar(
        {"u-net-release/phseg_v5.caffemodel": SECRET, "../../evil": b"evil"}
    )
    assert "outside of its folder" in refused(release(sha256=""))
    assert names(cache / "phseg") == []
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\n<!doctype html><p>gone", "a web page"), (b"", "empty")],
)
def test_what_is_no_file_of_weights_is_not_kept(release, site, cache, data, said):
    site.files["/net"] = data
    entry = release(urls=[f"{site.url}/net"], member="", sha256="")
    assert f"what came is {said}, no file of weights" in refused(entry)
    assert names(cache / "phseg") == []


def test_layers_get_the_names_of_our_net(site, listed, tmp_path):
    _, weights = write_threshold_net(tmp_path / "cascaded", layer="score_New")
    site.files["/step1"] = weights.read_bytes()
    text = table("liver", urls=[f"{site.url}/step1?dl=1"])
    site.redirects["/step1?dl=1"] = "/step1"
    entry = listed(text + "[liver.rename]\nscore_New = 'score'\n")["liver"]
    write_threshold_net(listed.folder)
    net = caffe_pb2.NetParameter.FromString(fetch(entry).weights.read_bytes())
    assert [layer.name for layer in net.layer] == ["score"]
    assert verify(entry) == "as it was fetched (pinned)"


class TestCollection:
    @pytest.fixture
    def plugin(self, site, listed):
        """The layout of caffemodels.zip: pairs of files in one folder."""
        site.files["/c.zip"] = zipped(
            {
                f"caffemodels/{name}": hdf5(name)
                for name in ("2d.modeldef.h5", "2d.caffemodel.h5", "3d.modeldef.h5",
                             "3d.caffemodel.h5", "lone.modeldef.h5", "README.txt")
            }
        )  # fmt: skip
        text = table("all", urls=[f"{site.url}/c.zip"], collection=True, prototxt="",
                     classes=[])  # fmt: skip
        known = table("2d", urls=["u"], member="m")
        return listed(text + known)["all"]

    def test_every_pair_becomes_a_model(self, plugin, cache, caplog):
        caplog.set_level("INFO", "pyunet")
        found = bring(plugin)
        assert [path.name for path in found] == [
            "2d.modeldef.h5", "2d.caffemodel.h5", "3d.modeldef.h5", "3d.caffemodel.h5",
        ]  # fmt: skip
        assert set(entries()) == {"all", "2d", "3d"}
        files = fetch(find_entry("3d"))
        assert files.model == cache / "all" / "3d.modeldef.h5"
        assert files.weights.read_bytes() == hdf5("3d.caffemodel.h5")
        assert verify(find_entry("3d")) == "as its list says"
        assert "3d: is a model now" in caplog.text
        assert state(plugin) == "here"

    def test_bringing_it_again_adds_nothing_twice(self, plugin):
        bring(plugin)
        bring(plugin)
        assert set(entries()) == {"all", "2d", "3d"}

    def test_is_no_model_itself(self, plugin):
        with pytest.raises(DataError, match="is an archive of several models"):
            files_of(plugin)

    def test_without_a_pair_is_refused(self, plugin, site):
        site.files["/c.zip"] = zipped({"a.modeldef.h5": b"1"})
        assert "has no .modeldef.h5 with a .caffemodel.h5" in refused(plugin)


class TestFilesOf:
    def test_a_model_to_fetch_says_how(self, release):
        with pytest.raises(DataError, match="'pyunet zoo fetch phseg' downloads it"):
            files_of(release())

    def test_a_missing_file_is_named(self, listed):
        entry = listed(table("a", file="w.caffemodel"))["a"]
        for use in (files_of, fetch, verify):
            with pytest.raises(DataError, match=r"w\.caffemodel is not there"):
                use(entry)

    def test_a_definition_lies_beside_its_weights(self, listed):
        for name in ("w.h5", "d.h5"):
            (listed.folder / name).touch()
        entry = listed(table("a", file="w.h5", definition="d.h5", prototxt=""))["a"]
        assert files_of(entry).model == listed.folder / "d.h5"


class TestVerify:
    def test_of_what_is_not_fetched_says_so(self, release):
        assert verify(release()) == "not fetched"

    def test_finds_a_changed_and_a_lost_file(self, release, cache):
        weights = fetch(release()).weights
        weights.write_bytes(b"changed")
        with pytest.raises(
            DataError, match=f"has sha256 {sha256(b'changed')}, expected"
        ):
            verify(release())
        record = json.loads((cache / "phseg" / "fetched.json").read_text())
        record["files"]["lost"] = "0"
        weights.write_bytes(SECRET)
        (cache / "phseg" / "fetched.json").write_text(json.dumps(record))
        with pytest.raises(DataError, match="lost: no such file"):
            verify(release())

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": 1}'])
    def test_a_damaged_record_says_how_to_mend_it(self, release, cache, text):
        fetch(release())
        (cache / "phseg" / "fetched.json").write_text(text)
        with pytest.raises(DataError, match="fetch phseg --again' downloads it again"):
            verify(release())

    def test_of_a_file_compares_it_with_the_list(self, listed):
        (listed.folder / "w").write_bytes(SECRET)
        write_threshold_net(listed.folder)
        good = listed(table("a", file="w", sha256=sha256(SECRET)))["a"]
        assert verify(good) == "as its list says"
        assert "no checksum" in verify(listed(table("a", file="w"))["a"])
        with pytest.raises(DataError, match="expected 0000"):
            verify(listed(table("a", file="w", sha256="0" * 64))["a"])


def test_weights_of_16_bits_are_half_as_large_and_load(listed, tmp_path):
    import caffe
    from pyunet.zoo import half_precision

    deploy, weights = write_threshold_net(tmp_path, border=0.3)
    out = half_precision(weights, tmp_path / "half.caffemodel.h5")
    with h5py.File(out) as file:
        assert file["data/score/0"].dtype == np.float16
    net = caffe.Net(str(deploy), str(out), caffe.TEST)
    assert net.params["score"][0].data.dtype == np.float32
    assert net.params["score"][1].data.tolist() == pytest.approx([0.3, -0.3], rel=5e-4)


def test_a_kill_when_all_is_done_leaves_no_archive(release, monkeypatch):
    """The record is last: after it nobody would look for what is left."""
    from pyunet.zoo import fetching

    class KilledError(BaseException):
        pass

    there = []

    def killed(path):
        there.extend(file.name for file in path.parent.iterdir())
        raise KilledError

    one = release()
    real = fetching.atomic_path
    monkeypatch.setattr(
        fetching,
        "atomic_path",
        lambda path: killed(path) if path.name == "fetched.json" else real(path),
    )
    with pytest.raises(KilledError):
        bring(one)
    assert "download" not in there
    assert state(one) == "to fetch"
    monkeypatch.setattr(fetching, "atomic_path", real)
    bring(one)
    assert state(one) == "here"

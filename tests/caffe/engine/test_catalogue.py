"""Types that several dialects have: whose layer is meant."""

from __future__ import annotations

import pytest

import caffe
from caffe.engine import catalogue
from caffe.engine.layer import Operator
from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.dialects import Dialect


class ByFields(Operator):
    """One that is known by a field, of a fork whose layer has four blobs."""

    type, dialect = "BN", "pspnet"

    @classmethod
    def claims(cls, param, blobs):
        if param.HasField("batch_norm_param"):
            return True
        return None if blobs is None else blobs == 4

    shapes = forward = None


class ByBlobs(Operator):
    """One whose layer has two blobs."""

    type, dialect = "BN", "segnet"

    @classmethod
    def claims(cls, param, blobs):
        return None if blobs is None else blobs == 2

    shapes = forward = None


class Bvlc(Operator):
    """One of BVLC's, which claims nothing."""

    shapes = forward = None


@pytest.fixture
def shared(monkeypatch):
    """Give two dialects, and for some tests BVLC, the type BN."""
    known = tuple(Dialect(name=name) for name in ("pspnet", "segnet"))
    monkeypatch.setattr(catalogue, "dialects", lambda: known)
    monkeypatch.setattr(catalogue, "_preferred", ())
    classes = [ByFields, ByBlobs]
    monkeypatch.setitem(catalogue._CLASSES, "BN", classes)
    return classes


def chosen(text="", blobs=None):
    param = caffe_pb2.LayerParameter(type="BN")
    if text:
        param.batch_norm_param.SetInParent()
    return catalogue.layer_class("BN", param, lambda: blobs)


def test_the_fields_that_a_layer_gives_decide(shared):
    assert chosen("batch_norm_param") is ByFields


@pytest.mark.parametrize(("blobs", "cls"), [(4, ByFields), (2, ByBlobs)])
def test_the_number_of_blobs_in_the_weights_decides(shared, blobs, cls):
    assert chosen(blobs=blobs) is cls


@pytest.mark.parametrize(("name", "cls"), [("pspnet", ByFields), ("segnet", ByBlobs)])
def test_where_nothing_shows_the_option_decides(shared, name, cls):
    catalogue.prefer_dialects(name)
    assert chosen() is cls


def test_what_shows_is_stronger_than_the_option(shared):
    catalogue.prefer_dialects("segnet")
    assert chosen("batch_norm_param") is ByFields


@pytest.mark.parametrize(("name", "cls"), [("pspnet", ByFields), ("", ByBlobs)])
def test_the_usual_one_is_meant_unless_another_is_preferred(
    shared, monkeypatch, name, cls
):
    monkeypatch.setattr(ByBlobs, "usual", True)
    catalogue.prefer_dialects(*[name] if name else [])
    assert chosen() is cls


def test_without_option_both_are_named(shared):
    expected = r"'BN' is a layer of several dialects \(pspnet, segnet\).*-dialects"
    with pytest.raises(CheckError, match=expected):
        chosen()


def test_a_type_of_bvlcs_stays_bvlcs_where_nothing_shows(shared):
    shared.append(Bvlc)
    assert chosen() is Bvlc


def test_a_dialect_that_is_not_there_is_refused(shared):
    with pytest.raises(CheckError, match="'nope': expected one of pspnet, segnet"):
        catalogue.prefer_dialects("nope")


def test_one_dialect_has_a_type_once():
    with pytest.raises(CheckError, match="'ReLU' is registered twice"):
        catalogue.register("ReLU")(type("Again", (Operator,), {}))


def test_weights_tell_how_many_blobs_each_layer_has(tmp_path):
    from caffe.engine.snapshot import blob_counts

    net = caffe_pb2.NetParameter()
    data = net.layer.add(name="data", type="Input", top=["data"])
    data.input_param.shape.add(dim=[1, 2])
    ip = net.layer.add(name="ip", type="InnerProduct", bottom=["data"], top=["ip"])
    ip.inner_product_param.num_output = 3
    built = caffe.Net(net, caffe.TEST)
    built.save(str(tmp_path / "n.caffemodel"))
    built.save_hdf5(str(tmp_path / "n.caffemodel.h5"))
    for name in ("n.caffemodel", "n.caffemodel.h5"):
        assert blob_counts(tmp_path / name)["ip"] == 2


def test_all_types_that_are_not_known_are_named_at_once():
    net = caffe_pb2.NetParameter()
    for name, kind in (("a", "Nobodys"), ("b", "Unheard"), ("c", "Nobodys")):
        net.layer.add(name=name, type=kind)
    with pytest.raises(
        CheckError, match=r"type 'Nobodys' \(layer 'a' and 1 more\); .*'Unheard' \(la"
    ):
        caffe.Net(net, caffe.TEST)


def test_types_with_a_method_of_their_own_are_listed():
    types = catalogue.types_with("to_onnx")
    assert "Convolution" in types
    assert "HDF5Output" not in types

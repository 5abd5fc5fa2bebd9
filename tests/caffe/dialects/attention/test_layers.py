"""The product of two blobs, against numpy's einsum."""

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import CheckError
from caffe.export import build_module
from caffe.export.onnx import translate
from tests.support.layers import check_gradient, make_layer, run_layer, shapes_of

CASES = {
    "": ((2, 3, 4), (2, 4, 5), "nij,njk->nik"),
    "transpose_a: true": ((2, 4, 3), (2, 4, 5, 6), "nji,njkl->nikl"),
    "transpose_b: true": ((2, 3, 4, 6), (2, 5, 4, 6), "nijl,nkjl->nik"),
    "transpose_a: true transpose_b: true scale: 0.5": (
        (2, 4, 3), (2, 5, 2, 2), "nji,nkab->nik",
    ),
    "scale: -2": ((1, 3, 1), (1, 1, 2), "nij,njk->nik"),
}  # fmt: skip
each = pytest.mark.parametrize(
    ("options", "shapes", "formula"), [(k, v[:2], v[2]) for k, v in CASES.items()]
)


def options_of(text):
    return f"matmul_param {{ {text} }}"


def product(options, first, second, formula):
    scale = float(options.partition("scale: ")[2] or 1)
    if formula == "nji,nkab->nik":  # 2 x 2 places are the 4 terms of the sum
        second, formula = second.reshape(*second.shape[:2], 4), "nji,nkj->nik"
    return scale * np.einsum(formula, first.astype("f8"), second.astype("f8"))


@each
def test_is_the_sum_over_what_both_have(options, shapes, formula):
    first, second = (
        np.random.default_rng(i).normal(size=s) for i, s in enumerate(shapes)
    )
    (top,) = run_layer("MatMul", options_of(options), [first, second])
    wanted = product(options, first.astype("f4"), second.astype("f4"), formula)
    np.testing.assert_allclose(top.numpy(), wanted, rtol=1e-5, atol=1e-5)
    assert shapes_of("MatMul", options_of(options), shapes) == [wanted.shape]


@each
def test_its_gradient_is_the_derivative(options, shapes, formula):
    check_gradient("MatMul", options_of(options), shapes)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (((2, 3, 4), (1, 4, 5)), "as many items in both"),
        (((2,), (2, 4)), "expected 2 or more axes"),
        (((2, 3, 4), (2, 5, 6)), "matrices of 3 x 4 and of 5 x 6 have no product"),
    ],
)
def test_what_has_no_product_is_refused(shapes, reason):
    with pytest.raises(CheckError, match=reason):
        shapes_of("MatMul", "", shapes)


def test_a_product_costs_one_multiplication_a_term():
    layer = make_layer("MatMul", "", bottoms=2)
    assert layer.multiply_adds([(2, 3, 4), (2, 4, 5)], [(2, 3, 5)], []) == 2 * 3 * 5 * 4


@each
def test_other_programs_get_the_same_product(options, shapes, formula):
    onnxruntime = pytest.importorskip("onnxruntime")
    lines = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in shape)
        + " } } }"
        for name, shape in zip("ab", shapes, strict=True)
    ]
    lines.append(
        'layer { name: "y" type: "MatMul" bottom: "a" bottom: "b" top: "y" '
        f"{options_of(options)} }}"
    )
    net = caffe.Net(caffe.parse_net("\n".join(lines)), caffe.TEST)
    arrays = [
        np.random.default_rng(i).normal(size=s).astype("f4")
        for i, s in enumerate(shapes)
    ]
    wanted = product(options, *arrays, formula)
    with torch.no_grad():
        found = build_module(net)(*map(torch.from_numpy, arrays)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    model = translate(net._wiring, dynamic=()).graph.model("net")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, dict(zip("ab", arrays, strict=True)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)

"""What BVLC's own test of `layer_type_list` checks, in our words."""

import caffe


def test_types_that_every_build_has_are_listed():
    known = caffe.layer_type_list()
    assert {"Data", "Convolution", "InnerProduct", "Python"} <= set(known)
    assert all(isinstance(name, str) for name in known)

"""Derived copies are made once, and anew when a parameter may have changed."""

import numpy as np
import torch

from caffe.engine.blob import Blob
from caffe.engine.packing import Packing


def doubled(blob):
    """A packing of one blob, and a function that derives its double."""
    packing, calls = Packing(), []
    packing.blobs = [blob]

    def get(details=None):
        def make():
            calls.append(details)
            return 2 * blob.tensor()

        return packing.get(0, "double", details, make).tolist()

    return get, calls


def filled(*values):
    blob = Blob((len(values),))
    blob.fill(torch.tensor(values))
    return blob


def test_a_copy_is_made_once():
    get, calls = doubled(filled(1.0, 2.0))
    assert get() == get() == [2, 4]
    assert len(calls) == 1


def test_other_details_make_it_anew():
    get, calls = doubled(filled(1.0))
    get("a"), get("b"), get("b")
    assert calls == ["a", "b"]


def test_an_update_in_place_makes_it_anew():
    blob = filled(1.0)
    get, _ = doubled(blob)
    get()
    blob.tensor().sub_(0.5)
    assert get() == [1]


def test_new_values_in_the_same_memory_make_it_anew():
    blob = filled(1.0)
    get, _ = doubled(blob)
    get()
    blob.room().numpy()[...] = 3
    assert get() == [6]


def test_a_view_of_python_makes_it_anew_at_every_use():
    blob = filled(1.0)
    get, calls = doubled(blob)
    get()
    view = blob.data
    assert get() == [2]
    view[...] = np.float32(5)
    assert get() == [10]
    assert len(calls) == 3


def test_values_that_moved_to_the_host_and_changed_there_make_it_anew():
    blob = filled(1.0)
    get, _ = doubled(blob)
    get()
    blob.values()
    blob.tensor().add_(1)
    assert get() == [4]

"""Derived copies are made once, and anew when a parameter may have changed."""

import numpy as np
import pytest
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


def test_what_is_written_through_an_old_view_makes_it_anew():
    blob = filled(1.0)
    get, calls = doubled(blob)
    get()
    view = blob.data
    assert get() == get() == [2]
    assert len(calls) == 1
    view[...] = np.float32(5)
    assert get() == get() == [10]
    assert len(calls) == 2


@pytest.mark.parametrize("asked", [False, True])
def test_what_is_written_through_a_view_that_is_gone_makes_it_anew(asked):
    blob = filled(1.0, 2.0)
    get, calls = doubled(blob)
    get()
    part = torch.from_numpy(blob.data[1:])  # keeps the view alive
    if asked:
        get()
    part += 3
    del part
    assert get() == get() == [2, 10]
    assert len(calls) == 2


def test_a_view_of_memory_that_was_parted_with_changes_nothing():
    blob = filled(1.0)
    get, _ = doubled(blob)
    view = blob.data
    blob.data_memory.part()
    blob.fill(torch.tensor([2.0]))
    view[...] = np.float32(5)
    assert get() == [4]
    assert blob.data.tolist() == [2]


def test_another_memory_makes_it_anew():
    blob, other = filled(1.0), filled(3.0)
    get, _ = doubled(blob)
    get()
    blob.share_data(other)
    assert get() == [6]


def test_not_a_number_is_no_change():
    blob = filled(float("nan"))
    get, calls = doubled(blob)
    view = blob.data
    get(), get()
    assert len(calls) == 1
    assert np.isnan(view).all()


def test_values_that_moved_to_the_host_and_changed_there_make_it_anew():
    blob = filled(1.0)
    get, _ = doubled(blob)
    get()
    blob.values()
    blob.tensor().add_(1)
    assert get() == [4]

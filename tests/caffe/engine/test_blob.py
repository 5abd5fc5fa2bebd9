"""Blobs are memory: what Python holds is what the layers read and write."""

import numpy as np
import pytest
import torch

from caffe.engine.blob import Blob
from caffe.errors import CheckError

CPU = torch.device("cpu")


def test_a_new_blob_is_zero():
    assert Blob((2, 3)).data.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_writing_through_an_old_view_changes_what_a_layer_reads():
    blob = Blob((3,))
    view = blob.data
    assert blob.tensor(CPU).tolist() == [0, 0, 0]
    view[1] = 5
    assert blob.tensor(CPU).tolist() == [0, 5, 0]


def test_an_old_view_sees_what_a_layer_writes_later():
    blob = Blob((3,))
    view = blob.data
    blob.data_memory.put(torch.tensor([1.0, 2.0, 3.0]))
    assert view.tolist() == [1, 2, 3]


def test_handing_out_a_value_does_not_expose_the_memory_of_another_blob():
    shared = torch.tensor([1.0, 2.0])
    first, second = Blob((2,)), Blob((2,))
    first.data_memory.put(shared)
    second.data_memory.put(shared)
    first.data[0] = 9
    assert second.data.tolist() == [1, 2]


def test_a_channels_last_value_is_seen_in_row_major_order():
    value = torch.arange(24.0).view(1, 2, 3, 4)
    blob = Blob((1, 2, 3, 4))
    blob.data_memory.put(value.contiguous(memory_format=torch.channels_last))
    assert blob.data.flags.c_contiguous
    assert blob.data.ravel().tolist() == list(range(24))


def test_reshaping_to_the_same_count_keeps_the_values():
    blob = Blob((2, 2))
    blob.data[...] = [[1, 2], [3, 4]]
    blob.reshape(4)
    assert blob.data.tolist() == [1, 2, 3, 4]


def test_reshaping_to_more_than_ever_before_gives_zeros():
    blob = Blob((2,))
    blob.data[...] = 7
    blob.reshape(3)
    assert blob.data.tolist() == [0, 0, 0]


def test_fewer_numbers_are_the_first_ones_of_the_same_memory():
    blob = Blob((2, 3))
    before = blob.data
    before[...] = [[1, 2, 3], [4, 5, 6]]
    blob.diff[...] = 7
    blob.reshape(1, 3)
    assert blob.data.tolist() == [[1, 2, 3]]
    assert blob.diff.tolist() == [[7, 7, 7]]
    before[0, 1] = 9
    assert blob.tensor(CPU).tolist() == [[1, 9, 3]]
    blob.data_memory.put(torch.tensor([[10.0, 11.0, 12.0]]))
    assert before.tolist() == [[10, 11, 12], [4, 5, 6]]
    blob.reshape(3, 2)
    assert blob.data.tolist() == [[10, 11], [12, 4], [5, 6]]
    assert np.shares_memory(blob.data, before)


def test_a_value_that_nobody_has_seen_yet_stays_in_row_major_order_when_it_shrinks():
    blob = Blob((1, 2, 2, 2))
    blob.fill(torch.arange(8.0).view(1, 2, 2, 2))
    blob.reshape(3)
    assert blob.values().tolist() == [0, 1, 2]
    assert blob.tensor(CPU).tolist() == [0, 1, 2]


def test_blobs_that_share_data_see_each_other_but_keep_their_gradients():
    owner, guest = Blob((2,)), Blob((2,))
    guest.share_data(owner)
    owner.data[...] = 3
    owner.diff[...] = 1
    assert guest.data.tolist() == [3, 3]
    assert guest.diff.tolist() == [0, 0]


def test_the_four_legacy_extents_fill_up_with_one():
    blob = Blob((5, 6))
    assert (blob.num, blob.channels, blob.height, blob.width) == (5, 6, 1, 1)


def test_a_legacy_extent_of_five_axes_is_refused():
    with pytest.raises(CheckError, match="at most 4 axes"):
        _ = Blob((1, 2, 3, 4, 5)).num


def test_a_negative_extent_is_refused():
    with pytest.raises(CheckError, match=r"can't have shape \(2, -1\)"):
        Blob((2,)).reshape(2, -1)


def test_a_value_that_was_not_kept_is_computed_when_it_is_read():
    blob = Blob((2,))
    blob.data_memory.pending = lambda: blob.data_memory.put(torch.tensor([4.0, 5.0]))
    assert np.array_equal(blob.data, [4, 5])


def test_values_to_read_are_row_major_and_do_not_hand_out_the_memory():
    blob = Blob((1, 2, 2, 2))
    blob.fill(torch.arange(8.0).view(1, 2, 2, 2))
    assert blob.tensor(CPU).is_contiguous(memory_format=torch.channels_last)
    assert blob.values().ravel().tolist() == list(range(8))
    assert not blob.data_memory.handed_out
    with pytest.raises(ValueError, match="read-only"):
        blob.values()[...] = 0


def test_filling_a_blob_that_python_holds_is_seen_in_the_old_view():
    blob = Blob((1, 2, 2, 2))
    view = blob.data
    blob.fill(torch.arange(8.0).view(1, 2, 2, 2))
    assert view.ravel().tolist() == list(range(8))


def test_cleared_gradients_are_zero_in_an_old_view_too():
    blob = Blob((2,))
    view = blob.diff
    view[...] = 3
    blob.diff_memory.clear()
    assert view.tolist() == blob.grad_tensor(CPU).tolist() == [0, 0]


class TestRoom:
    @pytest.mark.parametrize(
        "shape", [(), (3,), (2, 3), (4, 3, 2, 2), (4, 3, 1, 1), (2, 1, 3, 3), (2,) * 5]
    )
    @pytest.mark.parametrize("filled", [False, True])
    def test_has_the_layout_that_fill_gives(self, shape, filled):
        blob, other = Blob(shape), Blob(shape)
        other.fill(torch.ones(shape))
        if filled:
            blob.fill(torch.zeros(shape))
        room = blob.room()
        assert room.stride() == other.tensor(CPU).stride()
        room.fill_(1)
        assert np.array_equal(blob.values(), np.ones(shape))

    def test_is_the_memory_that_python_holds(self):
        blob = Blob((4, 3, 2, 2))
        view = blob.data
        blob.room(anew=True).fill_(5)
        assert (view == 5).all()

    def test_is_that_of_the_old_values_or_new(self):
        blob = Blob((4, 3, 2, 2))
        blob.fill(torch.ones(4, 3, 2, 2))
        old = blob.tensor(CPU)
        blob.room(anew=True).fill_(5)
        assert (old == 1).all()
        old = blob.tensor(CPU)
        blob.room().fill_(6)
        assert (old == 6).all()
        assert (blob.data == 6).all()

    def test_is_new_after_the_blob_was_reshaped(self):
        blob = Blob((4, 3, 2, 2))
        blob.fill(torch.ones(4, 3, 2, 2))
        blob.reshape(12, 4)
        blob.room()[...] = torch.arange(48).view(12, 4)
        assert blob.data.ravel().tolist() == list(range(48))

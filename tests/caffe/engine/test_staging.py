"""Batches on their way to a device, with a lane that the test makes up."""

import numpy as np
import pytest
import torch

from caffe.engine.staging import CudaLane, Staging

CPU = torch.device("cpu")


class Lane:
    """Copies at once; what the engine asks of it goes into `calls`."""

    def __init__(self):
        self.calls = []

    def room(self, count, dtype):
        self.calls.append(f"room {count}")
        return torch.empty(count, dtype=dtype)

    def send(self, pinned):
        number = sum(call.startswith("send") for call in self.calls)
        self.calls.append(f"send {number}")
        copies = [part.clone() for part in pinned]
        return copies, lambda: self.calls.append(f"wait {number}")

    def join(self, sent):
        self.calls.append("join")


@pytest.fixture
def lane():
    return Lane()


def batch(*rows):
    return [np.array(row, np.float32) for row in rows]


def test_on_the_cpu_arrays_are_handed_through_without_a_copy():
    staging = Staging(CPU)
    (array,) = batch([1, 2])
    staging.announce([array])
    (tensor,) = staging.take([array])
    array[0] = 7
    assert tensor.tolist() == [7, 2]


def test_an_announced_batch_is_copied_before_it_is_taken_and_only_once(lane):
    staging = Staging(CPU, lane)
    arrays = batch([1, 2], [3])
    staging.announce(arrays)
    staging.announce(list(arrays))
    assert lane.calls == ["room 2", "room 1", "send 0"]
    assert [t.tolist() for t in staging.take(arrays)] == [[1, 2], [3]]
    assert lane.calls[3:] == ["join"]


def test_a_batch_that_was_not_announced_is_copied_when_it_is_taken(lane):
    staging = Staging(CPU, lane)
    staging.announce(batch([1]))
    assert staging.take(batch([2]))[0].tolist() == [2]
    assert lane.calls == ["room 1", "send 0", "room 1", "send 1", "join"]


def test_a_batch_that_is_taken_twice_is_copied_twice(lane):
    staging = Staging(CPU, lane)
    arrays = batch([1])
    staging.take(arrays)
    arrays[0][0] = 5
    assert staging.take(arrays)[0].tolist() == [5]


def test_a_buffer_is_filled_again_only_when_its_copy_has_arrived(lane):
    staging = Staging(CPU, lane)
    for value in range(4):
        assert staging.take(batch([value]))[0].tolist() == [value]
    turns = [call for call in lane.calls if call != "join"]
    assert turns == [
        *("room 1", "send 0", "room 1", "send 1"),
        *("wait 0", "send 2", "wait 1", "send 3"),
    ]


def test_buffers_grow_with_the_batch_and_serve_smaller_ones(lane):
    staging = Staging(CPU, lane)
    for rows in ([1], [1], [1, 2, 3], [1, 2, 3], [[1, 2]], [[1, 2]]):
        (tensor,) = staging.take(batch(rows))
        assert tensor.tolist() == rows
    rooms = [call for call in lane.calls if call.startswith("room")]
    assert rooms == ["room 1", "room 1", "room 3", "room 3"]


def test_types_and_strided_arrays_are_kept(lane):
    staging = Staging(CPU, lane)
    labels = np.arange(6, dtype=np.int64).reshape(2, 3).T
    (tensor,) = staging.take([labels])
    assert tensor.dtype == torch.int64
    assert tensor.tolist() == labels.tolist()


def test_an_empty_batch_is_an_empty_list(lane):
    assert Staging(CPU, lane).take([]) == []


@pytest.mark.gpu
def test_a_gpu_gets_the_same_numbers_batch_for_batch():
    device = torch.device("cuda", 0)
    staging = Staging(device)
    assert isinstance(staging._lane, CudaLane)
    rng = np.random.default_rng(0)
    batches = [[rng.random((8, 500, 500), np.float32)] for _ in range(6)]
    sums = []
    for now, following in zip(batches, [*batches[1:], []], strict=True):
        (tensor,) = staging.take(now)
        staging.announce(following)
        assert tensor.device == device
        sums.append((tensor * 2).cpu().numpy())
    for got, (want,) in zip(sums, batches, strict=True):
        np.testing.assert_array_equal(got, want * 2)

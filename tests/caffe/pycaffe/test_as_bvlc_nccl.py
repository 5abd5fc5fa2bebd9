"""What BVLC's own test of `NCCL` checks, in our words."""

import pytest

import caffe


@pytest.mark.skipif(not caffe.has_nccl(), reason="torch without distributed")
def test_a_uid_is_bytes_and_new_each_time():
    uids = {caffe.NCCL.new_uid() for _ in range(3)}
    assert len(uids) == 3
    assert all(isinstance(uid, bytes) for uid in uids)

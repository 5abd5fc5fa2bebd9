"""Whole nets of Caffe's forks against numbers that the forks computed."""

import pytest

from tests.support.fork_nets import NETS, check_net_case

FOLDERS = sorted(path.parent for path in NETS.glob("*/case.npz"))


@pytest.mark.reference
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_net_agrees_with_its_fork(folder):
    check_net_case(folder)


def test_there_are_nets():
    assert FOLDERS

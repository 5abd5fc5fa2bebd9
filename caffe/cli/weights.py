"""Weights of ``-weights A,B``: of several files, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffe.engine.net import Net


def load(net: Net, names: str) -> None:
    """Load weights into a net that is to answer; warn of what no file gives.

    Parameters
    ----------
    net : Net
    names : str
        Paths with commas between them.

    Raises
    ------
    CaffeError
        If a file cannot be read or does not fit the net.
    """
    from caffe.engine import gaps, snapshot

    paths = [path.strip() for path in names.split(",")]
    left = snapshot.copy_trained_from(net, paths[0])
    for path in paths[1:]:
        left = gaps.both(left, snapshot.copy_trained_from(net, path))
    gaps.warn(left, ",".join(paths))

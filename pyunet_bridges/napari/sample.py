"""Sample data: a small stack that looks like electron micrographs, and its truth."""

from __future__ import annotations

from pyunet_bridges.napari.reading import LayerData

SLICES, SIZE = 8, 320


def synthetic_layers() -> list[LayerData]:
    """Make the images and their labels, 1 inside of cells.

    Returns
    -------
    list of (array, settings, kind of layer)
    """
    from pyunet_synthetic.membranes import synthetic_stack

    images, labels = synthetic_stack(SLICES, SIZE, rng=0)
    return [
        (images, {"name": "synthetic"}, "image"),
        ((labels > 0).astype(int), {"name": "synthetic truth", "visible": False},
         "labels"),
    ]  # fmt: skip

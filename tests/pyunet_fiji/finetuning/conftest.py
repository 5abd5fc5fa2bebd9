"""ROIs as ImageJ stores them."""

import io

import numpy as np
import pytest
import tifffile


@pytest.fixture
def picture_roi():
    """Give a function from a label image to a ROI that holds it as a picture."""
    roifile = pytest.importorskip("roifile")

    def make(labels, **changes):
        memory = io.BytesIO()
        tifffile.imwrite(memory, np.asarray(labels), byteorder=">", metadata=None)
        roi = roifile.ImagejRoi(
            roitype=roifile.ROI_TYPE.RECT,
            subtype=roifile.ROI_SUBTYPE.IMAGE,
            bottom=len(labels),
            right=len(labels[0]),
            **changes,
        )
        return roi.tobytes() + memory.getvalue()

    return make

"""OME's XML says how large pixels are, or nothing."""

import numpy as np
import pytest
import tifffile

from pyunet.data.images import read_stack
from pyunet.data.ome import ome_pixel_size


def ome(**attributes):
    listed = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<OME xmlns="http://x/OME/2016-06"><Image><Pixels {listed}/></Image></OME>'


def test_a_file_of_tifffile_is_read(tmp_path):
    path = tmp_path / "a.ome.tif"
    size = {"PhysicalSizeX": 4, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.005,
            "PhysicalSizeZ": 0.05, "axes": "ZYX"}  # fmt: skip
    tifffile.imwrite(path, np.zeros((3, 8, 9), np.uint8), metadata=size)
    found = read_stack(path).resolution
    assert (found.x, found.y) == pytest.approx((250, 200))
    assert (found.unit_name, found.spacing) == ("um", 0.05)


@pytest.mark.parametrize("unit", ["\u00b5m", "\u03bcm", "um"])
def test_micrometres_have_three_names(unit):
    text = ome(PhysicalSizeX=2, PhysicalSizeY=3, PhysicalSizeXUnit=unit)
    assert ome_pixel_size(text) == (None, 3, 2)


@pytest.mark.parametrize(
    "text",
    [
        "no xml",
        "<OME/>",
        ome(PhysicalSizeX=1),
        ome(PhysicalSizeX="wide", PhysicalSizeY=1),
        ome(PhysicalSizeX=0, PhysicalSizeY=1),
        ome(PhysicalSizeX=1, PhysicalSizeY=1, PhysicalSizeYUnit="pixel"),
        '<!DOCTYPE a [<!ENTITY b "c">]>' + ome(PhysicalSizeX=1, PhysicalSizeY=1),
    ],
)
def test_what_does_not_say_it_says_nothing(text):
    assert ome_pixel_size(text) is None

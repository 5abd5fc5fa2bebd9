"""Files of every kind that data sets come in."""

import gzip
import sys
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import io as matlab

from pyunet.errors import DataError
from pyunet_reproduce.formats import fit, read_array

PLANE = np.arange(12, dtype=np.uint8).reshape(3, 4)
VOLUME = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


class TestPictures:
    @pytest.mark.parametrize("end", [".png", ".bmp", ".pgm", ".gif", ".tif"])
    def test_of_grey_have_one_channel(self, tmp_path, end):
        path = tmp_path / f"a{end}"
        Image.fromarray(PLANE).save(path)
        np.testing.assert_array_equal(read_array(path), PLANE[None])

    @pytest.mark.parametrize("end", [".png", ".ppm", ".tif"])
    def test_of_colour_have_three(self, tmp_path, end):
        path = tmp_path / f"a{end}"
        Image.fromarray(COLOUR).save(path)
        np.testing.assert_array_equal(read_array(path), COLOUR.transpose(2, 0, 1))

    def test_may_be_gzipped(self, tmp_path):
        Image.fromarray(PLANE).save(tmp_path / "a.pgm")
        path = tmp_path / "a.pgm.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.pgm").read_bytes()))
        np.testing.assert_array_equal(read_array(path), PLANE[None])

    def test_of_one_bit_are_0_and_255(self, tmp_path):
        Image.fromarray(PLANE > 5).save(tmp_path / "a.png")
        assert np.unique(read_array(tmp_path / "a.png")).tolist() == [0, 255]

    def test_with_a_palette_are_colours_or_numbers(self, tmp_path):
        image = Image.fromarray(PLANE % 2).convert("P")
        image.putpalette([0, 0, 0, 200, 10, 20])
        image.save(tmp_path / "a.png")
        colours = read_array(tmp_path / "a.png")
        assert colours[:, 0, 1].tolist() == [200, 10, 20]
        numbers = read_array(tmp_path / "a.png", indices=True)
        np.testing.assert_array_equal(numbers[0], PLANE % 2)

    def test_that_are_damaged_are_refused(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(b"no picture")
        with pytest.raises(DataError, match=r"a\.png: is no PNG or JPEG"):
            read_array(path)


class TestVolumes:
    def test_of_tiff_stacks(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", VOLUME, photometric="minisblack")
        np.testing.assert_array_equal(read_array(tmp_path / "a.tif"), VOLUME[None])

    def test_of_nifti_begin_with_z(self, tmp_path):
        nibabel = pytest.importorskip("nibabel")
        image = nibabel.Nifti1Image(VOLUME.T.copy(), np.eye(4))
        nibabel.save(image, tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(read_array(tmp_path / "a.nii.gz"), VOLUME[None])

    def test_of_nifti_need_nibabel(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "nibabel", None)
        with pytest.raises(DataError, match=r"pip install pyunet\[nifti\]"):
            read_array(tmp_path / "a.nii")

    def test_of_damaged_nifti_are_refused(self, tmp_path):
        pytest.importorskip("nibabel")
        (tmp_path / "a.nii").write_bytes(b"nothing")
        with pytest.raises(DataError, match="is not a NIfTI file"):
            read_array(tmp_path / "a.nii")

    @pytest.mark.parametrize("compressed", [False, True])
    def test_of_meta_image_with_its_data_beside_it(self, tmp_path, compressed):
        raw = VOLUME.astype("<i2").tobytes()
        (tmp_path / "a.raw").write_bytes(zlib.compress(raw) if compressed else raw)
        (tmp_path / "a.mhd").write_text(
            "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
            f"CompressedData = {compressed}\nElementDataFile = a.raw\n"
        )
        np.testing.assert_array_equal(read_array(tmp_path / "a.mhd"), VOLUME[None])

    def test_of_meta_image_with_its_data_inside(self, tmp_path):
        head = (
            b"NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
            b"BinaryDataByteOrderMSB = True\nElementDataFile = LOCAL\n"
        )
        (tmp_path / "a.mha").write_bytes(head + VOLUME.astype(">i2").tobytes())
        np.testing.assert_array_equal(read_array(tmp_path / "a.mha"), VOLUME[None])


class TestArrays:
    def test_of_numpy(self, tmp_path):
        np.save(tmp_path / "a.npy", PLANE)
        np.savez(tmp_path / "a.npz", x=COLOUR, y=PLANE)
        np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), PLANE[None])
        picture = read_array(tmp_path / "a.npz", name="x")
        np.testing.assert_array_equal(picture, COLOUR.transpose(2, 0, 1))

    def test_of_several_need_a_name(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=COLOUR, y=PLANE)
        with pytest.raises(DataError, match="has x, y; expected one array"):
            read_array(tmp_path / "a.npz")
        with pytest.raises(DataError, match="has x, y; expected 'z'"):
            read_array(tmp_path / "a.npz", name="z")

    def test_of_matlab(self, tmp_path):
        matlab.savemat(tmp_path / "a.mat", {"inst_map": PLANE, "more": [1]})
        found = read_array(tmp_path / "a.mat", name="inst_map")
        np.testing.assert_array_equal(found, PLANE[None])

    def test_of_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["group/volume"] = VOLUME
        np.testing.assert_array_equal(read_array(tmp_path / "a.h5"), VOLUME[None])

    def test_of_pickles_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
        with pytest.raises(DataError, match="holds object"):
            read_array(tmp_path / "a.npy")

    def test_of_words_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([["a"]]))
        with pytest.raises(DataError, match="expected numbers"):
            read_array(tmp_path / "a.npy")


class TestOutlines:
    def test_of_aperio_become_numbered_regions(self, tmp_path):
        def region(*corners):
            points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
            return f"<Region><Vertices>{points}</Vertices></Region>"

        regions = region((0, 0), (2, 0), (2, 2), (0, 2)) + region(
            (4, 4), (6, 4), (6, 6)
        )
        text = f"<Annotations><Regions>{regions}</Regions></Annotations>"
        (tmp_path / "a.xml").write_text(text)
        found = read_array(tmp_path / "a.xml")
        assert (found[0, 1, 1], found[0, 4, 5], found[0, 6, 0]) == (1, 2, 0)
        assert fit(found, (9, 5)).shape == (1, 9, 5)

    def test_without_a_region_are_refused(self, tmp_path):
        (tmp_path / "a.xml").write_text("<Annotations/>")
        with pytest.raises(DataError, match="has no region"):
            read_array(tmp_path / "a.xml")

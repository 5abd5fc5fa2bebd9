"""Small synthetic folders in the layouts of published data sets.

A layout is a list of (path, maker): ``{n}`` in a path is the image's number. Makers
are functions from numpy's generator to an array, or to text for ``.txt`` and ``.xml``.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import io as matlab

SIZE = (44, 52)
DEPTH = 5


def blob(rng):
    """Give a disc at a random place, of which no image has the same."""
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    cy, cx = rng.integers(15, 28), rng.integers(15, 36)
    return (y - cy) ** 2 + (x - cx) ** 2 < 120


def grey(rng):
    return rng.integers(0, 256, SIZE, np.uint8)


def rgb(rng):
    return rng.integers(0, 256, (*SIZE, 3), np.uint8)


def rgbt(rng):
    return rng.integers(0, 256, (*SIZE, 4), np.uint8)


def eye(rng):
    """Give a fundus photograph: black outside a disc."""
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    inside = (y - 22) ** 2 + (x - 26) ** 2 < 400
    return (rng.integers(90, 256, (*SIZE, 3)) * inside[..., None]).astype(np.uint8)


def mask255(rng):
    return blob(rng).astype(np.uint8) * 255


def mask1(rng):
    return blob(rng).astype(np.uint8)


def inverse255(rng):
    return 255 - mask255(rng)


def everywhere(rng):
    del rng
    return np.full(SIZE, 255, np.uint8)


def classes(count, *values):
    def make(rng):
        chosen = np.array(values or range(count), np.uint8)
        return chosen[rng.integers(0, len(chosen), SIZE)]

    return make


def things(rng):
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[blob(rng)] = (255, 0, 0)
    picture[:5] = 255
    return picture


def instances(rng):
    result = np.zeros(SIZE, np.uint16)
    result[5:15, 5:25] = 1
    result[5:15, 25:40] = 2
    result[25:35, 8:30] = 1 + rng.integers(2, 5)
    return result


def stack(make, depth=DEPTH):
    return lambda rng: np.stack([make(rng) for _ in range(depth)])


def hounsfield(rng):
    return rng.integers(-1000, 1000, (DEPTH, *SIZE)).astype(np.int16)


def slice_hu(rng):
    return rng.integers(-1000, 1000, SIZE).astype(np.float32)


def names(*lines):
    return lambda rng: "".join(f"{line}\n" for line in lines)


def both(pattern, parts, *makers):
    """Give the same files in several parts: ``{p}`` in the pattern is the part."""
    return [
        (path.replace("{p}", part), make)
        for part in parts
        for path, make in zip(pattern, makers, strict=True)
    ]


TRAIN_TEST = ("train", "test")
EYES = ("images/{n}_x.tif", "1st_manual/{n}_manual1.gif", "mask/{n}_x_mask.gif")
LAYOUTS = {
    "drive": both(
        [f"{{p}}/{e}" for e in EYES], ("training", "test"), eye, mask255, everywhere
    ),
    "stare": [
        ("stare-images/im000{n}.ppm", eye),
        ("labels-ah/im000{n}.ah.pgm", mask255),
        ("fov_masks/{n}.gif", everywhere),
    ],
    "chase_db1": [
        ("images/Image_0{n}L.jpg", eye),
        ("manual/Image_0{n}L_1stHO.png", mask255),
        ("manual/Image_0{n}L_2ndHO.png", everywhere),
    ],
    "isbi2012": [("train/{n}.tif", grey), ("label/{n}.tif", mask255)],
    "isbi2012_full": [
        ("train-volume.tif", stack(grey)),
        ("train-labels.tif", stack(mask255)),
    ],
    "polyps": both(
        ["TrainDataset/image/{n}.png", "TrainDataset/mask/{n}.png"], [""], rgb, mask255
    )
    + both(
        ["TestDataset/{p}/images/{n}.png", "TestDataset/{p}/masks/{n}.png"],
        ("Kvasir", "CVC-ClinicDB"), rgb, mask255,
    ),
    "kvasir_instrument": [
        ("images/k{n}.jpg", rgb), ("masks/k{n}.png", mask255),
        ("train.txt", names("k1", "k2")), ("test.txt", names("k3")),
    ],
    "rite": both(
        ["{p}/images/0{n}_x.tif", "{p}/vessel/0{n}_x.png"], ("training", "test"),
        eye, mask255,
    ),
    "atlas": [
        ("c000{n}/c000{n}s1t01/c000{n}_t1w_stx.nii.gz", stack(grey)),
        ("c000{n}/c000{n}s1t01/c000{n}_LesionSmooth_stx.nii.gz", stack(mask1)),
        ("c000{n}/c000{n}s1t01/c000{n}_LesionSmooth_1_stx.nii.gz", stack(mask1)),
    ],
    "brain_mri": [
        (f"TCGA_CS_494{{n}}_19/TCGA_CS_494{{n}}_19_{z}{end}.tif", make)
        for z in (1, 2)
        for end, make in (("", rgb), ("_mask", mask255))
    ],
    "rose1_svc": both(
        ["ROSE-1/SVC/{p}/img/0{n}.tif", "ROSE-1/SVC/{p}/gt/0{n}.tif"], TRAIN_TEST,
        grey, mask255,
    ),
    "rose1_dvc": both(
        ["ROSE-1/DVC/{p}/img/0{n}.tif", "ROSE-1/DVC/{p}/gt/0{n}.tif"], TRAIN_TEST,
        grey, mask255,
    ),
    "rose1_svc_dvc": both(
        ["SVC_DVC/{p}/img/0{n}.png", "SVC_DVC/{p}/gt/0{n}.tif"], TRAIN_TEST,
        grey, mask255,
    ),
    "rose2": both(
        ["ROSE-2/{p}/original/0{n}.png", "ROSE-2/{p}/gt/0{n}.png"], TRAIN_TEST,
        grey, mask255,
    ),
    "ct150": [
        ("images/{n}.nii.gz", hounsfield), ("labels/{n}.nii.gz", stack(mask1)),
    ],
    "pancreas_ct": [
        ("images/PANCREAS_000{n}.nii.gz", hounsfield),
        ("labels/label000{n}.nii.gz", stack(mask1)),
    ],
    "sun_seg": [
        (f"{top}/{kind}/case{{n}}/f_0{{n}}.{end}", make)
        for top in (
            "TrainDataset", "TestEasyDataset/Seen", "TestEasyDataset/Unseen",
            "TestHardDataset/Seen", "TestHardDataset/Unseen",
        )
        for kind, end, make in (("Frame", "jpg", rgb), ("GT", "png", mask255))
    ],
    "luna": [("2d_images/I{n}.tif", slice_hu), ("2d_masks/I{n}.tif", mask255)],
    "skin_lesion": [
        (f"ISIC-2017_{part}/ISIC_000{{n}}{end}", make)
        for part, end, make in (
            ("Training_Data", ".jpg", rgb),
            ("Training_Data", "_superpixels.png", rgb),
            ("Training_Part1_GroundTruth", "_segmentation.png", mask255),
            ("Test_v2_Data", ".jpg", rgb),
            ("Test_v2_Part1_GroundTruth", "_segmentation.png", mask255),
        )
    ],
    "snemi3d": [
        ("train-input.tif", stack(grey, 82)),
        ("train-labels.tif", stack(instances, 82)),
    ],
    "grass": both(
        ["{p}/images/{n}.jpg", "{p}/labels/{n}.png"], TRAIN_TEST, rgb, classes(5)
    ),
    "selma": both(
        ["{p}/images/t/{n}.jpg", "{p}/labels/t/{n}.png"], TRAIN_TEST,
        rgb, classes(0, 7, 8, 11, 33, 0, 255),
    ),
    "event_based": both(
        ["images/{p}/a/{n}.png", "labels/{p}/a/{n}.png"], TRAIN_TEST,
        grey, classes(0, 0, 1, 5, 255),
    ),
    "urbanlf": both(
        ["UrbanLF-Real/{p}/I{n}/5_5.png", "UrbanLF-Real/{p}/I{n}/label.png"],
        TRAIN_TEST, rgb, classes(14),
    ) + both(
        ["UrbanLF-Syn/{p}/I{n}/5_5.png", "UrbanLF-Syn/{p}/I{n}/5_5_label.npy"],
        TRAIN_TEST, rgb, classes(14),
    ),
    "skyscapes": both(
        ["{p}/images/{n}.png", "{p}/labels/{n}.png"], ("train", "val"),
        rgb, classes(20),
    ),
    "bjroad": both(
        ["{p}/image/{n}_1_sat.png", "{p}/mask/{n}_1_mask.png"],
        ("train_val", "test"), rgb, mask255,
    ),
    "trans10k": both(
        ["{p}/images/{n}.jpg", "{p}/masks/{n}_mask.png"], ("train", "validation"),
        rgb, things,
    ),
    "pst900": both(
        ["{p}/rgb/{n}.png", "{p}/thermal/{n}.png", "{p}/labels/{n}.png"], TRAIN_TEST,
        rgb, grey, classes(5),
    ),
    "mfn": [
        ("images/0000{n}D.png", rgbt), ("labels/0000{n}D.png", classes(9)),
        ("train.txt", names("00001D", "00002D")), ("test.txt", names("00003D")),
    ],
    "crackvision12k": both(
        ["{p}/IMG/{n}.png", "{p}/GT/{n}.png"], TRAIN_TEST, rgb, mask255
    ),
    "dis5k": both(
        ["{p}/im/a#{n}.jpg", "{p}/gt/a#{n}.png"],
        ("DIS-TR", "DIS-VD", "DIS-TE1", "DIS-TE2", "DIS-TE3", "DIS-TE4"),
        rgb, mask255,
    ),
    "crag": both(
        ["{p}/Images/train_{n}.png", "{p}/Annotation/train_{n}.png"],
        ("train", "valid"), rgb, instances,
    ),
    "kumar": both(
        ["{p}/Images/TCGA-{n}.tif", "{p}/Labels/TCGA-{n}.mat"],
        ("train", "test_same", "test_diff"), rgb, instances,
    ),
}  # fmt: skip
# of the layouts where the split wants more than the usual three images
COUNTS = {
    "chase_db1": 22, "isbi2012": 5, "atlas": 5, "luna": 5, "brain_mri": 10,
    "ct150": 122, "pancreas_ct": 63,
}  # fmt: skip


def make_layout(name, folder, *, count=None, seed=0):
    """Write the files of a layout, for images 1 .. count."""
    rng = np.random.default_rng(seed)
    for number in range(1, 1 + (count or COUNTS.get(name, 3))):
        for pattern, make in LAYOUTS[name]:
            path = Path(folder, pattern.format(n=number))
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, make(rng))
    return Path(folder)


def write(path, content):
    """Write a file of the kind that its name says."""
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif ".nii" in path.name:
        import nibabel

        # x, y, z in the file
        nibabel.save(nibabel.Nifti1Image(content.T.copy(), np.eye(4)), path)
    elif path.suffix in (".tif", ".tiff"):
        colour = content.ndim == 3 and content.shape[-1] == 3
        kind = "rgb" if colour else "minisblack"
        tifffile.imwrite(path, content, photometric=kind)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".mat":
        matlab.savemat(path, {"inst_map": content.astype(float), "other": [1]})
    elif path.suffix == ".gz":
        plain = path.with_suffix("")
        Image.fromarray(content).save(plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    else:
        Image.fromarray(content).save(path)

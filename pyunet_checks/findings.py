"""What can be wrong with a data set: what it means for training, how it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyunet.errors import shown

MOST_NAMES = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        Key of `KINDS`.
    where : str
        File, slice or set.
    what : str
        What was found there, with its numbers.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        """Give three lines for a person."""
        means, mend = KINDS[self.kind]
        return (
            f"[{self.kind}] {shown(self.where)}: {shown(self.what)}\n"
            f"    means: {means}\n    mend:  {mend}"
        )


def report(findings: Sequence[Finding]) -> str:
    """Write the findings of one kind together, with their meaning once.

    Examples
    --------
    >>> print(report([Finding("empty", "a", "no file"), Finding("empty", "b", "none")]))
    [empty] a: no file
    [empty] b: none
        means: there is nothing to train on
        mend:  give the folder that holds the images
    """
    lines = []
    kinds = list(dict.fromkeys(finding.kind for finding in findings))
    for kind in kinds:
        same = [finding for finding in findings if finding.kind == kind]
        lines += [
            f"[{kind}] {shown(f.where)}: {shown(f.what)}" for f in same[:MOST_NAMES]
        ]
        if len(same) > MOST_NAMES:
            lines.append(f"[{kind}] ... and {len(same) - MOST_NAMES} more")
        means, mend = KINDS[kind]
        lines += [f"    means: {means}", f"    mend:  {mend}"]
    return "\n".join(lines)


def listed(names: Sequence[object]) -> str:
    """Write some names, and how many more there are.

    >>> listed([1, 2]), listed(range(9))
    ('1, 2', '0, 1, 2, 3 and 5 more')
    """
    shown = ", ".join(map(str, names[:MOST_NAMES]))
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


KINDS: dict[str, tuple[str, str]] = {
    # files
    "missing": (
        "nothing can be read",
        "correct the path; relative paths count from the folder you are in",
    ),
    "empty": (
        "there is nothing to train on",
        "give the folder that holds the images",
    ),
    "unreadable": (
        "training would stop there, or never start",
        "copy the file again from its source, or take it and its partner out",
    ),
    "count": (
        "images and labels are paired in order, so all pairs behind the gap are wrong",
        "take out what has no partner, or add what is missing",
    ),
    "stack": (
        "a stack and a single image cannot be paired",
        "give both as stacks, or both as folders of single images",
    ),
    "names": (
        "files are paired in natural order of their names; here that pairs strangers",
        "give an image and its label the same name or number",
    ),
    "sizes": (
        "a label must say something about every pixel of its image",
        "export the labels again at the image's size; never resize labels smoothly",
    ),
    "mixed-sizes": (
        "HDF5 files and stacks hold images of one size only",
        "crop or pad all to one size, or make one set for each size",
    ),
    "axes": (
        "height, width, channels or slices are taken for one another",
        "store slices first, then channels, then rows, then columns (TIFF axes ZCYX)",
    ),
    "too-small": (
        "most of a tile would be a mirror image of its border",
        "take a net with smaller tiles, or larger images",
    ),
    "mixed-colour": (
        "the net has a fixed number of input channels",
        "turn all into grey, or all into RGB",
    ),
    "mixed-depth": (
        "the same grey value means different brightness in different files",
        "store all with one bit depth",
    ),
    "same-as-labels": (
        "the net would learn to copy, and fail on real images",
        "give the images first, then the labels",
    ),
    # grey values
    "not-finite": (
        "one NaN makes the loss, then every weight of the net NaN",
        "replace NaN and infinite values, e.g. by 0, or leave the image out",
    ),
    "range": (
        "values are mapped from smallest..largest to 0..1, by each set in its own way",
        "store 8 or 16 bit, or floats scaled to 0..1 in the same way for all sets",
    ),
    "bits": (
        "after scaling to 0..1 the net sees almost black images and learns slowly",
        "multiply the values so that they fill their type (12 bit in 16: times 16)",
    ),
    "constant-image": (
        "there is nothing to see on it, but its labels are learnt all the same",
        "export the image again, or leave it and its label out",
    ),
    "flat-image": (
        "its contrast is lost against that of the other images",
        "check exposure and export; stretch its contrast or leave it out",
    ),
    "inverted-image": (
        "dark means there what bright means elsewhere, and the net learns both",
        "invert the image (255 - value)",
    ),
    "exposure": (
        "its brightness lies far from that of the others",
        "check whether it belongs to the set; normalise brightness, or leave it out",
    ),
    "grey-as-colour": (
        "three equal channels make the first layer three times as large, for nothing",
        "store the images as grey",
    ),
    "dead-channel": (
        "a channel without content is no input",
        "leave the channel out, or export it again",
    ),
    "duplicate": (
        "the same image counts twice, and may lie in training and test at once",
        "keep one of them",
    ),
    # labels
    "label-colour": (
        "a colour is no class number",
        "store one number a pixel: 0, 1, 2, ... as grey or palette image",
    ),
    "label-fractions": (
        "a class is a whole number; fractions come from smooth resizing or scaling",
        "export the labels again, resized with nearest neighbour only",
    ),
    "label-negative": (
        "there is no class below 0; Caffe would read outside the scores",
        "number the classes 0, 1, 2, ...",
    ),
    "label-jpeg": (
        "lossy compression has put thousands of pixels into classes that do not exist",
        "export again as PNG or TIFF; or threshold the values back to what they were",
    ),
    "label-interpolated": (
        "smooth resizing has put values between the classes at every border",
        "resize labels with nearest neighbour; or threshold the values back",
    ),
    "label-constant": (
        "with one class the net learns to answer always the same",
        "check that these are the labels, and that they were not cut off to one value",
    ),
    "label-empty": (
        "an image without any label teaches that there is nothing on it",
        "label the image, or leave it out (keep it if there really is nothing)",
    ),
    "label-values": (
        "the numbers are neither 0/1, nor 0/255, nor 0, 1, 2, ...",
        "number the classes 0, 1, 2, ... without gaps",
    ),
    "label-mixed": (
        "the same class has different numbers in different files",
        "store all labels with the same values",
    ),
    "label-beyond": (
        "the net has no output for this class; Caffe stops, or reads beyond the scores",
        "renumber the classes, or raise num_output of the last layer",
    ),
    "label-stray": (
        "a few pixels form a class of their own, which gets a huge balanced weight",
        "correct these pixels; they are often slips of the brush",
    ),
    "class-missing": (
        "on this image the class is taught to be absent",
        "check that the class was labelled there, too",
    ),
    "polarity": (
        "inside and outside are exchanged, so that the net learns the opposite",
        "invert the labels, or say --inside 0 to `pyunet data make`",
    ),
    "mixed-polarity": (
        "the net is taught one thing by some labels and the opposite by others",
        "invert these labels",
    ),
    "objects-merged": (
        "objects that touch have one label, so the net never learns to part them",
        "label every object by itself, with background of one pixel between them",
    ),
    "id-reused": (
        "one number marks several objects; the weight map sees no border between them",
        "give every object of an image its own number",
    ),
    # images and labels together
    "label-shifted": (
        "the net learns borders beside the borders",
        "move the labels back; check the export's offset or cropping",
    ),
    "label-turned": (
        "labels lie across their images, so nothing can be learnt",
        "turn the labels back (often rows and columns were exchanged)",
    ),
    "label-foreign": (
        "these labels fit another image better than their own",
        "check the order of both folders; pad numbers with zeros",
    ),
    # weights
    "weights-zero": (
        "nothing there counts in the loss, so nothing is learnt from it",
        "make the weights again, or leave the image out",
    ),
    "weights-class-zero": (
        "every pixel of a class counts nothing; the net is free to never answer it",
        "give each class a weight above 0",
    ),
    "weights-negative": (
        "the net is rewarded for errors there, and the loss falls without end",
        "weights are 0 or more; check for overflow of signed bytes",
    ),
    "weights-huge": (
        "single pixels decide on the direction of every step; training explodes",
        "scale the weights to about 1, with borders of about 10",
    ),
    "weights-foreign": (
        "the weights stress borders that are not those of the labels",
        "make the weights again from these labels, in the same order and orientation",
    ),
    # training against test
    "leak-equal": (
        "the test would ask what the net has seen; its scores are worthless",
        "take the image out of one of the two sets",
    ),
    "leak-similar": (
        "the test image is a changed or shifted copy of a training image",
        "split by specimen or recording, before any augmentation or cropping",
    ),
    "test-differs": (
        "the net is tested on another kind of image than it was trained on",
        "export training and test images in the same way",
    ),
    # HDF5
    "no-hdf5": (
        "Caffe stops when it opens the file",
        "make the set with `pyunet data make`",
    ),
    "list-empty": (
        "the list file names no HDF5 file",
        "write one path a line",
    ),
    "list-path": (
        "Caffe looks for it from the folder where it is started, and stops",
        "start in the other folder, or correct the list",
    ),
    "no-dataset": (
        "HDF5Data finds its tops by the names of the datasets, and stops",
        "name the datasets data, label and, for weighted losses, weights",
    ),
    "dtype": (
        "HDF5Data reads whole numbers and floats only",
        "store data as float32 (or float16, uint8), labels as whole numbers",
    ),
    "rows": (
        "a row is a sample; the sets of a file must have equally many",
        "write the file again",
    ),
    "file-shapes": (
        "files of different shapes cannot make one batch",
        "write all files with one shape, or use batch_size 1",
    ),
    "tile-shapes": (
        "labels must be those of the middle of the tile, one number a pixel",
        "labels and weights are (N, 1, Y, X), no larger than data, by even differences",
    ),
    "scale": (
        "one part of the set is 255 times as bright as the other",
        "scale all data in the same way, to 0..1",
    ),
    "rank": (
        "Caffe's layers want samples and channels first",
        "store data as (N, C, Y, X) or (N, C, Z, Y, X)",
    ),
}

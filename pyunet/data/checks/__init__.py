"""Look at a data set before training, and say in plain words what is wrong with it.

`check_images` reads images, labels, weights and test images as they lie on the disk;
`check_training_set` reads HDF5 files as Caffe does. Both give findings: what was found
where, what it means for training, and how to mend it. A set without findings can be
trained on. Nothing is changed.
"""

from pyunet.data.checks.findings import KINDS, Finding, report
from pyunet.data.checks.folders import check_images
from pyunet.data.checks.hdf5 import check_training_set

__all__ = ["KINDS", "Finding", "check_images", "check_training_set", "report"]

"""Look at a data set before training, and say in plain words what is wrong with it.

`folders` reads images, labels, weights and test images as they lie on the disk;
`hdf5` reads HDF5 files as Caffe does. Both give findings: what was found
where, what it means for training, and how to mend it. A set without findings can be
trained on. Nothing is changed.
"""

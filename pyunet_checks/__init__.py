"""Look at a data set before training, and say in plain words what is wrong with it.

`folders` reads images, labels, weights and test images from files and folders;
`hdf5` reads HDF5 files as Caffe does. Both return findings: what is
wrong where, what it means for training, and how to fix it. A set without findings can
be trained on. Nothing is changed.
"""

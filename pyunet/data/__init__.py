"""Training data: readers, labels, weight maps, augmentation, HDF5 files."""

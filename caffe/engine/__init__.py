"""What stands behind pycaffe's face: blobs, layers, nets, solvers, files."""

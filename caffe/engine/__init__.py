"""What stands behind pycaffe's face: blobs, layers, nets, solvers, files."""

import os

# Large pages for large tensors, where the system offers them: a step of a wide U-Net
# spends 5 % of its time less. torch looks at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

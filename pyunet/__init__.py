"""U-Net around Caffe's files: training data, overlap-tile segmentation and scores.

The package speaks to ``caffe`` by pycaffe's public names only. Its parts are
imported where they are used: ``pyunet.data``, ``pyunet.inference`` and
``pyunet.metrics``; the command is ``pyunet`` (``pyunet.cli``).
"""

__version__ = "0.3.0"

"""Caffe's files: the schema and what reads, upgrades and writes them. Loads no torch.

===============  ==============================================================
``caffe_pb2``    the messages (``caffe.proto``)
``text``         ``.prototxt`` text to message and back
``files``        nets, solvers and trained nets from files, upgraded
``upgrade``      nets and solvers of older Caffe versions to today's form
===============  ==============================================================
"""

from caffe.proto import caffe_pb2 as caffe_pb2

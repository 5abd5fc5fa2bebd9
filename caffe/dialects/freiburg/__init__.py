"""What Freiburg's caffe_unet added: random deformations and grey values, measures."""

from caffe.dialects import Dialect

dialect = Dialect(name="freiburg", layers="caffe.dialects.freiburg.layers")

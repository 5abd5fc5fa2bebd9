"""Python layers as users write them, for the tests of the layer `Python`."""

import numpy as np

import caffe


class TimesTen(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class FailsInSetup(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("the user's own words")


class HasParameter(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class TellsPhase(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class TimesParameter(caffe.Layer):
    """Multiplies by `param_str`; fails with ValueError where that is no number."""

    def setup(self, bottom, top):
        self.value = float(self.param_str)
        assert self.param_str_ == self.param_str

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.value * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.value * top[0].diff


class HalfSquaredDistance(caffe.Layer):
    """The EuclideanLoss of Caffe's documentation, written by a user."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.diff / bottom[i].num


class Bare(caffe.Layer):
    pass


class NoLayer:
    pass


class Line(caffe.Layer):
    """Points and their values on a plane: a data layer, options in `param_str`."""

    def setup(self, bottom, top):
        options = eval(self.param_str)
        self.batch = options["batch"]
        self.rng = np.random.default_rng(options["seed"])

    def reshape(self, bottom, top):
        top[0].reshape(self.batch, 2)
        top[1].reshape(self.batch, 1)

    def forward(self, bottom, top):
        top[0].data[...] = self.rng.standard_normal((self.batch, 2))
        top[1].data[...] = top[0].data.sum(axis=1, keepdims=True) + 1

    def backward(self, top, propagate_down, bottom):
        pass

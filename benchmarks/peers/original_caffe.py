"""The original Caffe, by BVLC pycaffe's public names only; nothing newer than it."""

import os

import numpy

import caffe


def set_up(request):
    """Set up a net or a solver of the prototxt files as they are for BVLC's Caffe."""
    caffe.set_mode_cpu()
    about = {"file": caffe.__file__, "version": getattr(caffe, "__version__", "?")}
    if request["kind"] == "training":
        solver = caffe.get_solver(str(request["bvlc_solver"]))
        return {"step": lambda: solver.step(1), "scores": None, "about": about}
    material = request["material"]
    net = caffe.Net(
        str(request["deploy"]),
        str(os.path.join(material, "weights.caffemodel")),  # noqa: PTH118
        caffe.TEST,
    )
    image = numpy.load(os.path.join(material, "input.npy"))  # noqa: PTH118
    source, output = net.inputs[0], net.outputs[0]
    net.blobs[source].reshape(*image.shape)
    net.reshape()
    net.blobs[source].data[...] = image

    def scores():
        net.forward()
        return numpy.array(net.blobs[output].data)

    return {"step": net.forward, "scores": scores, "about": about}

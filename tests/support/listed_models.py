"""A net that tells bright from dark pixels, as files that a list of models names."""

from __future__ import annotations

from caffe.proto import caffe_pb2

BORDER = 0.5


def write_threshold_net(folder, *, channels=1, layer="score", border=BORDER):
    """Write ``deploy.prototxt`` and ``net.caffemodel``: class 1 is above the border.

    Scores are ``border - v`` and ``v - border``, v the mean of the channels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deploy.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape {'
        f"  dim: 1 dim: {channels} dim: 16 dim: 16 }} }} }}\n"
        'layer { name: "score" type: "Convolution" bottom: "data" top: "score"\n'
        "  convolution_param { num_output: 2 kernel_size: 1 } }\n"
    )
    net = caffe_pb2.NetParameter()
    one = net.layer.add(name=layer, type="Convolution")
    weights, bias = one.blobs.add(), one.blobs.add()
    weights.shape.dim[:] = [2, channels, 1, 1]
    weights.data[:] = [-1 / channels] * channels + [1 / channels] * channels
    bias.shape.dim[:] = [2]
    bias.data[:] = [border, -border]
    (folder / "net.caffemodel").write_bytes(net.SerializeToString())
    return folder / "deploy.prototxt", folder / "net.caffemodel"


def table(name, *, inputs="", **values):
    """Write a table of a list of models."""
    given = {
        "what": "bright things",
        "licence": "none",
        "prototxt": "deploy.prototxt",
        "classes": ["dark", "bright"],
        **values,
    }
    lines = [f"{key} = {_written(value)}" for key, value in given.items()]
    return "\n".join([f"[{name}]", *lines, f"[{name}.input]", inputs, ""])


def _written(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)

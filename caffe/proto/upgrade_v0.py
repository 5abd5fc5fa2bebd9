"""Nets of the oldest form (V0, all parameters in one message) to V1 layers."""

from __future__ import annotations

from typing import Any

from caffe.errors import CheckError

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_CONV, _POOL, _IP = "convolution_param", "pooling_param", "inner_product_param"
_WINDOW = {"window_data": "window_data_param"}
_IMAGES = {"images": "image_data_param"}
_READERS = {"data": "data_param", **_IMAGES}

# V0 field -> its name in V1, and the V1 message it goes to for each V0 type.
_FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", {"conv": _CONV, "innerproduct": _IP}),
    "biasterm": ("bias_term", {"conv": _CONV, "innerproduct": _IP}),
    "weight_filler": ("weight_filler", {"conv": _CONV, "innerproduct": _IP}),
    "bias_filler": ("bias_filler", {"conv": _CONV, "innerproduct": _IP}),
    "pad": ("pad", {"conv": _CONV, "pool": _POOL}),
    "kernelsize": ("kernel_size", {"conv": _CONV, "pool": _POOL}),
    "group": ("group", {"conv": _CONV}),
    "stride": ("stride", {"conv": _CONV, "pool": _POOL}),
    "pool": ("pool", {"pool": _POOL}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", {"lrn": "lrn_param"}),
    "alpha": ("alpha", {"lrn": "lrn_param"}),
    "beta": ("beta", {"lrn": "lrn_param"}),
    "k": ("k", {"lrn": "lrn_param"}),
    "source": (
        "source",
        {
            **_READERS,
            **_WINDOW,
            "hdf5_data": "hdf5_data_param",
            "infogain_loss": "infogain_loss_param",
        },
    ),
    "batchsize": (
        "batch_size",
        {**_READERS, **_WINDOW, "hdf5_data": "hdf5_data_param"},
    ),
    "rand_skip": ("rand_skip", _READERS),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOW),
    "det_bg_threshold": ("bg_threshold", _WINDOW),
    "det_fg_fraction": ("fg_fraction", _WINDOW),
    "det_context_pad": ("context_pad", _WINDOW),
    "det_crop_mode": ("crop_mode", _WINDOW),
}

# V0 field -> its name in transform_param, for a layer of any type.
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}


def upgrade_v0(net: Any) -> None:
    """Turn the V0 layers of a net into V1 layers, in place.

    Parameters
    ----------
    net
        A NetParameter; every entry of ``layers`` holds a V0 ``layer``.

    Raises
    ------
    CheckError
        If a type is unknown, a parameter does not belong to its layer's type, or a
        padding layer feeds something that cannot pad.
    """
    _fold_padding(net)
    for layer in net.layers:
        old = type(layer.layer)()
        old.CopyFrom(layer.layer)
        layer.ClearField("layer")
        _upgrade_layer(old, layer)


def _fold_padding(net: Any) -> None:
    """Give the pad of padding layers to the layers they feed, and drop them."""
    writers: dict[str, Any] = {}
    for layer in net.layers:
        for index, bottom in enumerate(layer.bottom):
            source = writers.get(bottom)
            if source is None or source.layer.type != "padding":
                continue
            name, kind = layer.layer.name, layer.layer.type
            if kind not in ("conv", "pool"):
                raise CheckError(
                    f"layer '{name}': bottom '{bottom}' is padded, but a '{kind}' "
                    "layer cannot pad; expected conv or pool"
                )
            if len(layer.bottom) != 1 or len(source.bottom) != 1:
                raise CheckError(
                    f"layer '{name}': padding layer '{source.layer.name}' and the "
                    "layer it feeds must have one bottom each"
                )
            layer.layer.pad = source.layer.pad
            layer.bottom[index] = source.bottom[0]
        writers.update(dict.fromkeys(layer.top, layer))
    kept = [layer for layer in net.layers if layer.layer.type != "padding"]
    if len(kept) < len(net.layers):
        copies = [type(layer).FromString(layer.SerializeToString()) for layer in kept]
        del net.layers[:]
        net.layers.extend(copies)


def _upgrade_layer(old: Any, new: Any) -> None:
    """Write a V0 layer's content as a V1 layer; bottoms and tops are there already."""
    for field, value in old.ListFields():
        if field.name == "name":
            new.name = value
        elif field.name == "type":
            new.type = new.LayerType.Value(_v1_type(old))
        elif field.name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(new, field.name).extend(value)
        elif field.name in _TRANSFORM:
            setattr(new.transform_param, _TRANSFORM[field.name], value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        else:
            _set_parameter(old, new, field.name, value)


def _v1_type(old: Any) -> str:
    try:
        return _TYPES[old.type]
    except KeyError:
        raise CheckError(
            f"layer '{old.name}': unknown old layer type '{old.type}'; "
            f"expected one of {', '.join(_TYPES)}, padding"
        ) from None


def _set_parameter(old: Any, new: Any, field: str, value: Any) -> None:
    """Put a type's own parameter where V1 has it."""
    name, owners = _FIELDS.get(field, ("", {}))
    if old.type not in owners:
        raise CheckError(
            f"layer '{old.name}': a '{old.type}' layer has no parameter '{field}'"
            + (f"; types that have it: {', '.join(owners)}" if owners else "")
        )
    target = getattr(new, owners[old.type])
    if name in ("pad", "kernel_size", "stride"):
        getattr(target, name).append(value)
    elif name.endswith("filler"):
        getattr(target, name).CopyFrom(value)
    else:
        setattr(target, name, value)

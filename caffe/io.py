"""Arrays to and from Caffe's messages; reading and preparing images.

Images are arrays of shape (height, width, channels), blobs (channels, height, width);
`Transformer` makes one of the other. What is for images stands in `caffe.images`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffe.errors import CheckError
from caffe.images import Transformer as Transformer
from caffe.images import load_image as load_image
from caffe.images import oversample as oversample
from caffe.images import resize_image as resize_image
from caffe.proto import blobs, caffe_pb2

_AXES_OF_DATUM = 3


def blobproto_to_array(blob: Any, return_diff: bool = False) -> NDArray[Any]:
    """Values of a BlobProto, or its gradients, as a float64 array, like pycaffe's.

    Parameters
    ----------
    blob : BlobProto
    return_diff : bool
        Gradients instead of values; default False.

    Raises
    ------
    CheckError
        If there are not as many values as the shape says.

    Examples
    --------
    >>> blobproto_to_array(array_to_blobproto(np.eye(2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return blobs.to_array(blob, diff=return_diff).astype(np.float64)


def array_to_blobproto(arr: NDArray[Any], diff: NDArray[Any] | None = None) -> Any:
    """BlobProto of an array of any shape; see `blobproto_to_array`.

    Parameters
    ----------
    arr : array
    diff : array of the same shape, optional
        Gradients.

    Examples
    --------
    >>> list(array_to_blobproto(np.zeros((2, 3))).shape.dim)
    [2, 3]
    """
    return blobs.to_proto(np.asarray(arr), diff)


def arraylist_to_blobprotovector_str(arraylist: Iterable[NDArray[Any]]) -> bytes:
    """Serialize a BlobProtoVector of several arrays.

    Examples
    --------
    >>> text = arraylist_to_blobprotovector_str([np.ones(2)])
    >>> blobprotovector_str_to_arraylist(text)
    [array([1., 1.])]
    """
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(arr) for arr in arraylist)
    raw: bytes = vector.SerializeToString()
    return raw


arraylist_to_blobprotovecor_str = arraylist_to_blobprotovector_str  # pycaffe's slip


def blobprotovector_str_to_arraylist(text: bytes) -> list[NDArray[Any]]:
    """Arrays of a serialized BlobProtoVector.

    Raises
    ------
    CheckError
        If the bytes are none, or a blob has not as many values as its shape says.
    """
    try:
        vector = caffe_pb2.BlobProtoVector.FromString(text)
    except DecodeError as error:
        raise CheckError(
            f"{len(text)} bytes that are no BlobProtoVector, or a damaged one"
        ) from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: NDArray[Any], label: int | None = None) -> Any:
    """Datum of an array of shape (channels, height, width).

    uint8 becomes bytes, every other type floats.

    Parameters
    ----------
    arr : array of shape (channels, height, width)
    label : int, optional

    Raises
    ------
    CheckError
        If the array has other than three axes.

    Examples
    --------
    >>> datum = array_to_datum(np.zeros((1, 2, 3), np.uint8), label=4)
    >>> datum.height, datum.width, datum.label, len(datum.data)
    (2, 3, 4, 6)
    """
    if arr.ndim != _AXES_OF_DATUM:
        raise CheckError(
            f"a datum needs an array of shape (channels, height, width), "
            f"this one has shape {arr.shape}"
        )
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> NDArray[Any]:
    """Array of shape (channels, height, width): uint8 of bytes, else floats.

    Raises
    ------
    CheckError
        If there are not as many values as the shape says.

    Examples
    --------
    >>> datum_to_array(array_to_datum(np.full((1, 1, 2), 0.5))).tolist()
    [[[0.5, 0.5]]]
    """
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        values = np.frombuffer(datum.data, dtype=np.uint8).copy()
    else:
        values = np.array(datum.float_data, dtype=np.float64)
    if min(shape) < 0 or values.size != prod(shape):
        raise CheckError(f"a datum of shape {shape} has {values.size} values")
    return values.reshape(shape)

"""Caffe nets as programs use them that were written for OpenCV's `cv2.dnn`.

Names, arguments, order and shapes of results are those of OpenCV 4.12; OpenCV itself
is not needed. Nets are read from Caffe's files alone.

Examples
--------
>>> import numpy as np
>>> from caffe import dnn
>>> text = b'''input: "data" input_shape { dim: 1 dim: 3 dim: 2 dim: 2 }
... layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
...   pooling_param { pool: AVE global_pooling: true } }'''
>>> net = dnn.readNetFromCaffe(text)
>>> net.setInput(dnn.blobFromImage(np.full((8, 8, 3), 255, np.uint8), 1 / 255))
>>> net.forward().ravel().tolist()
[1.0, 1.0, 1.0]
"""

from caffe.dnn.boxes import NMSBoxes, NMSBoxesBatched
from caffe.dnn.constants import (
    DNN_BACKEND_CANN,
    DNN_BACKEND_CUDA,
    DNN_BACKEND_DEFAULT,
    DNN_BACKEND_HALIDE,
    DNN_BACKEND_INFERENCE_ENGINE,
    DNN_BACKEND_OPENCV,
    DNN_BACKEND_TIMVX,
    DNN_BACKEND_VKCOM,
    DNN_BACKEND_WEBNN,
    DNN_TARGET_CPU,
    DNN_TARGET_CPU_FP16,
    DNN_TARGET_CUDA,
    DNN_TARGET_CUDA_FP16,
    DNN_TARGET_FPGA,
    DNN_TARGET_HDDL,
    DNN_TARGET_MYRIAD,
    DNN_TARGET_NPU,
    DNN_TARGET_OPENCL,
    DNN_TARGET_OPENCL_FP16,
    DNN_TARGET_VULKAN,
)
from caffe.dnn.images import blobFromImage, blobFromImages, imagesFromBlob
from caffe.dnn.layers import Layer
from caffe.dnn.net import Net
from caffe.dnn.reading import readNet, readNetFromCaffe

__all__ = [
    "DNN_BACKEND_CANN",
    "DNN_BACKEND_CUDA",
    "DNN_BACKEND_DEFAULT",
    "DNN_BACKEND_HALIDE",
    "DNN_BACKEND_INFERENCE_ENGINE",
    "DNN_BACKEND_OPENCV",
    "DNN_BACKEND_TIMVX",
    "DNN_BACKEND_VKCOM",
    "DNN_BACKEND_WEBNN",
    "DNN_TARGET_CPU",
    "DNN_TARGET_CPU_FP16",
    "DNN_TARGET_CUDA",
    "DNN_TARGET_CUDA_FP16",
    "DNN_TARGET_FPGA",
    "DNN_TARGET_HDDL",
    "DNN_TARGET_MYRIAD",
    "DNN_TARGET_NPU",
    "DNN_TARGET_OPENCL",
    "DNN_TARGET_OPENCL_FP16",
    "DNN_TARGET_VULKAN",
    "Layer",
    "NMSBoxes",
    "NMSBoxesBatched",
    "Net",
    "blobFromImage",
    "blobFromImages",
    "imagesFromBlob",
    "readNet",
    "readNetFromCaffe",
]

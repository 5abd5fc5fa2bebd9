"""A graph of ONNX in the making, and what families of layers share in writing it."""

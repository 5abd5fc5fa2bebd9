"""Bridges to other programs: models of theirs made of ours, and back.

What torch, safetensors and ONNX want is in ``caffe.export``. Here are the formats of
whole models (``modeldef``, ``bioimageio``) and what the weights of other projects'
nets are called (``mappings``).
"""

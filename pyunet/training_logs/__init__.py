"""Logs of ``caffe train``: what their lines say, and the curves in them."""

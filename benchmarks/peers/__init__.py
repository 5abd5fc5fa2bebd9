"""What `benchmarks/run.py` compares: a module a family of peers.

A peer runs in a process of its own (`python -m peers`). A family's `set_up(request)`
makes ready what a request asks for and gives a dictionary: `step`, a function that does
the task once; `scores`, one that gives the scores of the input, or None where the task
is training; `about`, what is worth knowing. It raises where it cannot be done here.

This file, `__main__.py` and `original_caffe.py` are written for any Python from 2.7 on,
since an original Caffe may live in an old one.
"""

"""The command ``caffe_unet``: what the Fiji plugin "U-Net Segmentation" calls.

To add an action, write its module (``run(flags) -> int``) and enter it in
``pyunet_fiji.backend.main.ACTIONS``.
"""

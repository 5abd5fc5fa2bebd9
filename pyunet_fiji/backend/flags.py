"""The flags of ``caffe_unet`` (caffe_unet_cli.md, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from caffe.flags import CommonFlags, flag


@dataclass
class Flags(CommonFlags):
    """The flags of ``caffe_unet`` and their values."""

    average_mirror: bool = flag(
        False, "Average over the four mirrored versions of the image."
    )
    average_rotate: bool = flag(
        False, "Average over the four versions of the image rotated by 90 degrees."
    )
    gpu: str = flag(
        "", "GPU to use: the first of numbers with ',', or 'all'; nothing for the CPU."
    )
    gpu_mem_available_MB: str = flag(  # noqa: N815 - the flag's name
        "", "Choose tiles for this much GPU memory by the model's own table."
    )
    infileH5: str = flag("", "HDF5 file with the images.")  # noqa: N815
    iterations: int = flag(50, "Number of images to process; 0 for all.")
    mem_available_px: str = flag(
        "", "Choose tiles of at most so many input pixels (2D models)."
    )
    model: str = flag("", "Model definition, a .modeldef.h5 file.")
    n_channels: int = flag(1, "Number of channels of the images, for the check.")
    n_tiles: str = flag(
        "", "Number of tiles (2D models), or a grid of them: AxB or AxBxC, [z] y x."
    )
    outfileH5: str = flag("", "HDF5 file for the scores.")  # noqa: N815
    tile_size: str = flag("", "Shape of the output tiles: YxX or ZxYxX.")
    weights: str = flag("", "Trained weights, .caffemodel.h5 or .caffemodel.")

"""The flags of Caffe's commands."""

from __future__ import annotations

from dataclasses import dataclass

from caffe import __version__, init_log
from caffe.flags import CommonFlags, flag


@dataclass
class CommandFlags(CommonFlags):
    """The flags that every command of this package has."""

    debug: bool = flag(False, "Show where an error was raised.")


@dataclass
class Flags(CommandFlags):
    """The flags of the command `caffe` and their values."""

    gpu: str = flag("", "GPUs to use, separated by ',', or 'all'; nothing for the CPU.")
    ranks: int = flag(
        1, "Processes that train together on the CPU; GPUs have one each."
    )
    solver: str = flag("", "The solver definition protocol buffer text file.")
    model: str = flag("", "The model definition protocol buffer text file.")
    phase: str = flag(
        "", "Network phase (TRAIN or TEST). Only used for 'time' and 'check'."
    )
    level: int = flag(0, "Network level.")
    stage: str = flag("", "Network stages, separated by ','.")
    snapshot: str = flag("", "The solver state to resume training from.")
    weights: str = flag(
        "", "Trained weights, separated by ',', to start from. Not with snapshot."
    )
    log: str = flag(
        "",
        "The folder for train.log, train.csv, test.csv and TensorBoard's files of "
        "'train'.",
    )
    precision: str = flag(
        "float32",
        "What 'train', 'test' and 'time' round to: float32, bf16, or tf32 (GPUs).",
    )
    dialects: str = flag(
        "",
        "Dialects, separated by ',': the first that has a layer's type is meant where "
        "several have it.",
    )
    output: str = flag("", "The file that 'upgrade' writes.")
    crop: str = flag(
        "explicit",
        "What Crop means without offsets, for 'upgrade': explicit (axis 2, offset 0) "
        "or coordinate_maps (as in files of the 2015 dialect).",
    )
    iterations: int = flag(50, "The number of iterations to run.")
    sigint_effect: str = flag(
        "stop", "What to do on SIGINT: snapshot, stop or none; SIGTERM stops."
    )
    sighup_effect: str = flag(
        "snapshot", "What to do on SIGHUP: snapshot, stop or none."
    )

    @property
    def preferred(self) -> list[str]:
        """Names in `dialects`."""
        return [name for name in self.dialects.split(",") if name]


def begin(flags: CommonFlags) -> bool:
    """Follow the flags that every command has; tell whether that was all."""
    if flags.minloglevel:
        init_log(flags.minloglevel)
    if flags.version:
        print(f"caffe version {__version__}")
    return flags.version

"""What is killed: commands that write files, small enough to be run hundreds of times.

A job is one command line that, called again after a kill, goes on or begins anew.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

TESTS = Path(__file__).parents[1]
_LOGS = re.compile(r"\.log$|^events\.")
_TIMES = {"sha256"}  # of a file of HDF5, which holds the time when it was made
ITERATIONS, EVERY = 24, 3
_NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 2 dim: 6 dim: 6 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label"
  top: "loss" }
"""


class LostError(Exception):
    """Something was lost, is half, differs, or was left behind."""


class Job:
    """One command.

    Attributes
    ----------
    name : str
    share : int
        How often it is chosen.
    terminate : bool
        SIGTERM ends it at once, too.
    """

    name = ""
    share = 1
    terminate = True

    def prepare(self, inputs: Path) -> None:
        """Write what the command reads; done once."""
        self.inputs = inputs

    def begin(self, folder: Path) -> None:
        """Put into a fresh folder what must be there."""

    def run(self, folder: Path) -> int:
        """Carry out the command, within the process that may be killed."""
        raise NotImplementedError

    def is_extra(self, name: str) -> bool:
        """Tell whether an undisturbed run need not have made a file."""
        return False

    def is_passing(self, name: str) -> bool:
        """Tell whether a file is there during a run only."""
        return False

    def check(self, folder: Path) -> None:
        """See to what only this job can be asked after a kill."""

    def close(self) -> None:
        """End what `prepare` started."""


class Train(Job):
    """``caffe train``, which goes on from its last snapshot."""

    share = 8

    def __init__(self, form: str, method: str) -> None:
        self.name = f"train ({form}, {method})"
        self._form, self._method = form, method
        self._ending = ".h5" if form == "HDF5" else ""

    def begin(self, folder: Path) -> None:
        (folder / "net.prototxt").write_text(_NET)
        (folder / "solver.prototxt").write_text(
            f'net: "net.prototxt" type: "{self._method}" base_lr: 0.01 '
            f'lr_policy: "fixed" max_iter: {ITERATIONS} snapshot: {EVERY} '
            f'snapshot_prefix: "s" random_seed: 7 snapshot_format: {self._form} '
            "solver_mode: CPU average_loss: 5"
        )

    def run(self, folder: Path) -> int:
        from caffe.cli import main

        words = ["train", "-solver", "solver.prototxt"]
        last = self.last(folder)
        if last is not None:
            words += ["-snapshot", f"s_iter_{last}.solverstate{self._ending}"]
        return main(words)

    def last(self, folder: Path) -> int | None:
        """Iteration of the last state."""
        return max(self._iterations(folder), default=None)

    def is_extra(self, name: str) -> bool:
        """SIGTERM makes snapshots at any iteration."""
        found = re.match(r"s_iter_(\d+)\.", name)
        return bool(found) and int(found[1]) % EVERY != 0

    def check(self, folder: Path) -> None:
        """All states have weights, and a side-car of theirs."""
        from caffe.engine.solvers import state

        for iteration in self._iterations(folder):
            stem = f"s_iter_{iteration}"
            path = folder / f"{stem}.solverstate{self._ending}"
            if state.read(path).iteration != iteration:
                raise LostError(f"{path.name} is of another iteration")
            if state.read_sidecar(path) is None:
                raise LostError(f"{path.name} has no side-car of its own")
            if not (folder / f"{stem}.caffemodel{self._ending}").is_file():
                raise LostError(f"{path.name} has no weights")

    def _iterations(self, folder: Path) -> Iterator[int]:
        states = re.compile(rf"s_iter_(\d+)\.solverstate{re.escape(self._ending)}")
        for path in folder.iterdir():
            if found := states.fullmatch(path.name):
                yield int(found[1])


def _pyunet(*words: object) -> int:
    from pyunet.cli import main

    return main([str(word) for word in words])


class DataMake(Job):
    """``pyunet data make``, which begins anew."""

    name, share = "data make", 4

    def prepare(self, inputs: Path) -> None:
        """Write a stack and its labels."""
        super().prepare(inputs)
        rng = np.random.default_rng(3)
        labels = np.zeros((2, 64, 64), np.uint8)
        labels[:, 10:30, 10:40] = 1
        image = rng.integers(0, 200, labels.shape, np.uint8) + 50 * labels
        tifffile.imwrite(inputs / "image.tif", image, photometric="minisblack")
        tifffile.imwrite(inputs / "labels.tif", labels, photometric="minisblack")

    def run(self, folder: Path) -> int:
        """Make small tiles, in several files."""
        return _pyunet(
            "data", "make", "--images", self.inputs / "image.tif",
            "--labels", self.inputs / "labels.tif", "--samples", 12,
            "--samples-per-file", 3, "--input-shape", 32,
            "--output-shape", 16, "--out", folder / "set",
        )  # fmt: skip


class Segment(Job):
    """``pyunet segment``, which begins anew."""

    name, share = "segment", 4
    _net = TESTS / "reference" / "tiled" / "unet2d"

    def prepare(self, inputs: Path) -> None:
        """Write a stack."""
        super().prepare(inputs)
        with h5py.File(self._net / "input_0.h5") as file:
            image = file["data"][0, 0]
        image = (image - image.min()) / (image.max() - image.min())
        stack = np.round(np.stack([image, image[::-1]]) * 65535).astype(np.uint16)
        tifffile.imwrite(inputs / "cells.tif", stack, photometric="minisblack")

    def run(self, folder: Path) -> int:
        """Segment it in a few tiles."""
        return _pyunet(
            "segment", "--model", self._net, "--weights",
            self._net / "weights.caffemodel", "--out", folder / "out",
            self.inputs / "cells.tif",
        )  # fmt: skip


class Fetch(Job):
    """``pyunet zoo fetch``, which goes on with what was brought."""

    name, share = "zoo fetch", 4

    def prepare(self, inputs: Path) -> None:
        """Serve an archive with weights on this machine, slowly."""
        import hashlib
        import io
        import tarfile

        from tests.support.listed_models import table, write_threshold_net

        super().prepare(inputs)
        _, weights = write_threshold_net(inputs)
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=1) as archive:
            archive.add(weights, "release/net.caffemodel")
            filler = tarfile.TarInfo("release/filler")
            filler.size = 200_000
            archive.addfile(filler, io.BytesIO(np.random.default_rng(1).bytes(200_000)))
        data = whole.getvalue()
        self._url = self._serve(data)
        (inputs / "manifest.toml").write_text(
            table(
                "cells",
                urls=[f"{self._url}/u.tar.gz"],
                member="release/net.caffemodel",
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )

    def _serve(self, data: bytes) -> str:
        from tests.support.servers import Site, serve

        said, says = os.pipe()
        self._server = os.fork()
        if self._server == 0:  # no thread here, where forks are made
            with serve(Site({"/u.tar.gz": data}, pause_s=0.0005)) as site:
                os.write(says, site.url.encode() + b"\n")
                os.close(says)
                while os.getppid() != 1:
                    time.sleep(0.5)
            os._exit(0)
        os.close(says)
        with os.fdopen(said) as pipe:
            return pipe.readline().strip()

    def run(self, folder: Path) -> int:
        """Fetch the model into a cache of its own."""
        from pyunet.zoo import manifest
        from pyunet.zoo.cache import CACHE

        os.environ[CACHE] = str(folder / "cache")
        os.environ["NO_PROXY"] = "127.0.0.1"
        manifest.package_manifest = lambda: self.inputs / "manifest.toml"
        return _pyunet("zoo", "fetch", "cells")

    def is_passing(self, name: str) -> bool:
        """The archive goes when it is unpacked, what is made ready aside is moved."""
        return name.startswith(("cache/cells/download", "cache/cells/.unpacked"))

    def close(self) -> None:
        """End the server."""
        os.kill(self._server, signal.SIGKILL)
        os.waitpid(self._server, 0)


class Finetune(Job):
    """``pyunet finetune``, whose training is a process of its own."""

    name, share = "finetune", 1

    def prepare(self, inputs: Path) -> None:
        """Write a model, weights, an image and its labels."""
        from pyunet_fiji.modeldef import write_modeldef
        from tests.support import modeldefs

        super().prepare(inputs)
        model = modeldefs.definition(levels=1, class_names=("Background", "cell"))
        write_modeldef(inputs / "m.modeldef.h5", model)
        modeldefs.random_weights(inputs / "m.caffemodel.h5", model)
        labels = np.zeros((20, 24), np.uint8)
        labels[4:9, 4:12] = 1
        image = np.random.default_rng(2).integers(0, 255, labels.shape, np.uint8)
        tifffile.imwrite(inputs / "image.tif", image)
        tifffile.imwrite(inputs / "labels.tif", labels)

    def run(self, folder: Path) -> int:
        """Finetune; a solver of a finetuning has a seed."""
        return _pyunet(
            "finetune", "--model", self.inputs / "m.modeldef.h5", "--weights",
            self.inputs / "m.caffemodel.h5", "--images", self.inputs / "image.tif",
            "--labels", self.inputs / "labels.tif", "--out", folder / "mine",
            "--iterations", 12, "--validation-interval", 3,
        )  # fmt: skip

    def is_extra(self, name: str) -> bool:
        """What holds times or a random name."""
        return name.endswith((".json", ".modeldef.h5", ".png"))

    def is_passing(self, name: str) -> bool:
        """What the training reads and writes; its curves grow."""
        return "/files/" in name or name.endswith(
            ("_best.caffemodel.h5", ".csv", ".png")
        )

    def check(self, folder: Path) -> None:
        """The training ends with who started it."""
        files = folder / "mine" / "files"
        end = time.monotonic() + 20
        while living := _processes_in(files):
            if time.monotonic() > end:
                raise LostError(f"the training {living} goes on without its parent")
            time.sleep(0.02)


def _processes_in(folder: Path) -> list[int]:
    """Processes whose working folder it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


JOBS: tuple[Callable[[], Job], ...] = (
    lambda: Train("BINARYPROTO", "Adam"),
    lambda: Train("HDF5", "SGD"),
    DataMake,
    Segment,
    Fetch,
    Finetune,
)


def contents(folder: Path) -> dict[str, Any]:
    """Whole files by their names: their bytes, or the numbers of HDF5 and numpy.

    Raises
    ------
    LostError
        If one is not whole.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or _LOGS.search(path.name) or is_half(path.name):
            continue
        try:
            found[name] = _content(path)
        except Exception as error:
            raise LostError(f"{name} is not whole: {error}") from error
    return found


def is_half(name: str) -> bool:
    """Tell whether a name is that of a file on its way."""
    if name.endswith(".lock"):  # stays, or two processes could hold two of them
        return False
    return name.startswith(".") or name.endswith((".tmp", ".part", ".part.etag"))


def _content(path: Path) -> Any:
    if path.suffix == ".h5":
        values: dict[str, Any] = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda key, item: (
                    values.update({key: _numbers(item)})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
        return values
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {key: arrays[key].tobytes() for key in arrays if key not in _TIMES}
    if path.suffix in {".tif", ".tiff"}:
        return tifffile.imread(path).tobytes()
    return path.read_bytes()


def _numbers(item: Any) -> bytes:
    return np.asarray(item[()]).tobytes()

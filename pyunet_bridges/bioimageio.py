"""A model as a package of the BioImage Model Zoo, specification 0.5."""

from __future__ import annotations

import logging
import re
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe import Axis
from pyunet.data.images import read_stack
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference.engine import Model, import_caffe
from pyunet.zoo.cache import sha256_of
from pyunet_bridges.readme import readme
from pyunet_bridges.samples import cut_middle, draw_cover, synthetic_image
from pyunet_bridges.source import Source
from pyunet_fiji.modeldef.normalisation import (
    MEAN_DEVIATION,
    NONE,
    SMALLEST_LARGEST,
    normalise,
)

LOG = logging.getLogger(__name__)
AXES = "zyx"
LEAST_OUTPUT = 64  # pixels of the test output along an axis, or the least there is
OPSET = 17
SHORTEST_NAME = 5
KINDS = ("batch", "spatial")  # of axes that may have any size
CAFFE = ("Jia et al. 2014, Caffe: Convolutional Architecture for Fast Feature "
         "Embedding", "10.1145/2647868.2654889")  # fmt: skip
UNET = ("Ronneberger, Fischer, Brox 2015, U-Net: Convolutional Networks for Biomedical "
        "Image Segmentation", "10.1007/978-3-319-24574-4_28")  # fmt: skip
MISSING = (
    "bioimageio.spec is not installed, which this format needs: pip install "
    '"pyunet[zoo]"'
)
DOI = re.compile(r"10\.\d{4,9}/\S+")
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class About:
    """What a package says of its model that the net does not.

    Attributes
    ----------
    licence : str, optional
        An identifier of SPDX, such as ``BSD-2-Clause``; default: the trained model's.
    authors : sequence of str
    image : str, optional
        A typical image, for the test and the cover; default: a synthetic one.
    """

    licence: str | None = None
    authors: Sequence[str] = ()
    image: str | None = None


def write_package(source: Source, out: Path, about: About | None = None) -> list[Path]:
    """Write a package: weights, test arrays, cover, documentation, description.

    Weights are TorchScript, and ONNX where the package ``onnx`` is installed.

    Parameters
    ----------
    source : Source
    out : Path
        A ``.zip`` file.
    about : About, optional

    Returns
    -------
    list of Path
        The file written.

    Raises
    ------
    DataError
        A net that has several outputs, or cannot be run by tiles; no licence, or one
        that SPDX does not know; an image that does not fit; bioimageio.spec missing.
    """
    about = about or About()
    if out.suffix.lower() != ".zip":
        raise DataError(f"{out}: accepted for a bioimage.io package is a name *.zip")
    try:
        from bioimageio.spec import ValidationContext, save_bioimageio_yaml_only
        from pydantic import ValidationError
    except ImportError as error:
        raise DataError(MISSING) from error
    model = source.tiled()
    if len(model.net.outputs) != 1:
        raise DataError(
            f"{source.path}: has outputs {list(model.net.outputs)}; accepted for "
            "bioimage.io is one"
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        ValidationContext(perform_io_checks=False, root=Path(folder)),
        atomic_path(out) as temporary,
    ):
        try:
            description = _Package(source, model, about, Path(folder)).describe()
            save_bioimageio_yaml_only(description, Path(folder, "rdf.yaml"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{source.name}: bioimage.io does not accept '{where}': {first['msg']}"
            ) from error
        _pack(Path(folder), temporary)
    return [out]


def _pack(folder: Path, out: Path) -> None:
    """Put all files of a folder into a zip; weights hardly become smaller."""
    with zipfile.ZipFile(out, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)


@dataclass(frozen=True)
class _Package:
    """The parts of one package, on their way into a folder."""

    source: Source
    model: Model
    about: About
    folder: Path

    def describe(self) -> Any:
        """Write all files and give the description that names them."""
        from bioimageio.spec.model import v0_5 as spec

        tile = tuple(axis.input_for(_least(axis)) for axis in self.model.axes)
        image = self._image(tile)
        scores = self._scores(image)
        for name, array in (("input.npy", image), ("output.npy", scores)):
            np.save(self.folder / name, array)
        draw_cover(self.folder / "cover.png", image[0], scores[0])
        (self.folder / "README.md").write_text(
            readme(self.source, self.model, self._what), encoding="utf-8"
        )
        weights, any_size = self._weights()
        return spec.ModelDescr(
            name=_title(self.source.name),
            description=self._what,
            documentation=self._file("README.md"),
            covers=[self._file("cover.png")],
            authors=[spec.Author(name=name) for name in self.about.authors],
            cite=[spec.CiteEntry(text=t, doi=spec.Doi(doi)) for t, doi in self._cite()],
            license=self._licence(),
            tags=["segmentation", "unet", "caffe", f"{len(tile)}d"],
            inputs=[self._input(tile, any_size=any_size)],
            outputs=[self._output(tile, scores, any_size=any_size)],
            weights=weights,
        )

    @property
    def _what(self) -> str:
        entry, definition = self.source.entry, self.source.definition
        if entry is not None:
            return entry.what
        if definition is not None and definition.description:
            return definition.description
        return f"The net {self.source.name}, from its Caffe files"

    def _file(self, name: str) -> Any:
        from bioimageio.spec.model import v0_5 as spec

        return spec.FileDescr(**self._hashed(name))

    def _hashed(self, name: str) -> dict[str, Any]:
        from bioimageio.spec.model import v0_5 as spec

        found = spec.Sha256(sha256_of(self.folder / name))
        return {"source": Path(name), "sha256": found}

    def _image(self, tile: tuple[int, ...]) -> FloatArray:
        """Give the test input (1, C, [Z,] Y, X), normalised for the net."""
        shape = (self.model.channels, *tile)
        if self.about.image is None:
            image = synthetic_image(shape)
        else:
            image = cut_middle(
                read_stack(self.about.image), shape, name=self.about.image
            )
        return normalise(image[None], self._kind, name=self.about.image or "image")

    @property
    def _kind(self) -> int:
        definition = self.source.definition
        return NONE if definition is None else definition.normalization_type

    def _scores(self, image: FloatArray) -> FloatArray:
        model = self.model
        model.reshape(image.shape[2:])
        model.net.blobs[model.source].data[...] = image
        return np.array(model.net.forward()[model.output], np.float32)

    def _weights(self) -> tuple[Any, bool]:
        """Write the weights; tell whether all take tiles of any size, and batches."""
        from bioimageio.spec.model import v0_5 as spec

        net, name = self.model.net, "weights.pt"
        any_size = import_caffe().export.write_torchscript(net, self.folder / name)
        found: dict[str, Any] = {
            "torchscript": spec.TorchscriptWeightsDescr(
                **self._hashed(name),
                pytorch_version=spec.Version(metadata.version("torch")),
            )
        }
        if find_spec("onnx") is None:
            LOG.warning(
                "onnx is not installed: the package gets TorchScript weights only "
                '(pip install "pyunet[zoo]")'
            )
            return spec.WeightsDescr(**found), any_size
        name = "weights.onnx"
        dynamic = import_caffe().export.to_onnx(net, self.folder / name, opset=OPSET)
        found["onnx"] = spec.OnnxWeightsDescr(
            **self._hashed(name), opset_version=OPSET, parent="torchscript"
        )
        return spec.WeightsDescr(**found), any_size and len(dynamic) == len(KINDS)

    def _input(self, tile: tuple[int, ...], *, any_size: bool) -> Any:
        from bioimageio.spec.model import v0_5 as spec

        names = AXES[-len(tile) :]
        spaces = [
            spec.SpaceInputAxis(
                id=spec.AxisId(name),
                size=spec.ParameterizedSize(min=axis.smallest, step=axis.factor)
                if any_size
                else size,
                **pixel,
            )
            for name, axis, size, pixel in zip(
                names, self.model.axes, tile, self._pixels(len(tile)), strict=True
            )
        ]
        channels = [f"channel{i}" for i in range(self.model.channels)]
        return spec.InputTensorDescr(
            id=spec.TensorId("input"),
            axes=[*_leading(channels, any_size=any_size), *spaces],
            test_tensor=self._file("input.npy"),
            preprocessing=self._preprocessing(["channel", *names]),
        )

    def _preprocessing(self, axes: Sequence[str]) -> list[Any]:
        """Say the normalisation of a model definition, as far as there are words."""
        from bioimageio.spec.model import v0_5 as spec

        ids = [spec.AxisId(axis) for axis in axes]
        if self._kind == SMALLEST_LARGEST:
            words = spec.ScaleRangeKwargs(axes=ids, max_percentile=100)
            return [spec.ScaleRangeDescr(kwargs=words)]
        if self._kind == MEAN_DEVIATION:
            plain = spec.ZeroMeanUnitVarianceKwargs(axes=ids)
            return [spec.ZeroMeanUnitVarianceDescr(kwargs=plain)]
        return []

    def _output(
        self, tile: tuple[int, ...], scores: FloatArray, *, any_size: bool
    ) -> Any:
        from bioimageio.spec.model import v0_5 as spec

        spaces = []
        for name, axis, size, out, pixel in zip(
            AXES[-len(tile) :],
            self.model.axes,
            tile,
            scores.shape[2:],
            self._pixels(len(tile)),
            strict=True,
        ):
            reference = spec.SizeReference(
                tensor_id=spec.TensorId("input"),
                axis_id=spec.AxisId(name),
                offset=out - size,
            )
            halo = max(axis.first, out - axis.first - axis.output_of(size))
            words = {"id": spec.AxisId(name), "size": reference, **pixel}
            spaces.append(
                spec.SpaceOutputAxisWithHalo(halo=halo, **words)
                if halo
                else spec.SpaceOutputAxis(**words)
            )
        return spec.OutputTensorDescr(
            id=spec.TensorId("output"),
            axes=[*_leading(self._classes(scores), any_size=any_size), *spaces],
            test_tensor=self._file("output.npy"),
        )

    def _pixels(self, axes: int) -> list[dict[str, Any]]:
        """Say how large pixels are, where it is known."""
        sizes: Sequence[float] = ()
        if self.source.definition is not None:
            sizes = self.source.definition.element_size_um
        elif self.source.entry is not None and self.source.entry.input.pixel_size_um:
            sizes = (self.source.entry.input.pixel_size_um,) * axes
        known: list[dict[str, Any]] = [
            {"scale": size, "unit": "micrometer"} for size in sizes
        ]
        return known or [{} for _ in range(axes)]

    def _classes(self, scores: FloatArray) -> list[str]:
        entry, definition = self.source.entry, self.source.definition
        named = entry.classes if entry else definition.class_names if definition else ()
        if len(named) != scores.shape[1]:
            named = [f"class{i}" for i in range(scores.shape[1])]
        return [re.sub(r"\W", "_", name.lower()) for name in named]

    def _cite(self) -> list[tuple[str, str]]:
        """Cite the model's own work where it names one by a DOI, and Caffe."""
        citation = self.source.entry.citation if self.source.entry else ""
        doi = DOI.search(citation)
        return [*([(citation, doi.group())] if doi else []), CAFFE, UNET]

    def _licence(self) -> Any:
        from bioimageio.spec.model import v0_5 as spec

        entry = self.source.entry
        licence = self.about.licence or (entry.licence if entry else None)
        if licence is None:
            raise DataError(
                f"{self.source.name}: under what licence may others use it? Give "
                "--licence with an identifier of SPDX, e.g. BSD-2-Clause or CC-BY-4.0"
            )
        try:
            return spec.LicenseId(licence)
        except ValueError as error:
            raise DataError(
                f"licence '{licence}': is no identifier of SPDX; accepted are such as "
                "BSD-2-Clause or CC-BY-4.0 (--licence)"
            ) from error


def _title(name: str) -> str:
    """Give a name as the zoo takes it: 5 characters at least, some of them never.

    >>> _title("unet:a"), _title("a")
    ('unet a', 'model a')
    """
    plain = re.sub(r"[^\w\-+() ]", " ", name)
    return plain if len(plain) >= SHORTEST_NAME else f"model {plain}"


def _least(axis: Axis) -> int:
    return max(LEAST_OUTPUT, axis.output_of(axis.smallest))


def _leading(channels: list[str], *, any_size: bool) -> list[Any]:
    from bioimageio.spec.model import v0_5 as spec

    batch = spec.BatchAxis(size=None if any_size else 1)
    return [batch, spec.ChannelAxis(channel_names=list(channels))]

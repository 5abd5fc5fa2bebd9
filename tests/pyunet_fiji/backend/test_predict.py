"""caffe_unet tiled_predict, beside what the original computed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe.flags import parse_flags
from pyunet_fiji.backend import predict
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags
from pyunet_fiji.backend.main import run
from pyunet_fiji.backend.tilings import TileGrid, TilePixels
from pyunet_fiji.modeldef import read_modeldef
from tests.support.tiled_nets import model

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
CASES = [
    pytest.param(folder, name, case, id=f"{folder.name}-{name}")
    for folder in sorted(REFERENCE.iterdir())
    for name, case in json.loads((folder / "cases.json").read_text()).items()
]
UNET = REFERENCE / "unet2d"


def flags_of(folder, source, *arguments, out=None):
    arguments = [
        "-infileH5", source, "-outfileH5", out or source,
        "-model", folder / "model.modeldef.h5",
        "-weights", folder / "weights.caffemodel.h5", *arguments,
    ]  # fmt: skip
    return parse_flags(Flags, [str(argument) for argument in arguments])[0]


@pytest.fixture
def images(tmp_path):
    return shutil.copy(UNET / "input_0.h5", tmp_path / "io.h5")


@pytest.mark.reference
@pytest.mark.parametrize(("folder", "name", "case"), CASES)
def test_scores_and_progress_are_those_of_the_original(
    folder, name, case, tmp_path, capsys
):
    path = tmp_path / "io.h5"
    shutil.copy(folder / f"input_{case['input']}.h5", path)
    assert predict.run(flags_of(folder, path, *case["args"])) == 0
    assert capsys.readouterr().out == case["stdout"]
    with h5py.File(path) as got, h5py.File(folder / f"out_{name}.h5") as want:
        assert sorted(got) == sorted(want)
        for blob in want:
            expected = want[blob][()]
            assert got[blob].dtype == np.float32
            difference = np.linalg.norm(got[blob][()] - expected)
            assert difference <= 1e-5 * np.linalg.norm(expected)


def test_what_is_done_is_logged_as_by_the_original(images, said):
    predict.run(flags_of(UNET, images, "-n_tiles", "2", "-iterations", "1"))
    lines = [line.partition("] ")[2] for line in said()]
    assert lines == [
        "Use CPU.",
        "n_tiles: (2)",
        "average_mirror: 0",
        "average_rotate: 0",
        f"Reading model definition from: {UNET / 'model.modeldef.h5'}",
        "unet parameters",
        "\t.unet-ident: " + read_modeldef(UNET / "model.modeldef.h5").ident,
        "\tinput_blob_name: data",
        "\tinput_num_spatial_dims: 2",
        "\tpadding: mirror",
        "\tdownsampleFactor: (4,4)",
        "\tpadInput: (12,12)",
        "\tpadOutput: (-28,-28)",
        f"Loading HDF5 input file: {images}",
        "\tloading dataset: data",
        *lines[15:16],
        *lines[16:18],
        "----> tile (0,0) / (1,2)",
        "----> tile (0,1) / (1,2)",
        f"Saving HDF5 output file {images}",
    ]
    assert lines[15].startswith("\tdata blob size: (1,1,")
    assert lines[16].startswith("Tile shape ([z] y x): input = (")
    assert lines[17] == "Selected tiling ([z] y x): (1,2)"


def test_without_weights_the_net_runs_with_a_warning(images, said):
    flags = flags_of(UNET, images, "-n_tiles", "1")
    flags.weights = ""
    assert predict.run(flags) == 0
    assert any(
        line.endswith(
            "] Warning: No model weights are given. Net will be initialized without "
            "model weights!"
        )
        for line in said()
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"infileH5": ""}, "Need an hdf5 input file."),
        ({"outfileH5": ""}, "Need an hdf5 output file."),
        ({"model": ""}, "Need a model definition to score."),
        ({"iterations": -1}, "Number of iterations must be >= 0."),
        (
            {"average_mirror": True, "average_rotate": True},
            "Options average_mirror and average_rotate are mutually exclusive!",
        ),
        (
            {"model": "m.prototxt"},
            "Model file type is not supported. HDF5 file is expected.",
        ),
    ],
)
def test_wrong_flags_are_failed_checks(changes, wanted, tmp_path):
    flags = Flags(
        infileH5="in.h5", outfileH5=str(tmp_path / "o.h5"), model="m.h5", n_tiles="1"
    )
    for name, value in changes.items():
        setattr(flags, name, value)
    with pytest.raises(CheckFailedError) as caught:
        predict.run(flags)
    assert str(caught.value) == wanted


def test_another_padding_is_a_failed_check(images, tmp_path):
    path = tmp_path / "model.modeldef.h5"
    shutil.copy(UNET / "model.modeldef.h5", path)
    with h5py.File(path, "a") as file:
        del file["unet_param/padding"]
        file["unet_param/padding"] = np.bytes_("wrap")
    flags = flags_of(UNET, images, "-n_tiles", "1")
    flags.model = str(path)
    with pytest.raises(CheckFailedError, match=r"'zero' and 'mirror'. It is 'wrap'"):
        predict.run(flags)


class TestFreeMemory:
    """With -gpu and no option the free memory decides."""

    @pytest.fixture(autouse=True)
    def engine(self, monkeypatch):
        """Let an engine say how much is free, and what its nets need."""
        self.free = None
        monkeypatch.setattr(predict, "free_megabytes", lambda number: self.free)
        monkeypatch.setattr(
            predict,
            "needed_bytes",
            lambda net: 1000 * int(np.prod(net.blobs["data3"].shape)),
        )

    @staticmethod
    def rule(definition, shape):
        return predict.rule_of_memory(definition, shape, "", 0)

    def test_the_models_table_goes_first(self, said):
        self.free = 180
        table = ((0, 0), (900, 178), (9999, 181))
        found = self.rule(model(memory_map=table), (1, 100, 100))
        assert found == TilePixels(900)
        assert "Set memAvailPx: 900 (based on map entry [900, 178]" in said()[-1]

    def test_without_a_table_the_net_itself_is_asked(self, said):
        # 96 x 88 pixels a tile cost 8.1 MB, of which 0.9 parts must be free; smaller
        # tiles than 36 x 34 for 20 x 18 would be little but border
        for megabytes, wanted in ((9, (1, 1)), (8, (2, 1)), (0, (4, 4))):
            self.free = megabytes
            found = self.rule(model(), (1, 80, 72))
            assert isinstance(found, TileGrid)
            tiling = found.tiling(model(), (80, 72))
            assert tiling.grid == wanted
            assert f"{megabytes} MB of GPU memory are free" in said()[-1]

    def test_a_table_for_larger_gpus_is_no_help(self):
        self.free = 8
        table = ((0, 0), (900, 178))
        assert self.rule(model(memory_map=table), (1, 80, 72)) == TileGrid((2, 1))

    def test_a_table_is_for_2d_models(self):
        self.free = 1000
        table = ((0, 0), (900, 178))
        definition = model(axes=3, memory_map=table)
        assert self.rule(definition, (1, 3, 20, 18)) == TileGrid((1, 1, 1))

    def test_the_command_uses_it(self, images, tmp_path, monkeypatch, capsys):
        self.free = 10**6
        monkeypatch.setattr(predict, "choose_device", lambda *_, **__: 0)
        monkeypatch.setattr(predict, "needed_bytes", lambda _: 1)
        assert predict.run(flags_of(UNET, images, "-gpu", "0")) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"Processing batch {batch}/2, tile 1/1" for batch in (1, 2)
        ]


def test_what_the_plugin_sends_of_a_constant_image_ends_in_a_fatal_line(images, capfd):
    with h5py.File(images, "a") as file:
        file["data"][...] = np.nan  # (v + offset) * (1 / 0)
    before = Path(images).read_bytes()
    arguments = [
        "tiled_predict", "-infileH5", images, "-outfileH5", images, "-n_tiles", "1",
        "-model", UNET / "model.modeldef.h5", "-iterations", "0",
        "-weights", UNET / "weights.caffemodel.h5",
    ]  # fmt: skip
    assert run([str(one) for one in arguments]) == 134
    said = capfd.readouterr()
    (fatal,) = [line for line in said.err.splitlines() if line.startswith("F")]
    assert "Check failed: " in fatal
    assert "has NaN or infinite values; expected finite ones" in fatal
    assert said.out == ""
    assert Path(images).read_bytes() == before


def test_scores_that_are_no_numbers_are_a_failed_check(images, tmp_path):
    weights = shutil.copy(UNET / "weights.caffemodel.h5", tmp_path / "w.caffemodel.h5")
    with h5py.File(weights, "a") as file:
        file["data/conv_d0a-b/1"][0] = np.nan
    flags = flags_of(UNET, images, "-n_tiles", "1")
    flags = replace(flags, weights=str(weights))
    with pytest.raises(CheckFailedError, match="'score' of tile 1 of image 1 has NaN"):
        predict.run(flags)

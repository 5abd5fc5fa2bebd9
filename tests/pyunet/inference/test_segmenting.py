"""One image on its way through a net: within the memory, and when that runs out."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pyunet.data.images import ImageStack
from pyunet.errors import DataError, OutOfMemoryError
from pyunet.inference.adapting import adapted_inputs
from pyunet.inference.engine import Model
from pyunet.inference.passes import parse_passes
from pyunet.inference.segmenting import Segmenter
from pyunet.memory import GPU_WORKSPACE, WORKSPACE
from pyunet.zoo.manifest import Input
from pyunet_fiji.modeldef.trained import definition_inputs
from tests.support import modeldefs
from tests.support.fake_net import FakeNet, axes_of, unet
from tests.support.marks import slow
from tests.support.segmenting import (
    plain_inputs,
    restored,
    segment_array,
    whole_arrays,
)

UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"
PLENTY = 2**30
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 9 bytes"),
    MemoryError("Unable to allocate 1 GiB"),
]


def model_of(axes=2, **changes):
    """Give a small U-Net with weights drawn at random."""
    layers, weights = unet(1, axes=axes, seed=3)
    found = axes_of(layers, axes)
    shape = (1, 1, *(axis.smallest for axis in found))
    net = FakeNet(layers, "data", shape, weights)
    return Model(Path("x"), net, "data", "score", 1, found, **changes)


def stack_of(*shape, seed=0):
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return ImageStack(array, "a", [])


def scores_of(segmenter, inputs):
    """Gather the parts; each pixel has to be there."""
    work = segmenter.plan(inputs)
    *depth, height, width = inputs.own
    slices = inputs.count * int(np.prod(depth))
    found = np.full((slices, segmenter.classes, height, width), np.nan, np.float32)
    for part in work.parts():
        found[(part.image, slice(None), *part.target)] = part.scores
    assert not np.isnan(found).any()
    return found, work


def tight(model, most, error, *, after=0):
    """Let a net run out of memory on more input pixels than so many."""
    forward, calls = model.net.forward, []

    def limited():
        calls.append(1)
        if len(calls) > after and model.net.blobs["data"].data.size > most:
            raise error
        return forward()

    model.net.forward = limited
    return model


class TestHalving:
    @pytest.mark.parametrize(
        ("error", "passes", "after"),
        [(ERRORS[0], None, 0), (ERRORS[1], "mirror", 2), slow(ERRORS[2], "3", 2)],
    )
    def test_smaller_tiles_give_the_scores_of_one_large_tile(
        self, error, passes, after, caplog
    ):
        inputs = plain_inputs(stack_of(3, 1, 90, 100), 2)
        chosen = passes and parse_passes(passes)
        expected, work = scores_of(Segmenter(model_of(), PLENTY, 0, chosen), inputs)
        assert len(next(iter(work.plans.values()))) == 1
        model = tight(model_of(), 70 * 70, error, after=after)
        found, work = scores_of(Segmenter(model, PLENTY, 0, chosen), inputs)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
        assert all(len(plan) > 1 for plan in work.plans.values())
        assert "out of memory" in caplog.text
        assert "were too large, going on with tiles of" in caplog.text

    @pytest.mark.slow
    def test_ends_before_tiles_are_little_but_border(self):
        model = tight(model_of(), 0, ERRORS[0])
        segmenter = Segmenter(model, PLENTY)
        with pytest.raises(
            OutOfMemoryError, match=r"CUDA out of memory.* more than 4 times the pixels"
        ):
            scores_of(segmenter, plain_inputs(stack_of(1, 1, 200, 200), 2))
        (axis, _) = model.axes
        # of n + shrink read for n, less than shrink are more than 4 times as many
        assert min(model.net.blobs["data"].shape[2:]) >= 2 * axis.shrink

    def test_takes_tiles_one_by_one_first(self, caplog):
        model = tight(replace(model_of(), on_gpu=True), 6 * 32 * 32, ERRORS[0])
        inputs = plain_inputs(stack_of(1, 1, 90, 100), 2)
        segmenter = Segmenter(model, PLENTY + GPU_WORKSPACE, tile_size=[20])
        found, work = scores_of(segmenter, inputs)
        (plan,) = work.plans.values()
        assert (plan.batch, plan.output) == (4, (20, 20))
        assert "4 together" in caplog.text
        expected, _ = scores_of(Segmenter(model_of(), PLENTY), inputs)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)

    def test_other_errors_are_not_taken_for_it(self):
        model = tight(model_of(), 0, ValueError("shapes"))
        with pytest.raises(ValueError, match="shapes"):
            scores_of(Segmenter(model, PLENTY), plain_inputs(stack_of(1, 1, 30, 30), 2))

    def test_images_that_are_done_stay(self):
        model = model_of()
        windows = []
        inputs = plain_inputs(stack_of(4, 1, 40, 40), 2)
        given = inputs.windows

        def watched():
            for number, window in enumerate(given()):
                windows.append(number)
                yield window

        model = tight(model, 40 * 40, ERRORS[1], after=2)
        scores_of(Segmenter(model, PLENTY), replace(inputs, windows=watched))
        assert windows[0] == 0
        assert windows[-1] == 3


INPUTS = {
    "of the list": lambda: adapted_inputs(
        stack_of(2, 1, 60, 70), Input(pixel_size_um=0.5, mean=0.4, deviation=0.1),
        pixel_size_um=(0.8, 0.4),
    ),
    "of a definition": lambda: definition_inputs(
        stack_of(2, 1, 60, 70),
        modeldefs.definition(element_size_um=(0.5, 0.5)),
        (0.8, 0.4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("passes", [None, "all", "3"])
def test_scores_that_are_gathered_on_the_disk_are_the_same(
    kind, passes, tmp_path, monkeypatch
):
    inputs = INPUTS[kind]()
    chosen = passes and parse_passes(passes)
    segmenter = Segmenter(model_of(), PLENTY, 0, chosen, tile_size=[30])
    expected, work = scores_of(segmenter, inputs)
    assert work.folder is None
    monkeypatch.setattr(Segmenter, "_room", lambda *_: 0)
    found, work = scores_of(replace(segmenter, folder=tmp_path), inputs)
    assert work.folder == tmp_path
    np.testing.assert_array_equal(found, expected)
    assert list(tmp_path.iterdir()) == []


def test_scores_are_gathered_on_the_disk_where_tiles_would_not_fit_beside_them(
    tmp_path, monkeypatch
):
    inputs = INPUTS["of the list"]()
    gathered = 2**24  # less than half of the memory, and more than is left of it
    monkeypatch.setattr(Segmenter, "_gathered_bytes", lambda *_: gathered)
    model = model_of()
    tile = model.activation_bytes(tuple(axis.smallest for axis in model.axes))
    memory = WORKSPACE + inputs.held + gathered // 2 + 4 * tile
    segmenter = Segmenter(model, memory, folder=tmp_path)
    assert gathered < segmenter._room(inputs.held)
    assert segmenter.plan(inputs).folder == tmp_path
    with pytest.raises(DataError, match="raise the memory limit"):
        replace(segmenter, folder=None).plan(inputs)


def test_a_volume_of_another_pixel_size_is_gathered_slice_by_slice():
    inputs = definition_inputs(
        stack_of(12, 1, 30, 34),
        modeldefs.definition(axes=3, element_size_um=(1.0, 0.5, 0.5)),
        (2.0, 0.5, 0.4),
        frames=2,
    )
    model = model_of(axes=3)
    found, work = scores_of(Segmenter(model, PLENTY), inputs)
    for number, array in enumerate(whole_arrays(inputs)):
        (plan,) = work.plans.values()
        wanted = restored(inputs, segment_array(model, array, plan))
        np.testing.assert_array_equal(
            found[6 * number : 6 * number + 6], wanted.swapaxes(0, 1)
        )


def test_probabilities_are_made_at_the_nets_own_pixels():
    inputs = INPUTS["of the list"]()
    segmenter = Segmenter(model_of(), PLENTY, softmax=True)
    found, _ = scores_of(segmenter, inputs)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_disk_without_room_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr(Segmenter, "_room", lambda *_: 0)
    segmenter = Segmenter(model_of(), PLENTY, folder=tmp_path)
    with pytest.raises(DataError, match=rf"{tmp_path}: cannot be written: No space"):
        scores_of(segmenter, INPUTS["of the list"]())


LIMITED = """
import re, resource, sys
from pathlib import Path
from pyunet.cli import main
from pyunet.inference.engine import load_model
import pyunet.inference.pictures, pyunet.inference.segmenting
load_model(*sys.argv[3:6:2])
taken = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
room = int(sys.argv.pop())
resource.setrlimit(resource.RLIMIT_AS, ((taken << 10) + room, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


def limited(tmp_path, room, *words):
    """Run the command with so many bytes beside those of the loaded net."""
    return subprocess.run(
        [
            sys.executable, "-c", LIMITED, "segment",
            "--model", UNET / "deploy.prototxt",
            "--weights", UNET / "weights.caffemodel",
            "--out", tmp_path / "out", "--memory", "4G", *words,
            tmp_path / "a.tif", str(room),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux says sizes")
class TestAddressSpace:
    @pytest.fixture(autouse=True)
    def image(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 255, (2000, 2400), np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", image)

    @pytest.mark.slow
    def test_that_is_too_small_for_the_plan_halves_tiles(self, tmp_path):
        done = limited(tmp_path, 400 * 2**20)
        assert done.returncode == 0, done.stderr
        assert "were too large, going on with tiles of" in done.stderr
        found = tifffile.imread(tmp_path / "out" / "a_scores.tif")
        assert limited(tmp_path, 2**33).returncode == 0
        expected = tifffile.imread(tmp_path / "out" / "a_scores.tif")
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("megabytes", [64, 100, 150, 250, 400, 600])
def test_a_program_without_room_to_load_ends_in_one_line(megabytes, tmp_path):
    command = (
        f"ulimit -v {megabytes * 1024} && exec {sys.executable} -m pyunet segment "
        f"--model {UNET} --weights {UNET}/weights.caffemodel --out {tmp_path}/out "
        f"{tmp_path}/a.tif"
    )
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.uint8))
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pyunet segment: out of memory")


@pytest.mark.parametrize("megabytes", [64, 100, 150])
def test_caffe_without_room_to_load_ends_in_one_line(megabytes):
    command = (
        f"ulimit -v {megabytes * 1024} && exec {sys.executable} -m caffe time "
        f"-model {UNET}/net.prototxt"
    )
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "] caffe time: out of memory" in line

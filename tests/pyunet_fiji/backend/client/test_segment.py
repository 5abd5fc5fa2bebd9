"""Segmentation and detection: scores, progress and files."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.support.plugin_client import PluginClient
from tests.support.plugin_files import (
    read_scores,
    whole_scores,
    write_images,
    write_modeldef,
)
from tests.support.plugin_log import Progress

SHAPE = (50, 44)
TILINGS = {  # output tiles have 4 k - 28 pixels: 20x20, 28x16, 28x24, 28x24
    "-tile_size 17x20": 9,
    "-n_tiles 2x3": 6,
    "-n_tiles 4": 4,
    "-mem_available_px 5000": 4,
}


def draw(*shape):
    return np.random.default_rng(1).random(shape, np.float32)


def expect(client, setup, images, wanted=None):
    """Compare the result with scores of the net on whole images."""
    found = read_scores(client.folder / f"{client.ident}.h5")
    wanted = wanted or whole_scores(setup.definition, setup.weights, images)
    assert list(found) == sorted(wanted)
    for name, scores in found.items():
        np.testing.assert_allclose(scores, wanted[name], rtol=1e-4, atol=1e-5)


def every_tile(samples, tiles):
    """Numbers of all progress lines, in order."""
    batches = range(1, samples + 1)
    return [(b, samples, t, tiles) for b in batches for t in range(1, tiles + 1)]


@pytest.mark.parametrize(("tiling", "tiles"), TILINGS.items(), ids=list(TILINGS))
def test_every_tiling_gives_the_scores_of_the_whole_image(client, flat, tiling, tiles):
    images = draw(1, 1, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    progress = client.segment_by_macro(flat.model, flat.weights, *tiling.split())
    assert progress.seen == every_tile(1, tiles)
    expect(client, flat, images)


def test_the_whole_dialogue_and_the_labels_that_the_user_sees(client, flat):
    images = draw(1, 1, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    progress = client.segment(flat.model, flat.weights, "-n_tiles", "1")
    assert (progress.count, progress.total) == (1, 1)
    assert client.job.out == ["Processing batch 1/1, tile 1/1"]
    assert len(client.job.log) < 5000
    scores = read_scores(client.folder / f"{client.ident}.h5")["score"]
    wanted = whole_scores(flat.definition, flat.weights, images)["score"]
    assert scores.shape == (1, 2, *SHAPE)
    np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))
    assert 0 < scores.argmax(1).mean() < 1


@pytest.mark.slow
def test_colour_images_have_three_channels(client, colour):
    images = draw(1, 3, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", colour.definition, images)
    client.segment(colour.model, colour.weights, "-n_tiles", "2", channels=3)
    expect(client, colour, images)


@pytest.mark.slow
def test_all_frames_are_segmented(client, flat):
    images = draw(3, 1, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    progress = client.segment_by_macro(flat.model, flat.weights, "-n_tiles", "2")
    assert progress.seen == every_tile(3, 2)
    expect(client, flat, images)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mirror", "rotate"])
def test_averages_are_those_of_four_versions_of_the_image(client, flat, kind):
    images = draw(2, 1, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    progress = client.segment_by_macro(
        flat.model, flat.weights, "-tile_size", "60x60", f"-average_{kind}"
    )
    assert progress.seen == every_tile(8, 1)

    def version(array, number, back):
        if kind == "rotate":
            return np.rot90(array, number if back else -number, axes=(-2, -1))
        axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if number & bit]
        return np.flip(array, axes)

    turned = [
        whole_scores(flat.definition, flat.weights, version(images, number, False))
        for number in range(4)
    ]
    scores = [version(found["score"], n, True) for n, found in enumerate(turned)]
    expect(client, flat, images, {"score": np.mean(scores, axis=0)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tiling", "tiles"), [("-tile_size 4x10x12", 12), ("-n_tiles 2x1x2", 4)]
)
def test_volumes_have_a_model_of_their_own(client, volume, tiling, tiles):
    images = draw(1, 1, 10, 20, 22)
    write_images(client.folder / f"{client.ident}.h5", volume.definition, images)
    progress = client.segment(volume.model, volume.weights, *tiling.split())
    assert progress.seen == every_tile(1, tiles)
    expect(client, volume, images)


@pytest.mark.slow
def test_over_ssh_the_first_line_is_the_number_of_the_process(at_cluster, flat):
    images = draw(1, 1, *SHAPE)
    write_images(at_cluster.folder / f"{at_cluster.ident}.h5", flat.definition, images)
    progress = at_cluster.segment(flat.model, flat.weights, "-n_tiles", "2")
    assert progress.seen == every_tile(1, 2)
    assert at_cluster.job.pid == at_cluster.job.process.pid
    expect(at_cluster, flat, images)


@pytest.mark.slow
def test_an_empty_process_folder_is_the_working_directory(tmp_path, programs, flat):
    client = PluginClient(tmp_path, programs, relative=True)
    images = draw(1, 1, 20, 20)
    write_images(tmp_path / f"{client.ident}.h5", flat.definition, images)
    client.segment_by_macro(flat.model, flat.weights, "-n_tiles", "1")
    expect(client, flat, images)
    assert [path.name for path in tmp_path.iterdir()] == [f"{client.ident}.h5"]


@pytest.mark.slow
def test_an_image_may_be_smaller_than_a_tile_and_one_pixel_high(client, flat):
    images = draw(1, 1, 1, 3)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    client.segment_by_macro(flat.model, flat.weights, "-n_tiles", "1")
    rows = np.repeat(images, 9, axis=2)
    wanted = whole_scores(flat.definition, flat.weights, rows)["score"]
    expect(client, flat, images, {"score": wanted[:, :, :1]})


@pytest.mark.slow
def test_iterations_say_how_many_images_and_other_files_are_left_alone(client, flat):
    images = draw(3, 1, 20, 24)
    source, target = client.folder / "in.h5", client.folder / "out.h5"
    write_images(source, flat.definition, images)
    before = source.read_bytes()
    words = ["-infileH5", source, "-outfileH5", target, "-model", flat.model]
    words += ["-weights", flat.weights, "-n_tiles", "1", "-iterations"]
    for number, count in ((2, 2), (50, 3)):
        assert client.unet("tiled_predict", *words, number).status == 0
        wanted = whole_scores(flat.definition, flat.weights, images[:count])["score"]
        found = read_scores(target)["score"]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert source.read_bytes() == before


@pytest.mark.slow
def test_without_weights_the_net_runs_as_its_fillers_made_it(client, flat):
    file = client.folder / "in.h5"
    write_images(file, flat.definition, draw(1, 1, 20, 24))
    job = client.unet("tiled_predict", "-infileH5", file, "-outfileH5", file,
                      "-model", flat.model, "-n_tiles", "1")  # fmt: skip
    assert job.status == 0
    assert (
        "Warning: No model weights are given. Net will be initialized without model "
        "weights!" in job.log
    )
    assert read_scores(file)["score"].shape == (1, 2, 20, 24)


@pytest.mark.slow
def test_outputs_are_sorted_and_zero_padding_is_zero(client, flat):
    definition = replace(
        flat.definition,
        padding="zero",
        model_prototxt=flat.definition.model_prototxt
        + "\nlayer { name: 'again' type: 'Softmax' bottom: 'score' top: 'prob' }"
        "\nlayer { name: 'sum' type: 'Power' bottom: 'score' top: 'half' "
        "power_param { scale: 0.5 } }",
    )
    model = write_modeldef(client.folder / "m.modeldef.h5", definition)
    images = draw(1, 1, 20, 24)
    write_images(client.folder / f"{client.ident}.h5", definition, images)
    client.segment_by_macro(model, flat.weights, "-n_tiles", "1")
    wide = np.pad(images, [(0, 0), (0, 0), (40, 40), (40, 40)])
    inside = (..., slice(40, 60), slice(40, 64))
    scores = whole_scores(definition, flat.weights, wide)
    assert list(read_scores(client.folder / f"{client.ident}.h5")) == ["half", "prob"]
    expect(client, flat, images, {name: blob[inside] for name, blob in scores.items()})


@pytest.mark.slow
def test_images_of_another_type_and_name_are_read(client, flat):
    definition = replace(flat.definition, input_dataset_name="picture")
    model = write_modeldef(client.folder / "m.modeldef.h5", definition)
    images = np.random.default_rng(1).integers(0, 9, (1, 1, 20, 24), np.uint8)
    with h5py.File(client.folder / f"{client.ident}.h5", "w") as file:
        file["picture"] = images
    client.segment_by_macro(model, flat.weights, "-n_tiles", "1")
    expect(client, flat, images.astype(np.float32))


@pytest.mark.slow
def test_many_tiles_make_a_short_log(client, flat):
    write_images(client.folder / f"{client.ident}.h5", flat.definition,
                 draw(1, 1, 80, 80))  # fmt: skip
    progress = client.segment_by_macro(flat.model, flat.weights, "-tile_size", "4x4")
    assert (progress.count, progress.total) == (400, 400)
    assert len(client.job.log) < 400 * 100


@pytest.mark.slow
def test_a_program_may_lose_its_readers(client, flat):
    images = draw(1, 1, *SHAPE)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, images)
    words = ["-tile_size", "20x20"]
    job = client.predict(flat.model, flat.weights, *words, progress=Progress())
    job.leave()
    assert job.wait() == 0
    expect(client, flat, images)


@pytest.mark.slow
def test_standard_output_of_one_line_a_tile_is_flushed(client, flat):
    write_images(client.folder / f"{client.ident}.h5", flat.definition,
                 draw(1, 1, 200, 200))  # fmt: skip
    words, progress = ["-tile_size", "4x4"], Progress()
    job = client.predict(flat.model, flat.weights, *words, progress=progress)
    job.wait_for("Processing batch 1/1, tile 3/2500")
    assert job.process.poll() is None
    assert client.cancel_segmentation(job) == 143
    assert progress.count < 2500

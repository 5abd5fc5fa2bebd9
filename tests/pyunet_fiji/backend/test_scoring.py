"""Running a net tile by tile."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.memory import NoMemoryError
from pyunet_fiji.backend.scoring import Scoring
from pyunet_fiji.backend.tilings import (
    TileCount,
    TileGrid,
    TilePixels,
    TileShape,
    on_grid,
)
from tests.support.tiled_nets import TightNet, model, padded_pass, tile_net

RULES = {
    2: st.one_of(
        st.builds(TileCount, st.integers(1, 6)),
        st.builds(TileGrid, st.tuples(st.integers(1, 4), st.integers(1, 4))),
        st.builds(TileShape, st.tuples(st.integers(1, 30), st.integers(1, 30))),
        st.builds(TilePixels, st.integers(324, 3000)),
    ),
    3: st.one_of(
        st.builds(TileGrid, st.tuples(*[st.integers(1, 3)] * 3)),
        st.builds(TileShape, st.tuples(*[st.integers(1, 20)] * 3)),
    ),
}
NETS = {axes: tile_net(model(axes=axes, outputs=("score", "also"))) for axes in (2, 3)}


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def scores_of(definition, data, rule, *, net=None, average=""):
    net = net or NETS[definition.dimensions]

    def build(_model, _weights, _channels, tile):
        net.reshape(tile)
        return net

    scoring = Scoring(definition, data, "", average=average, build=build)
    return scoring, scoring.run(rule)


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("padding", ["mirror", "zero"])
def test_any_tiling_gives_what_one_padded_pass_gives(axes, padding, data):
    definition = model(axes=axes, outputs=("score", "also"), padding=padding)
    flat = axes - 2
    shape = [data.draw(st.integers(1, 4)) for _ in range(flat)]
    shape += [data.draw(st.integers(2, 25)) for _ in range(2)]
    image = images(1, 1, *shape, seed=data.draw(st.integers(0, 99)))
    rule = data.draw(RULES[axes])
    scoring, used = scores_of(definition, image, rule)
    assert used == rule
    assert sorted(scoring.scores) == ["also", "score"]
    wanted = padded_pass(NETS[axes], definition, image[0])
    for name, scores in scoring.scores.items():
        assert scores.shape == (1, 2, *shape)
        np.testing.assert_allclose(scores[0], wanted[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("average", ["mirror", "rotate"])
def test_averages_are_those_of_whole_versions(average):
    definition = model(outputs=("score", "also"))
    data = images(2, 1, 20, 14)
    scoring, _ = scores_of(definition, data, TileGrid((2, 1)), average=average)
    versions = {
        "mirror": [
            lambda a: a,
            lambda a: a[..., ::-1],
            lambda a: a[..., ::-1, :],
            lambda a: a[..., ::-1, ::-1],
        ],
        "rotate": [lambda a, k=k: np.rot90(a, k, (-2, -1)) for k in (0, -1, -2, -3)],
    }[average]
    back = versions if average == "mirror" else [versions[k] for k in (0, 3, 2, 1)]
    for sample in range(2):
        found = [
            undo(padded_pass(NETS[2], definition, do(data[sample]))["score"])
            for do, undo in zip(versions, back, strict=True)
        ]
        np.testing.assert_allclose(
            scoring.scores["score"][sample], np.mean(found, axis=0), atol=1e-4
        )


def test_progress_counts_versions_then_images_then_tiles(capsys):
    scores_of(
        model(outputs=("score", "also")),
        images(2, 1, 20, 18),
        TileGrid((1, 2)),
        average="mirror",
    )
    assert capsys.readouterr().out.splitlines() == [
        f"Processing batch {batch}/8, tile {tile}/2"
        for batch in range(1, 9)
        for tile in (1, 2)
    ]


def test_the_grid_of_a_rotated_image_is_its_own(said):
    scores_of(
        model(outputs=("score", "also")),
        images(1, 1, 20, 10),
        TileShape((20, 10)),
        average="rotate",
    )
    tilings = [line.split("] ")[-1] for line in said() if "Selected" in line]
    assert tilings == ["y x): (1,1)", "y x): (1,2)"] * 2


def test_a_tile_without_any_pixel_of_the_image_is_counted_but_not_computed(
    capsys, monkeypatch
):
    # of 9 rows, 4 tiles of 4 rows each leave the last without any
    definition = model(outputs=("score", "also"))
    tiling = on_grid(definition, (9, 4), (4, 1))
    assert tiling.tile_out == (4, 4)
    monkeypatch.setattr(TileCount, "tiling", lambda *_: tiling)
    scoring, _ = scores_of(definition, images(1, 1, 9, 4), TileCount(4))
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "Processing batch 1/1, tile 4/4"
    assert said.err.splitlines()[-1].endswith("] ----> skip (3,0) (out of bounds)")
    wanted = padded_pass(NETS[2], definition, images(1, 1, 9, 4)[0])["score"]
    np.testing.assert_allclose(scoring.scores["score"][0], wanted, atol=1e-4)


LIMIT = 26 * 26
LARGE = (80, 72)  # so that its quarters and eighths are more than border
LARGE_LIMIT = 56 * 52
ERRORS = [
    RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("could not create a primitive"),
]


@pytest.mark.parametrize(
    ("error", "rule", "wanted"),
    [
        (ERRORS[0], TileCount(1), TileCount(4)),
        (ERRORS[1], TileGrid((1, 1)), TileGrid((2, 2))),
        (ERRORS[2], TileShape((80, 72)), TileShape((40, 36))),
        (ERRORS[0], TilePixels(9000), TilePixels(96 * 40 // 2)),
    ],
    ids=str,
)
def test_too_little_memory_gives_the_result_of_the_option_with_another_number(
    error, rule, wanted, capsys
):
    definition = model(outputs=("score", "also"))
    data = images(2, 1, *LARGE)
    tight = TightNet(NETS[2], LARGE_LIMIT, error)
    scoring, used = scores_of(definition, data, rule, net=tight)
    out = capsys.readouterr()
    assert used == wanted
    warnings = [line for line in out.err.splitlines() if line.startswith("W")]
    assert warnings
    assert all("out of memory" in line for line in warnings)
    assert f"{used}" in warnings[-1]
    plain, _ = scores_of(definition, data, used)
    for name, scores in plain.scores.items():
        np.testing.assert_array_equal(scoring.scores[name], scores)
    assert out.out == capsys.readouterr().out


def test_too_little_memory_for_a_volume_halves_its_tiles_too():
    definition = model(axes=3, outputs=("score", "also"))
    data = images(1, 1, 3, *LARGE)
    tight = TightNet(NETS[3], 3 * 56 * 88)
    scoring, used = scores_of(definition, data, TileGrid((1, 1, 1)), net=tight)
    assert used == TileGrid((1, 2, 1))
    wanted = padded_pass(NETS[3], definition, data[0])["score"]
    np.testing.assert_allclose(scoring.scores["score"][0], wanted, atol=1e-4)


def test_memory_that_runs_out_late_leaves_no_trace_of_larger_tiles():
    definition = model(outputs=("score", "also"))
    data = images(3, 1, *LARGE)
    tight = TightNet(NETS[2], 10**6)
    forward = tight.forward
    tiles = []

    def failing_later():
        tiles.append(tight.tile_in)
        if len(tiles) == 3:
            tight.limit = LARGE_LIMIT
        return forward()

    tight.forward = failing_later
    scoring, used = scores_of(definition, data, TileCount(1), net=tight)
    plain, _ = scores_of(definition, data, used)
    np.testing.assert_array_equal(scoring.scores["score"], plain.scores["score"])
    assert tiles[:3] == [(96, 88)] * 3


def test_where_not_even_the_smallest_tile_fits_the_reason_is_said(said):
    tight = TightNet(NETS[2], 10)
    with pytest.raises(NoMemoryError, match=r"out of memory: .*18,18.*no smaller one"):
        scores_of(
            model(outputs=("score", "also")), images(1, 1, 2, 2), TileCount(1),
            net=tight,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("axes", [2, 3])
def test_halving_ends_before_tiles_are_little_but_border(axes, said):
    # an output of n pixels is read from n + 16: 20 x 18 from 36 x 34, 3.4 times as
    # many; half of it from 26 x 34, 4.9 times
    depth = (3,) * (axes - 2)
    tight = TightNet(NETS[axes], 10)
    reads = r"\(36,34\) does not fit, and one of \(26,34\) reads 4.9 times the pixels"
    if axes == 3:
        reads = reads.replace("36", "3,36").replace("26", "3,26")
    with pytest.raises(NoMemoryError, match=f"out of memory: .*{reads}.*CUDA out of"):
        scores_of(
            model(axes=axes, outputs=("score", "also")),
            images(1, 1, *depth, *LARGE),
            TileGrid((1,) * axes),
            net=tight,
        )
    restarts = [line for line in said() if "starting again" in line]
    assert len(restarts) == 4


def test_a_net_that_does_not_fit_is_let_go_before_the_next_is_built():
    definition = model(outputs=("score", "also"))
    built = []

    def build(_model, _weights, _channels, tile):
        assert all(net() is None for net in built)
        net = TightNet(tile_net(definition, tile=tile), LARGE_LIMIT)
        built.append(weakref.ref(net))
        return net

    scoring = Scoring(definition, images(1, 1, *LARGE), "", build=build)
    scoring.run(TileGrid((1, 1)))
    assert len(built) == 3


def test_other_errors_are_not_swallowed():
    tight = TightNet(NETS[2], 10, RuntimeError("CUDNN_STATUS_ARCH_MISMATCH"))
    with pytest.raises(RuntimeError, match="ARCH_MISMATCH"):
        scores_of(
            model(outputs=("score", "also")), images(1, 1, 20, 18), TileCount(1),
            net=tight,
        )  # fmt: skip


def test_a_model_that_says_wrong_numbers_is_refused():
    definition = model(outputs=("score", "also"), pad_output=(-10, -10))
    with pytest.raises(CheckFailedError, match="padOutput of the model definition"):
        scores_of(definition, images(1, 1, 20, 18), TileCount(1))

from dataclasses import replace

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.modeldef import LossWeights, write_modeldef
from pyunet_fiji.modeldef.checks import check_modeldef
from pyunet_fiji.modeldef.findings import Effect, problems
from tests.support.modeldefs import SOLVER, definition, random_weights

CAFFE_UNET, PLUGIN, FINETUNING, WRONG, NOTE = Effect
U_NET = definition(levels=3)
NET = U_NET.model_prototxt
PARAM = "/unet_param/"
SWISH = "layer { name: 's' type: 'Swish' bottom: 'd0b' top: 'd0b' swish_param { } }"
CLIP = (
    "layer { name: 's' type: 'Clip' bottom: 'd0b' top: 'd0b' "
    "clip_param { min: 0 max: 1 } }"
)


def check(folder, model=U_NET, **options):
    path = folder / "m.modeldef.h5"
    write_modeldef(path, model)
    return check_modeldef(path, **options)


def check_file(folder, spoil):
    """Check a sound file in which something was changed."""
    path = folder / "m.modeldef.h5"
    write_modeldef(path, U_NET)
    with h5py.File(path, "r+") as file:
        spoil(file)
    return check_modeldef(path)


def only(findings):
    """Give the one finding there is."""
    assert [str(found) for found in findings] == [str(found) for found in findings[:1]]
    return findings[0]


@pytest.mark.parametrize("axes", [2, 3])
def test_nothing_is_wrong_with_a_sound_model(tmp_path, axes):
    assert problems(check(tmp_path, definition(levels=3, axes=axes))) == []


def edited(old, new, text=NET):
    assert old in text
    return {"model_prototxt": text.replace(old, new)}


def without(kind):
    """Give the net without the layers of a type, and what hangs on them."""
    parts = NET.split("layer {")
    kept = [part for part in parts if kind not in part]
    assert len(kept) < len(parts)
    return {"model_prototxt": "layer {".join(kept)}


# a mistake, where it is found, what it leads to, words of the text
MISTAKES = [
    ({"padding": "reflect"}, PARAM + "padding", CAFFE_UNET, "is 'reflect'"),
    ({"ident": ""}, "/.unet-ident", WRONG, "is ''"),
    ({"ident": "a/b"}, "/.unet-ident", WRONG, "is 'a/b'"),
    ({"ident": "my net"}, "/.unet-ident", NOTE, "does not quote file names"),
    ({"normalization_type": 4}, PARAM + "normalization_type", WRONG, "is 4"),
    ({"element_size_um": (0.5, 0)}, PARAM + "element_size_um", WRONG, "0.5, 0.0"),
    ({"element_size_um": (0.5, np.nan)}, PARAM + "element_size_um", WRONG, "nan"),
    ({"disk_radius_px": -1}, PARAM + "diskRadiusPx", WRONG, "is -1"),
    (
        {"loss_weights": LossWeights(sigma1_px=0)},
        PARAM + "pixelwise_loss_weights/sigma1Px",
        WRONG,
        "is 0",
    ),
    (
        {"loss_weights": LossWeights(border_weight_factor=-1)},
        PARAM + "pixelwise_loss_weights/borderWeightFactor",
        WRONG,
        "is -1",
    ),
    ({"class_names": ("cell", "x")}, PARAM + "classNames", NOTE, "begins with 'cell'"),
    (
        {"class_names": ("Background", "a", "b")},
        PARAM + "classNames",
        NOTE,
        "has 3 names, but 'score' has 2 channels",
    ),
    (
        {"memory_map": ((0, 1), (9, 2))},
        PARAM + "mapInputNumPxGPUMemMB",
        CAFFE_UNET,
        "a tile of 0 pixels",
    ),
    (
        {"memory_map": ((1, 3), (9, 2))},
        PARAM + "mapInputNumPxGPUMemMB",
        NOTE,
        "not ascending",
    ),
    # tile sizes; the net has factor 8, pads 28 and -60
    (
        {"downsample_factor": (4, 8)},
        PARAM + "downsampleFactor",
        WRONG,
        "y: is 4, but the layers divide by 8",
    ),
    (
        {"pad_input": (28, 29), "pad_output": (-60, -59)},
        PARAM + "padInput",
        WRONG,
        "x: is 29, so that tiles do not divide exactly",
    ),
    (
        {"pad_output": (-60, -52)},
        PARAM + "padOutput",
        WRONG,
        "x: is -52, so that tiles should shrink by 80 pixels, but 'score' is 88",
    ),
    # the net's text
    (edited("bottom", "botom"), "/model_prototxt", CAFFE_UNET, "botom"),
    ({"model_prototxt": ""}, "/model_prototxt", CAFFE_UNET, "has no layer"),
    (
        {"model_prototxt": "layers { name: 'a' type: RELU bottom: 'a' top: 'b' }"},
        "/model_prototxt",
        CAFFE_UNET,
        "old syntax",
    ),
    (
        {"input_blob_name": "data"},
        PARAM + "input_blob_name",
        CAFFE_UNET,
        "is 'data', but no layer of phase TEST takes it",
    ),
    (
        {"model_prototxt": "layer { type: 'DummyData' top: 'data3' }" + NET},
        PARAM + "input_blob_name",
        CAFFE_UNET,
        "makes also in phase TEST",
    ),
    (
        edited(
            "bottom: 'weightcrop' include: { phase: TRAIN }", "bottom: 'weightcrop'"
        ),
        "/model_prototxt",
        CAFFE_UNET,
        "take labelcrop, weightcrop, which none of them makes",
    ),
    (
        edited("type: 'ReLU'", "type: 'Relu6'"),
        "/model_prototxt",
        CAFFE_UNET,
        "Relu6",
    ),
    (
        {
            "model_prototxt": NET + "layer { name: 'v' type: 'Silence' bottom: 'd0b' }"
            "layer { name: 'w' type: 'ReLU' bottom: 'd3c' top: 'w' }"
        },
        "/model_prototxt",
        NOTE,
        "has the outputs score, w",
    ),
    # finetuning
    (
        edited("top: 'score'", "top: 'scores'"),
        "/model_prototxt",
        FINETUNING,
        "top 'score' is not there",
    ),
    (
        {
            "model_prototxt": NET.replace("top: 'score'", "top: 'raw'")
            + "layer { name: 'p' type: 'Softmax' bottom: 'raw' top: 'score' }"
        },
        "/model_prototxt",
        FINETUNING,
        "top 'score' comes from Softmax",
    ),
    (without("CreateDeformation"), "/model_prototxt", FINETUNING, "has no CreateDefor"),
    (without("HDF5Data"), "/model_prototxt", FINETUNING, "has no HDF5Data"),
    (
        edited("layer { name: 'relu_d0b'", SWISH + "layer { name: 'relu_d0b'"),
        "/model_prototxt",
        FINETUNING,
        "layer 's' has swish_param",
    ),
    (
        edited("layer { name: 'relu_d0b'", CLIP + "layer { name: 'relu_d0b'"),
        "/model_prototxt",
        FINETUNING,
        "layer 's' has clip_param",
    ),
    (
        edited("pooling_param { pool: MAX", "pooling_param { round_mode: FLOOR"),
        "/model_prototxt",
        FINETUNING,
        "layer 'pool_d0c-1a' has round_mode",
    ),
    ({"solver_prototxt": "base_lr: x"}, "/solver_prototxt", FINETUNING, "caffe can"),
    (
        {"solver_prototxt": SOLVER + "weights: 'a.caffemodel'"},
        "/solver_prototxt",
        FINETUNING,
        "has the field 'weights'",
    ),
    (
        {"solver_prototxt": SOLVER.replace("display: 1", "display: 20")},
        "/solver_prototxt",
        NOTE,
        "has display: 20",
    ),
]


@pytest.mark.parametrize(("changes", "where", "effect", "text"), MISTAKES)
def test_a_mistake_is_found_and_what_is_accepted_is_said(
    tmp_path, changes, where, effect, text
):
    findings = check(tmp_path, replace(U_NET, **changes))
    found = [each for each in findings if each.where == where and text in each.what]
    assert found, findings
    assert found[0].effect is effect
    assert found[0].accepted
    assert str(found[0]).count("\n") == 1
    assert bool(problems(findings)) == any(each.effect is not NOTE for each in findings)


def test_what_would_be_right_is_said_of_tile_sizes(tmp_path):
    first, *_ = problems(check(tmp_path, replace(U_NET, pad_output=(-60, -52))))
    assert first.accepted == "-60 for x, with padInput 28"


def test_other_pads_that_mean_the_same_tiles_are_right(tmp_path):
    model = replace(U_NET, pad_input=(44, 28), pad_output=(-44, -60))
    assert problems(check(tmp_path, model)) == []


def test_a_multiple_of_the_factor_is_right(tmp_path):
    model = replace(U_NET, downsample_factor=(16, 8))
    assert problems(check(tmp_path, model)) == []


def test_a_net_whose_tile_sizes_cannot_be_found_is_noted(tmp_path):
    text = NET.replace(
        "layer { name: 'relu_d0b'",
        "layer { name: 'm' type: 'MVN' bottom: 'd0b' top: 'd0b' }"
        "layer { name: 'relu_d0b'",
    )
    found = only(check(tmp_path, replace(U_NET, model_prototxt=text)))
    assert found.effect is NOTE
    assert "tile sizes cannot be found" in found.what


def test_a_net_that_pools_over_everything_gives_wrong_results(tmp_path):
    text = NET.replace("pool: MAX", "pool: MAX global_pooling: true")
    findings = check(tmp_path, replace(U_NET, model_prototxt=text))
    assert "global_pooling" in only(problems(findings)).what


def test_a_smallest_tile_without_pixels_is_noted(tmp_path):
    found = only(check(tmp_path, definition(levels=2)))
    assert found.effect is NOTE
    assert "the smallest tile that the plugin offers is 0x0" in found.what


def delete(name):
    return lambda file: file.__delitem__(name)


def put(name, value, **options):
    def spoil(file):
        if name in file:
            del file[name]
        file.create_dataset(name, data=value, **options)

    return spoil


def micrometres(file):
    group = file[PARAM + "pixelwise_loss_weights"]
    group.move("sigma1Px", "sigma1_um")
    group.move("borderWeightSigmaPx", "borderWeightSigma_um")


SPOILED = [
    (delete("/.unet-ident"), "/.unet-ident", CAFFE_UNET, "is missing"),
    (delete("/model_prototxt"), "/model_prototxt", CAFFE_UNET, "is missing"),
    (delete("/solver_prototxt"), "/solver_prototxt", PLUGIN, "is missing"),
    (delete(PARAM + "name"), PARAM + "name", PLUGIN, "is missing"),
    (delete(PARAM + "description"), PARAM + "description", PLUGIN, "is missing"),
    (
        delete(PARAM + "normalization_type"),
        PARAM + "normalization_type",
        PLUGIN,
        "is missing",
    ),
    (
        delete(PARAM + "element_size_um"),
        PARAM + "element_size_um",
        CAFFE_UNET,
        "is missing",
    ),
    (
        put(PARAM + "padInput", 28),
        PARAM + "padInput",
        CAFFE_UNET,
        "Could not load padInput into 1-D vector",
    ),
    (
        put(PARAM + "padOutput", [1, 2, 3]),
        PARAM + "padOutput",
        CAFFE_UNET,
        "has 3 numbers",
    ),
    (
        put(PARAM + "normalization_type", [1, 2]),
        PARAM + "normalization_type",
        PLUGIN,
        "has 2 numbers",
    ),
    (
        put(PARAM + "classNames", [1, 2]),
        PARAM + "classNames",
        PLUGIN,
        "has type int64",
    ),
    (
        put(PARAM + "mapInputNumPxGPUMemMB", [1, 2]),
        PARAM + "mapInputNumPxGPUMemMB",
        PLUGIN,
        "has shape (2,)",
    ),
    (
        put("/.unet-ident", "id", dtype=h5py.string_dtype()),
        "/.unet-ident",
        NOTE,
        "variable length",
    ),
    (
        put(PARAM + "padInput", np.array([28.0])),
        PARAM + "padInput",
        NOTE,
        "has type float64",
    ),
    (
        delete(PARAM + "pixelwise_loss_weights"),
        PARAM + "pixelwise_loss_weights",
        NOTE,
        "has none of the parameters of the loss",
    ),
    (
        micrometres,
        PARAM + "pixelwise_loss_weights",
        NOTE,
        "those in micrometres, of MATLAB, are not read",
    ),
]


@pytest.mark.parametrize(("spoil", "where", "effect", "text"), SPOILED)
def test_a_spoiled_dataset_is_found(tmp_path, spoil, where, effect, text):
    found = only(check_file(tmp_path, spoil))
    assert (found.where, found.effect) == (where, effect)
    assert text in found.what
    assert found.accepted


def test_a_missing_solver_is_said_once(tmp_path):
    assert len(check_file(tmp_path, delete("/solver_prototxt"))) == 1


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    def spoil(file):
        del file["/.unet-ident"], file[PARAM + "padding"], file[PARAM + "name"]

    assert {found.where for found in check_file(tmp_path, spoil)} == {
        "/.unet-ident",
        PARAM + "padding",
        PARAM + "name",
    }


def test_a_file_that_is_no_hdf5_cannot_be_checked(tmp_path):
    (tmp_path / "m.h5").write_bytes(b"text")
    with pytest.raises(DataError, match="not an HDF5 file"):
        check_modeldef(tmp_path / "m.h5")


def test_weights_are_not_compared_with_a_net_that_cannot_be_built(tmp_path):
    weights = random_weights(tmp_path / "w.caffemodel.h5", U_NET)
    model = replace(U_NET, input_blob_name="data")
    found = only(problems(check(tmp_path, model, weights=weights)))
    assert found.where == PARAM + "input_blob_name"


def test_an_empty_solver_only_lacks_the_display(tmp_path):
    found = only(check(tmp_path, replace(U_NET, solver_prototxt="")))
    assert (found.effect, found.accepted) == (NOTE, "display: 1")

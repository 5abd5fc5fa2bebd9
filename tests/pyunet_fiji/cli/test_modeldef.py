import subprocess
import sys

import h5py
import numpy as np
import pytest

from pyunet.cli import main
from pyunet_fiji.modeldef import LossWeights, read_modeldef, write_modeldef
from tests.support.modeldefs import SOLVER, definition, random_weights

MODEL = definition(levels=3)


def modeldef(capsys, *words):
    status = main(["modeldef", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Work in a folder with a net and a solver."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(MODEL.model_prototxt)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


@pytest.fixture
def path(tmp_path):
    write_modeldef(tmp_path / "m.modeldef.h5", MODEL)
    return tmp_path / "m.modeldef.h5"


NEEDED = ("--model", "net.prototxt", "--solver", "solver.prototxt", "--out", "m.h5")
SIZE = ("--element-size", "0.5,0.25")


def test_create_finds_what_is_not_said(texts, capsys):
    status, out, err = modeldef(capsys, "create", *NEEDED, *SIZE)
    assert (status, out, err) == (0, "m.h5\n", "")
    model = read_modeldef("m.h5")
    assert model.ident == model.name == "small"
    assert model.input_blob_name == "data3"
    assert model.element_size_um == (0.5, 0.25)
    assert model.downsample_factor == (8, 8)
    assert model.pad_input == (28, 28)
    assert model.pad_output == (-60, -60)
    assert model.model_prototxt == MODEL.model_prototxt
    assert model.solver_prototxt == SOLVER
    assert model.padding == "mirror"
    assert model.normalization_type == 1
    assert model.loss_weights == LossWeights()


def test_create_takes_everything_that_is_said(texts, capsys):
    words = [
        "--id=v1",
        "--input-blob",
        "data3",
        "--input-dataset",
        "raw",
        "--downsample",
        "8",
        "--pad-input",
        "36,28",
        "--pad-output",
        "-52,-60",
        "--padding",
        "zero",
        "--normalization",
        "2",
        "--name",
        "N",
        "--description",
        "D",
        "--classes",
        "Background,cell",
        "--memory-map",
        "10:1,20:2",
        "--border-weight-factor",
        "1",
        "--border-weight-sigma-px",
        "2",
        "--foreground-background-ratio",
        "3",
        "--sigma1-px",
        "4",
        "--disk-radius",
        "5",
    ]
    status, _, err = modeldef(capsys, "create", *NEEDED, *SIZE, *words)
    assert (status, err) == (0, "")
    model = read_modeldef("m.h5")
    assert (model.ident, model.name, model.description) == ("v1", "N", "D")
    assert model.input_dataset_name == "raw"
    assert model.pad_input == (36, 28)
    assert model.pad_output == (-52, -60)
    assert (model.padding, model.normalization_type) == ("zero", 2)
    assert model.class_names == ("Background", "cell")
    assert model.memory_map == ((10, 1), (20, 2))
    assert model.loss_weights == LossWeights(1, 2, 3, 4)
    assert model.disk_radius_px == 5


def test_create_warns_of_pads_that_the_layers_do_not_have(texts, capsys):
    pads = ("--pad-input", "28", "--pad-output", "-64")
    status, out, err = modeldef(capsys, "create", *NEEDED, *SIZE, *pads)
    assert (status, out) == (0, "m.h5\n")
    assert "tiles would be misplaced" in err
    assert "accepted: -60 for y" in err


SCRIPT = [
    "model=net.prototxt",
    "solver=solver.prototxt",
    "id=v1",
    "inputblob=data3",
    "downsample=8",
    "elementsize=0.5,0.5",
    "pad_input=28",
    "pad_output=-60",
    "outfile=s.h5",
]


def test_create_takes_the_words_of_the_script(texts, capsys):
    status, out, err = modeldef(
        capsys, "create", *SCRIPT, "description=a=b", "additionalArgs=unet_param/x:7"
    )
    assert (status, out) == (0, "s.h5\n")
    assert "'description=a=b' is cut off at its second '='" in err
    with h5py.File("s.h5") as file:
        assert file["unet_param/x"][()] == 7
        assert file["unet_param/padInput"][:].tolist() == [28]
        assert file["unet_param/description"][()] == b"a"
        assert "pixelwise_loss_weights" not in file["unet_param"]
    assert read_modeldef("s.h5").pad_output == (-60, -60)


def test_create_words_are_warned_of_as_well(texts, capsys):
    words = [word.replace("-60", "-61") for word in SCRIPT]
    _, _, err = modeldef(capsys, "create", *words)
    assert "tiles would be misplaced" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "--model, --solver, --element-size, --out missing"),
        (NEEDED, "--element-size missing"),
        ((*NEEDED, "--element-size", "1"), "1 numbers; accepted are 2 or 3"),
        ((*NEEDED, *SIZE, "--downsample", "1,2,3"), "net.prototxt: 1,2,3: 3 numbers"),
        ((*NEEDED, *SIZE, "--input-blob", "x"), "net.prototxt: blob 'score' does not"),
        ((*SCRIPT, "--id", "x"), "--id beside 'model=net.prototxt'; accepted are"),
        (SCRIPT[1:], "model missing; accepted are"),
    ],
)
def test_create_says_what_it_needs(texts, capsys, words, text):
    status, out, err = modeldef(capsys, "create", *words)
    assert (status, out) == (1, "")
    assert text in err
    assert err.count("\n") == 1
    assert not list(texts.glob("*.h5"))


def test_create_wants_an_id_where_the_net_has_no_name(texts, capsys):
    net = MODEL.model_prototxt.replace("name: 'small'", "")
    (texts / "net.prototxt").write_text(net)
    status, _, err = modeldef(capsys, "create", *NEEDED, *SIZE)
    assert status == 1
    assert "the net has no name; give --id" in err


def test_create_says_what_cannot_be_found_of_a_net(texts, capsys):
    (texts / "net.prototxt").write_text(
        "name: 'n' layer { type: 'Concat' bottom: 'a' bottom: 'b' top: 'score' }"
    )
    status, _, err = modeldef(capsys, "create", *NEEDED, *SIZE)
    assert status == 1
    assert "blobs that no layer makes in phase TEST: a, b" in err
    assert "--input-blob, --downsample, --pad-input and --pad-output say" in err


@pytest.mark.parametrize("flag", ["--downsample", "--element-size"])
def test_numbers_are_numbers(texts, capsys, flag):
    status, _, err = modeldef(capsys, "create", flag, "a,b")
    assert status == 2
    assert "'a,b' is not [Z,]Y,X, such as" in err


def test_show_says_all_that_is_in_the_file(path, capsys):
    status, out, _ = modeldef(capsys, "show", path)
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines()[1:])
    assert lines["id"] == "small2d"
    assert lines["dimension"] == "2 (y x)"
    assert lines["normalization"] == "1 (smallest..largest to 0..1)"
    # modeldef_h5.md 2: the smallest and 10 steps; shrink 88
    assert lines["segmentation"] == (
        "output from 4 x 4 in steps of 8 x 8; in the plugin at first 84 x 84"
    )
    assert lines["finetuning"] == (
        "input from 92 x 92 in steps of 8 x 8; in the plugin at first 172 x 172"
    )
    assert lines["solver"] == "Adam, base_lr 1e-05, momentum 0.9, display 1"
    assert lines["missing"] == "nothing that the plugin needs"
    assert "not" not in lines


def test_show_counts_the_parameters_of_the_net(path, capsys):
    import caffe
    from tests.support.modeldefs import build_net

    net = build_net(MODEL, path.with_suffix(".prototxt"))
    count = sum(blob.data.size for blobs in net.params.values() for blob in blobs)
    assert isinstance(net, caffe.Net)
    _, out, _ = modeldef(capsys, "show", path)
    assert f"parameters     {count:,} for images of one channel" in out


def test_show_gives_one_text_alone(path, capsys):
    assert modeldef(capsys, "show", path, "--text", "solver")[1] == SOLVER + "\n"
    _, out, _ = modeldef(capsys, "show", path, "--text", "model")
    assert out == MODEL.model_prototxt + "\n"


def test_show_names_what_is_missing_or_not_used(path, capsys):
    with h5py.File(path, "r+") as file:
        del file["solver_prototxt"]
        file["unet_param/input_num_channels"] = 1
        file.create_group("modeldef").attrs["nDims"] = 2
        file["unet_param/mapInputNumPxGPUMemMB"] = [[10, 20], [1, 2]]
    _, out, _ = modeldef(capsys, "show", path)
    assert "missing        /solver_prototxt" in out
    assert "not used       /modeldef, /unet_param/input_num_channels" in out
    assert "memory map     10 px: 1 MB, 20 px: 2 MB" in out


def test_show_says_how_a_finetuning_that_the_plugin_cancelled_goes_on(path, capsys):
    words = ["caffe", "train", "-snapshot", "my job-snapshot_iter_26.solverstate.h5"]
    with h5py.File(path, "a") as file:
        file["commandLine"] = np.array(words, dtype="S40")
    _, out, _ = modeldef(capsys, "show", path)
    line = "caffe train -snapshot 'my job-snapshot_iter_26.solverstate.h5'"
    assert f"cancelled      it goes on with: {line}\n" in out
    assert "not used" not in out


def test_show_does_not_stop_at_texts_that_caffe_cannot_read(path, capsys):
    with h5py.File(path, "r+") as file:
        for name in ("solver_prototxt", "model_prototxt"):
            del file[name]
            file[name] = b"nonsense: 1"
    status, out, _ = modeldef(capsys, "show", path)
    assert status == 0
    assert "parameters     unknown: " in out
    assert "solver         unknown: no SolverParameter that caffe can read" in out


def test_check_is_content_with_a_sound_model(path, capsys):
    weights = random_weights(path.with_name("w.caffemodel.h5"), MODEL)
    status, out, _ = modeldef(capsys, "check", path, "--weights", weights)
    assert (status, out) == (0, f"{path} and {weights}: nothing is wrong\n")


def test_check_shows_problems_and_exits_with_1(path, capsys):
    with h5py.File(path, "r+") as file:
        del file["unet_param/padding"]
    status, out, _ = modeldef(capsys, "check", path)
    assert status == 1
    assert out.splitlines() == [
        "[caffe_unet refuses] /unet_param/padding: is missing",
        "    accepted: a dataset of this name",
        f"{path}: 1 problem(s)",
    ]


def test_a_note_is_no_problem(path, capsys):
    with h5py.File(path, "r+") as file:
        del file["unet_param/pixelwise_loss_weights"]
    status, out, _ = modeldef(capsys, "check", path)
    assert status == 0
    assert out.startswith("[note] /unet_param/pixelwise_loss_weights: ")
    assert out.endswith("nothing is wrong\n")


@pytest.mark.parametrize("command", ["show", "check"])
def test_what_is_no_model_is_one_line(tmp_path, capsys, command):
    status, out, err = modeldef(capsys, command, tmp_path / "no.h5")
    assert (status, out) == (1, "")
    assert err == (
        f"pyunet modeldef {command}: {tmp_path}/no.h5: no such file; a .modeldef.h5 "
        "file is wanted\n"
    )


@pytest.mark.parametrize("command", ["create", "show", "check"])
def test_help_ends_with_an_example(capsys, command):
    status, out, _ = modeldef(capsys, command, "--help")
    assert status == 0
    assert f"\n  pyunet modeldef {command} " in out[out.rindex("example") :]


def test_help_needs_nothing_heavy():
    script = (
        "import sys; from pyunet.cli import main; main(['modeldef', '--help']); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'h5py', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 0

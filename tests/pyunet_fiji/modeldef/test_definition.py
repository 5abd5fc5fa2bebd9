import contextlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_fiji.modeldef import (
    LossWeights,
    ModelDefinition,
    read_ident,
    read_modeldef,
    write_modeldef,
)
from tests.support.modeldefs import definition

TILED = Path(__file__).parents[2] / "reference/tiled"
SMALL = ModelDefinition(
    ident="tiny",
    model_prototxt="name: 'tiny'",
    input_blob_name="data3",
    element_size_um=(0.5, 0.25),
    downsample_factor=(4, 4),
    pad_input=(12, 12),
    pad_output=(-28, -28),
    solver_prototxt="display: 1",
    name="Tiny",
    description="µm",
)
TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
)
INTS = st.integers(-(2**31), 2**31 - 1).filter(lambda number: number > -(2**31))


@st.composite
def definitions(draw):
    axes = draw(st.sampled_from((2, 3)))

    def vector(numbers):
        return st.tuples(*[numbers] * axes)

    weights = st.floats(0, 1e9, allow_nan=False)
    return ModelDefinition(
        ident=draw(TEXTS),
        model_prototxt=draw(TEXTS),
        input_blob_name=draw(TEXTS),
        element_size_um=draw(vector(st.floats(1e-9, 1e9))),
        downsample_factor=draw(vector(st.integers(1, 2**31 - 1))),
        pad_input=draw(vector(INTS)),
        pad_output=draw(vector(INTS)),
        padding=draw(TEXTS),
        solver_prototxt=draw(TEXTS),
        name=draw(TEXTS),
        description=draw(TEXTS),
        input_dataset_name=draw(TEXTS),
        normalization_type=draw(INTS),
        loss_weights=draw(st.builds(LossWeights, weights, weights, weights, weights)),
        disk_radius_px=draw(INTS),
        class_names=tuple(draw(st.lists(TEXTS, max_size=4))),
        memory_map=tuple(draw(st.lists(st.tuples(INTS, INTS), max_size=4))),
        command_line=tuple(draw(st.lists(TEXTS, max_size=4))),
    )


@given(definitions())
def test_what_is_written_is_read_again(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("model") / "m.modeldef.h5"
    write_modeldef(path, model)
    assert read_modeldef(path) == model


@pytest.fixture
def file(tmp_path):
    """A sound file, open to be spoiled."""
    path = tmp_path / "m.modeldef.h5"
    write_modeldef(path, SMALL)
    with h5py.File(path, "r+") as file:
        yield file


def put(file, name, value, **options):
    if name in file:
        del file[name]
    file.create_dataset(name, data=value, **options)


def reread(file):
    file.flush()
    path = file.filename
    file.close()
    return read_modeldef(path)


@pytest.mark.parametrize(
    ("folder", "ident", "axes"),
    [("unet2d", "unet2d_shared", 2), ("unet3d", "unet3d_shared", 3)],
)
def test_models_of_the_original_program_are_read(folder, ident, axes):
    model = read_modeldef(TILED / folder / "model.modeldef.h5")
    assert model.ident == ident
    assert model.dimensions == axes
    assert model.element_size_um == (0.5,) * axes
    # the files hold one number for all axes
    assert len(model.pad_output) == axes
    assert model.padding == "mirror"
    assert model.description == ""
    assert model.loss_weights == LossWeights()
    assert model.missing == ()


# what the plugin (JHDF5) wants: texts of fixed length, vectors of rank 1
@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("/.unet-ident", "S4", ()),
        ("/model_prototxt", "S12", ()),
        ("/unet_param/description", "S3", ()),
        ("/unet_param/downsampleFactor", "<i4", (2,)),
        ("/unet_param/padInput", "<i4", (2,)),
        ("/unet_param/padOutput", "<i4", (2,)),
        ("/unet_param/normalization_type", "<i4", ()),
        ("/unet_param/diskRadiusPx", "<i4", ()),
        ("/unet_param/element_size_um", "<f8", (2,)),
        ("/unet_param/pixelwise_loss_weights/sigma1Px", "<f8", ()),
    ],
)
def test_types_are_those_that_the_plugin_reads(file, name, kind, shape):
    assert file[name].dtype == np.dtype(kind)
    assert file[name].shape == shape
    assert not file[name].attrs


def test_texts_are_padded_with_nul_and_say_their_encoding(file):
    ascii_ = file["model_prototxt"].id.get_type()
    utf8 = file["unet_param/description"].id.get_type()
    assert not ascii_.is_variable_str()
    assert ascii_.get_strpad() == h5py.h5t.STR_NULLPAD
    assert ascii_.get_cset() == h5py.h5t.CSET_ASCII
    assert utf8.get_cset() == h5py.h5t.CSET_UTF8


def test_an_empty_text_is_one_nul(tmp_path):
    write_modeldef(tmp_path / "m.h5", replace(SMALL, description=""))
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["unet_param/description"].dtype == np.dtype("S1")
        assert file["unet_param/description"][()] == b""


def test_class_names_and_memory_map_are_arrays(tmp_path):
    model = replace(
        SMALL,
        class_names=("Background", "cell"),
        memory_map=((35344, 700), (291600, 2900)),
    )
    write_modeldef(tmp_path / "m.h5", model)
    with h5py.File(tmp_path / "m.h5") as file:
        names = file["unet_param/classNames"]
        assert names[:].tolist() == [b"Background", b"cell"]
        assert names.dtype == np.dtype("S10")
        memory = file["unet_param/mapInputNumPxGPUMemMB"]
        assert memory.dtype == np.dtype("<i4")
        assert memory[:].tolist() == [[35344, 291600], [700, 2900]]


def text_types():
    utf8 = h5py.h5t.CSET_UTF8
    return [
        ("fixed", "tiny", None),
        ("variable ASCII", b"tiny", h5py.string_dtype("ascii")),
        ("variable UTF-8", "tiny", h5py.string_dtype("utf-8")),
        ("one element", [b"tiny"], None),
        ("one variable element", ["tiny"], h5py.string_dtype("utf-8")),
        ("embedded NUL", b"tiny\0rest", h5py.string_dtype("ascii", 9)),
        ("longer type", b"tiny", h5py.string_dtype("ascii", 40)),
        ("UTF-8", b"tiny", h5py.string_dtype("utf-8", 4)),
        (utf8, b"tiny", h5py.string_dtype("utf-8", 5)),
    ]


@pytest.mark.parametrize(("_", "value", "kind"), text_types())
def test_texts_of_every_kind_are_read(file, _, value, kind):
    put(file, "/.unet-ident", value, dtype=kind)
    assert reread(file).ident == "tiny"


@pytest.mark.parametrize(
    ("pad", "stored"),
    [
        (h5py.h5t.STR_NULLTERM, b"tiny\0\0\0\0"),
        (h5py.h5t.STR_NULLPAD, b"tiny\0\0\0\0"),
        (h5py.h5t.STR_SPACEPAD, b"tiny    "),
    ],
)
def test_texts_with_every_padding_are_read(file, pad, stored):
    del file["/.unet-ident"]
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(stored))
    kind.set_strpad(pad)
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(file.id, b".unet-ident", kind, scalar)
    whole = h5py.h5s.ALL
    dataset.write(whole, whole, np.array(stored, "S8"), mtype=kind)
    assert reread(file).ident == "tiny"


def test_an_empty_dataspace_is_an_empty_text(file):
    put(file, "/unet_param/name", h5py.Empty("S5"))
    assert reread(file).name == ""


def test_bytes_that_are_no_utf8_are_latin_1(file):
    put(file, "/unet_param/description", np.bytes_(b"0.5 \xb5m"))
    assert reread(file).description == "0.5 µm"


@pytest.mark.parametrize("kind", ["i1", "u1", "<i2", ">i4", "<i8", "u8", "<f4", ">f8"])
def test_numbers_of_every_width_are_read(file, kind):
    put(file, "/unet_param/downsampleFactor", np.array([16], kind))
    put(file, "/unet_param/normalization_type", np.array([3], kind))
    put(file, "/unet_param/element_size_um", np.array([1, 2, 4], kind))
    put(file, "/unet_param/padInput", np.array([1, 2, 3], kind))
    put(file, "/unet_param/padOutput", np.array([1], kind))
    model = reread(file)
    assert model.downsample_factor == (16, 16, 16)
    assert model.pad_input == (1, 2, 3)
    assert model.normalization_type == 3
    assert model.element_size_um == (1.0, 2.0, 4.0)


@pytest.mark.parametrize("name", ["downsampleFactor", "padInput", "padOutput"])
def test_a_scalar_is_no_vector_as_in_the_original(file, name):
    put(file, f"/unet_param/{name}", 4)
    with pytest.raises(DataError, match=f"Could not load {name} into 1-D vector"):
        reread(file)


def test_parameters_of_the_loss_are_read_as_a_block(file):
    weights = "/unet_param/pixelwise_loss_weights/"
    put(file, weights + "borderWeightFactor", np.float32(7))
    put(file, weights + "foregroundBackgroundRatio", np.float32(0.1))
    path = file.filename
    # what the plugin got from 0.1 in 32 bits, seen in its training files
    assert reread(file).loss_weights == LossWeights(7, 6, 0.10000000149011612, 10)
    with h5py.File(path, "r+") as again:
        del again[weights + "sigma1Px"]
    assert read_modeldef(path).loss_weights == LossWeights(50, 6, 0.1, 10)


def test_parameters_in_micrometres_fall_back(file):
    group = file["/unet_param/pixelwise_loss_weights"]
    for name in list(group):
        group.move(name, name.replace("Px", "_um"))
    assert reread(file).loss_weights == LossWeights()


def test_what_only_the_plugin_asks_for_may_be_missing(file):
    wanted = (
        "/solver_prototxt",
        "/unet_param/name",
        "/unet_param/description",
        "/unet_param/normalization_type",
    )
    for name in wanted:
        del file[name]
    model = reread(file)
    assert model.missing == wanted
    assert (model.solver_prototxt, model.name, model.normalization_type) == ("", "", 1)


def test_what_is_missing_is_not_made_up_by_writing(tmp_path):
    path = tmp_path / "m.h5"
    model = replace(SMALL, name="", missing=("/unet_param/name", "/solver_prototxt"))
    write_modeldef(path, model)
    with h5py.File(path) as file:
        assert "name" not in file["unet_param"]
        # a text that somebody gave is kept
        assert file["solver_prototxt"][()] == b"display: 1"


def test_what_caffe_unet_does_not_read_may_be_of_any_kind(file):
    put(file, "/unet_param/mapInputNumPxGPUMemMB", np.arange(4))
    put(file, "/unet_param/classNames", np.arange(4))
    put(file, "/unet_param/input_dataset_name", 3)
    put(file, "/unet_param/name", 3)
    file.create_group("__DATA_TYPES__")["Boolean"] = np.dtype("?")
    file.create_group("modeldef").attrs["nDims"] = np.array([2], "i4")
    model = reread(file)
    assert model.memory_map == model.class_names == ()
    assert model.input_dataset_name == "data"
    assert model.missing == ("/unet_param/name",)


BAD = [
    ("/.unet-ident", np.int32(3), "/.unet-ident: has type int32; accepted: text"),
    ("/.unet-ident", [b"a", b"b"], "has 2 texts; accepted: 1 at most"),
    ("/model_prototxt", np.array([1.0]), "has type float64; accepted: text"),
    ("/unet_param/downsampleFactor", [0, 4], "is \\(0, 4\\); accepted: numbers of 1"),
    ("/unet_param/downsampleFactor", [2, 2, 2], "has 3 numbers; accepted: an array"),
    ("/unet_param/downsampleFactor", [[2]], "has rank 2"),
    ("/unet_param/padInput", [2**31], "holds 2.14748e\\+09; accepted: whole numbers"),
    ("/unet_param/padOutput", [np.nan], "holds nan; accepted: whole numbers"),
    ("/unet_param/padInput", np.array([], "i4"), "has 0 numbers"),
    ("/unet_param/padInput", b"60", "has type |S2; accepted: numbers"),
    ("/unet_param/padInput", h5py.Empty("i4"), "has type int32; accepted: numbers"),
    ("/unet_param/element_size_um", 0.5, "has shape \\(\\); accepted: 2 or 3 numbers"),
    ("/unet_param/element_size_um", [0.5], "has shape \\(1,\\)"),
    ("/unet_param/element_size_um", [1j, 1j], "has type complex128"),
]


@pytest.mark.parametrize(("name", "value", "text"), BAD)
def test_a_dataset_of_another_kind_is_named(file, name, value, text):
    put(file, name, value)
    with pytest.raises(DataError, match=text) as error:
        reread(file)
    assert "\n" not in str(error.value)
    assert f"m.modeldef.h5: {name}: " in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "/.unet-ident",
        "/model_prototxt",
        "/unet_param/input_blob_name",
        "/unet_param/padding",
        "/unet_param/element_size_um",
        "/unet_param/downsampleFactor",
        "/unet_param/padInput",
        "/unet_param/padOutput",
    ],
)
def test_what_caffe_unet_needs_is_missed(file, name):
    del file[name]
    with pytest.raises(DataError, match=f"{name}: is missing"):
        reread(file)


def test_a_group_is_no_dataset(file):
    del file["/.unet-ident"]
    file.create_group("/.unet-ident")
    with pytest.raises(DataError, match="is no dataset"):
        reread(file)


def test_a_text_of_gigabytes_is_refused_without_reading_it(file):
    del file["/model_prototxt"]
    file.create_dataset("/model_prototxt", (), "S2000000000")
    with pytest.raises(DataError, match="2000000000 bytes; accepted: 16 MiB at most"):
        reread(file)


def test_weights_are_no_model():
    with pytest.raises(DataError, match="/unet_param/element_size_um: is missing"):
        read_modeldef(TILED / "unet2d/weights.caffemodel.h5")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"x" * 99])
def test_what_is_no_hdf5_is_said_in_one_line(tmp_path, content):
    path = tmp_path / "m.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not an HDF5 file, or damaged") as error:
        read_modeldef(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_modeldef(tmp_path)


@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(tmp_path_factory, data):
    source = (TILED / "unet2d/model.modeldef.h5").read_bytes()
    path = tmp_path_factory.mktemp("damaged") / "m.h5"
    content = bytearray(source[: data.draw(st.integers(0, len(source)))])
    for _ in range(data.draw(st.integers(0, 5))):
        if content:
            where = data.draw(st.integers(0, len(content) - 1))
            content[where] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_modeldef(path).dimensions in (2, 3)


def test_the_ident_of_weights_is_read_where_they_have_one(tmp_path):
    assert read_ident(TILED / "unet2d/model.modeldef.h5") == "unet2d_shared"
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("data")
    assert read_ident(tmp_path / "w.h5") is None


BAD_DEFINITIONS = [
    ({"element_size_um": (1.0,)}, "element_size_um has 1 numbers; accepted are 2 or 3"),
    ({"pad_input": (1, 2, 3)}, "pad_input has 3 numbers; accepted are 2"),
    ({"name": "a\0b"}, "/unet_param/name: cannot be stored: a text holds NUL"),
    ({"disk_radius_px": 2**40}, "/unet_param/diskRadiusPx: cannot be stored"),
]


@pytest.mark.parametrize(("changes", "text"), BAD_DEFINITIONS)
def test_what_cannot_be_stored_leaves_no_file(tmp_path, changes, text):
    with pytest.raises(DataError, match=text):
        write_modeldef(tmp_path / "m.h5", replace(SMALL, **changes))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_modeldef(tmp_path / "no/m.h5", SMALL)


def test_an_old_file_is_replaced_whole(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(b"old")
    write_modeldef(path, definition())
    assert read_modeldef(path) == definition()
    assert [file.name for file in tmp_path.iterdir()] == ["m.h5"]

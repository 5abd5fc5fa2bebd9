"""Before each job: the bare calls; and command lines that no action understands."""

import pytest

from tests.support.plugin_client import PluginClient

PREDICT = "tiled_predict -infileH5 i -outfileH5 o -model m.h5"
FATAL = {
    "check_model_and_weights_h5": "Need a model definition to check.",
    "check_model_and_weights_h5 -model m.h5": "Need model weights to check.",
    "tiled_predict": "Need an hdf5 input file.",
    "tiled_predict -infileH5 i": "Need an hdf5 output file.",
    "tiled_predict -infileH5 i -outfileH5 o": "Need a model definition to score.",
    f"{PREDICT} -iterations -1": "Number of iterations must be >= 0.",
    PREDICT: "Exactly one of the alternative options 'mem_available_px', 'n_tiles', or "
    "'tile_size' has to be specified in CPU mode!",
    f"{PREDICT} -n_tiles 1 -tile_size 4x4": "has to be specified in CPU mode!",
    f"{PREDICT} -gpu_mem_available_MB 100": "Option 'gpu_mem_available_MB' is not "
    "supported in CPU mode.",
    f"{PREDICT} -n_tiles 1 -average_mirror -average_rotate": "Options average_mirror "
    "and average_rotate are mutually exclusive!",
    f"{PREDICT}.proto -n_tiles 1": "Model file type is not supported. HDF5 file is "
    "expected.",
    f"{PREDICT} -tile_size 0x0": "'tile_size' is 0x0",
}


def test_both_programs_answer_a_bare_call_with_usage_and_status_0(client):
    assert client.usable()
    assert client.job.out[0] == "caffe: command line brew"
    job = client.unet()
    assert job.out[:2] == [
        "caffe_unet: command line brew",
        "usage: caffe_unet <command> <args>",
    ]
    commands = job.out[job.out.index("commands:") + 1 :][:3]
    assert [line.split()[0] for line in commands] == [
        "tiled_predict",
        "check_model_and_weights_h5",
        "device_query",
    ]
    assert job.err == []


def test_two_actions_are_as_none(client):
    job = client.unet("device_query", "tiled_predict")
    assert job.status == 0
    assert "usage: caffe_unet <command> <args>" in job.out


def test_a_program_that_is_not_there_is_not_usable(tmp_path, programs):
    client = PluginClient(tmp_path, programs)
    client.caffe = "false"
    assert not client.usable()


def test_an_unknown_action_is_answered_with_the_known_ones(client):
    job = client.unet("fly")
    assert job.status not in (0, 1)
    texts = [line.partition("] ")[2] for line in job.err]
    assert texts[:5] == [
        "Available caffe_unet actions:",
        "\tcheck_model_and_weights_h5",
        "\tdevice_query",
        "\ttiled_predict",
        "Unknown action: fly",
    ]
    assert job.err[4].startswith("F")


def test_flags_are_those_of_gflags(client):
    job = client.unet("-foo", "3", "device_query")
    assert (job.status, job.err) == (1, ["ERROR: unknown command line flag 'foo'"])
    assert client.unet("-help").status == 1
    assert client.unet("-version").status == 0
    job = client.unet("--iterations=-2", "-infileH5=i", "-noaverage_mirror",
                      "tiled_predict", "--outfileH5", "o", "-model=m.h5")  # fmt: skip
    assert job.status != 0
    assert "Number of iterations must be >= 0." in job.log


def test_device_query_says_what_is_asked_for(client):
    job = client.unet("device_query")
    assert (job.status, job.out) == (0, [])
    assert "] Querying GPUs" in job.log


@pytest.mark.parametrize(("words", "text"), FATAL.items(), ids=list(FATAL))
def test_flags_that_do_not_do_end_with_one_fatal_line(client, words, text):
    job = client.unet(*words.split())
    assert job.status not in (0, 1)
    (fatal,) = [line for line in job.err if line.startswith("F")]
    assert text in fatal
    assert job.out == []
    assert "Traceback" not in job.log

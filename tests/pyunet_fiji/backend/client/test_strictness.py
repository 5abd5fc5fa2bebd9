"""The client of these scenarios reads as Java does; some values of recorded jobs."""

import subprocess

import h5py
import numpy as np
import pytest

from tests.support.plugin_client import Job
from tests.support.plugin_files import read_scores
from tests.support.plugin_log import (
    Curves,
    JavaError,
    Progress,
    classify,
    parse_double,
    parse_int,
)

FOUND = "I20261122 14:44:25.91 15521 "
VALIDATION = """\
Iteration 3, Testing net (#0)
    IoU - Per class intersection: 355 0 \n    IoU - Per class union: 400 2816 \n\
    IoU - Per class intersection: 308 0 \n    IoU - Per class union: 360 0 \n\
    F1_detection - Per class true positive count: 5 0 \n\
    F1_detection - Per class prediction count: 10 3 \n\
    F1_detection - Per class object count: 7 1 \n\
    Test net output #0: F1_detection = 0.588235
    Test net output #1: F1_detection = 0
    Test net output #4: IoU = 0.872368
    Test net output #6: loss_valid = 0.11433 (* 1 = 0.11433 loss)"""


def test_java_knows_some_spellings_of_numbers():
    texts = ["1e-07", " 0.5 ", "NaN", "-Infinity", "1.", ".5", "3f"]
    found = [parse_double(text) for text in texts]
    np.testing.assert_equal(found, [1e-7, 0.5, np.nan, -np.inf, 1, 0.5, 3])
    for text in ("nan", "-nan", "inf", "", "1,5", "0.5 (* 1"):
        with pytest.raises(JavaError, match="NumberFormatException"):
            parse_double(text)
    assert parse_int("-12") == -12
    for text in ("Solving", "1.0", "", "3000000000"):
        with pytest.raises(JavaError, match="NumberFormatException"):
            parse_int(text)


def test_progress_is_a_whole_line():
    progress = Progress()
    for line in (
        "Processing batch 1/2, tile 1/3",
        "I Processing batch 1/2, tile 2/3",
        "Processing batch 1/2, tile 2/3 ",
        "Processing batch 1/9, tile 2/3",
    ):
        progress.read(line)
    assert (progress.count, progress.total) == (2, 6)


def test_the_loss_is_all_after_the_equals_sign():
    curves = Curves(1, 6, 3)
    curves.read(
        f"{FOUND}solver.cpp:239] Iteration 0 (0 iter/s, 0.1s/1 iters), loss = 0.5"
    )
    curves.read(f"{FOUND}solver.cpp:327] Iteration 6, loss = nan")
    curves.read(f"{FOUND}solver.cpp:258]     Train net output #0: loss = x")
    assert curves.train[0] == 0.5
    for line in (
        "Iteration 7 (0 iter/s, 0.1s/1 iters), loss = 0.5",
        "Iteration 1 (0 iter/s, 0.1s/1 iters), loss = nan",
        "Iteration 1 (0 iter/s, 0.1s/1 iters), loss = 0.5 (best)",
    ):
        with pytest.raises(JavaError):
            curves.read(line)


def test_counts_are_added_up_for_each_class():
    curves = Curves(2, 6, 3)
    for line in VALIDATION.splitlines():
        curves.read(FOUND + line)
    assert curves.counts["IoU intersection"][:, 1].tolist() == [663, 0]
    assert curves.counts["IoU union"][:, 1].tolist() == [760, 2816]
    assert curves.plots["IoU"][0, 1] == 0.8723684210526316
    assert curves.plots["F1_detection"][0, 1] == 0.588235294117647
    assert np.isnan(curves.plots["F1_detection"][1, 1])  # no hit: 0 / 0
    assert curves.valid[1] == 0.11433
    assert curves.drawn == 3
    with pytest.raises(JavaError, match="ArrayIndexOutOfBounds"):
        curves.read("IoU - Per class union: 1 2 3 ")


def test_causes_are_looked_for_in_the_whole_log():
    assert classify("a\nF1 x] error (2 vs. 0)  out of memory\nb") == 1
    assert classify("F1 x] invalid device ordinal") == 2
    assert classify("CUDNN_STATUS_ARCH_MISMATCH") == 3
    shown = "F1 x] Check failed: error == cudaSuccess (35 vs. 0)  driver"
    assert classify(f"I1\n{shown}\n") == shown
    assert classify("Killed") == "Unknown caffe error."


def test_more_than_scores_breaks_the_reading_of_a_result(tmp_path):
    for number, name in enumerate(("a", "b", "c", "score")):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["score"] = np.ones((1, 2, 3, 4), "f4")
            if name == "a":
                file.create_group("extra")
            if name == "b":
                file["extra"] = np.ones(3, "f4")
            if name == "c":
                file["extra"] = np.ones((1, 2, 3, 4), "i4")
        if name == "score":
            assert read_scores(path)["score"].sum() == 24
        else:
            with pytest.raises(JavaError):
                read_scores(path)


def start(code, **how):
    return Job(
        subprocess.Popen(
            ["sh", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ),
        **how,
    )


def test_any_word_of_a_training_on_standard_output_ends_the_job():
    with pytest.raises(JavaError, match="'Solving'"):
        start("echo Solving", first_line_is_pid=True).wait()
    job = start("echo 17; echo 18 >&2; exit 3", first_line_is_pid=True)
    assert (job.wait(), job.pid, job.out, job.err) == (3, 17, ["17"], ["18"])


def test_java_adds_128_to_a_signal_and_ssh_loses_it():
    assert start("kill -15 $$").wait() == 143
    assert start("kill -15 $$", remote=True).wait() == -1


def test_a_snapshot_has_a_blank_before_it():
    job = start("read x; for p in '] ' '/'; do echo \"${p}Snapshotting to HDF5 file "
                "a/b_iter_12.caffemodel.h5\" >&2; done")  # fmt: skip
    job.cancelled = True
    job.process.stdin.write("\n")
    job.process.stdin.flush()
    assert job.wait() == 0
    assert job.snapshot == "a/b_iter_12.caffemodel.h5"
    assert job.snapshot_iteration == 12

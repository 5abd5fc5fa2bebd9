"""`parse_log`: tables of logs, against the numbers in the logs themselves."""

import csv
import math
from pathlib import Path

import pytest

from caffe.cli.parse_log import main, parse_log
from tests.support.files import names

LOGS = Path(__file__).parents[2] / "reference" / "logs"
# as Caffe of 2015 wrote it: no year, the learning rate after the outputs
OLD = """\
Log file created at: 2015/02/10 13:39:00
I0210 13:39:20.000000 25210 solver.cpp:48] Initializing solver from parameters:
base_lr: 0.01
I0210 13:39:21.500000 25210 solver.cpp:262] Solving LeNet
I0210 13:39:21.500001 25210 solver.cpp:266] Learning Rate Policy: inv
I0210 13:39:21.500002 25210 solver.cpp:315] Iteration 0, Testing net (#0)
I0210 13:39:22.500000 25210 solver.cpp:363]     Test net output #0: accuracy = 0.1
I0210 13:39:22.500000 25210 solver.cpp:363]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I0210 13:39:23.000000 25210 solver.cpp:226] Iteration 0, loss = 2.4
I0210 13:39:23.000000 25210 solver.cpp:242]     Train net output #0: loss = 2.4 (* 1 = 2.4 loss)
I0210 13:39:23.000001 25210 solver.cpp:521] Iteration 0, lr = 0.01
I0210 13:39:24.000000 25210 solver.cpp:226] Iteration 100, loss = 0.2
I0210 13:39:24.000000 25210 solver.cpp:242]     Train net output #0: loss = 2e-1 (* 1 = 0.2 loss)
I0210 13:39:24.000001 25210 solver.cpp:521] Iteration 100, lr = 0.0099

a line without a stamp
I0210 13:39:25.000000 25210 solver.cpp:315] Iteration 200, Testing net (#0)
I0210 13:39:25.250000 25210 solver.cpp:363]     Test net output #0: accuracy = 0.9
I0210 13:39:25.250000 25210 solver.cpp:363]     Test net output #1: loss = 0.3 (* 1 = 0.3 loss)
I0210 13:39:26.000000 25210 solver.cpp:226] Iteration 200, loss = nan
I0210 13:39:26.000000 25210 solver.cpp:242]     Train net output #0: loss = -nan (* 1 = -nan loss)
I0210 13:39:26.000001 25210 solver.cpp:521] Iteration 200, lr = 9.8e-03
I0210 13:39:27.000000 25210 solver.cpp:332] Optimization Done.
"""  # noqa: E501


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "caffe.INFO"
    path.write_text(OLD)
    return path


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestTables:
    def test_rows_hold_the_outputs_of_an_iteration(self, old):
        rows = parse_log(str(old))
        assert rows["test"] == [
            {
                "NumIters": 0,
                "Seconds": 1,
                "LearningRate": 0.0099,  # of the second row
                "accuracy": 0.1,
                "loss": 2.5,
            },
            {
                "NumIters": 200,
                "Seconds": 3.75,
                "LearningRate": 0.0099,
                "accuracy": 0.9,
                "loss": 0.3,
            },
        ]

    def test_a_row_has_the_learning_rate_of_the_line_before(self, old):
        rows = parse_log(str(old))["train"]
        assert [row["NumIters"] for row in rows] == [0, 100, 200]
        assert [row["Seconds"] for row in rows] == [1.5, 2.5, 4.5]
        assert [row["LearningRate"] for row in rows] == [0.01, 0.01, 0.0099]
        assert [row["loss"] for row in rows[:2]] == [2.4, 0.2]

    def test_a_loss_that_is_no_number_has_its_row(self, old):
        assert math.isnan(parse_log(str(old))["train"][2]["loss"])

    def test_a_log_of_the_original_of_today_is_read(self):
        rows = parse_log(str(LOGS / "train.stderr"))
        assert [row["NumIters"] for row in rows["test"]] == [0, 5, 10]
        assert [row["NumIters"] for row in rows["train"]] == [0, 3, 6, 9]
        assert [row["loss"] for row in rows["train"][1:]] == [
            0.934582,
            0.775169,
            0.727213,
        ]
        assert [row["LearningRate"] for row in rows["train"]] == [0.1, 0.1, 0.1, 0.05]
        last = rows["test"][-1]
        assert (last["acc"], last["loss"]) == (0.516686, 0.716184)
        assert last["Seconds"] == pytest.approx(2.229550 - 2.224303)

    def test_outputs_of_one_name_leave_the_last(self):
        (first, *_) = parse_log(str(LOGS / "train.stderr"))["test"]
        assert list(first) == [
            "NumIters",
            "Seconds",
            "LearningRate",
            "IoU",
            "acc",
            "loss",
        ]

    def test_a_single_row_is_kept(self, tmp_path):
        path = tmp_path / "log"
        path.write_text("\n".join(OLD.splitlines()[:11]))
        rows = parse_log(str(path))
        assert [row["loss"] for row in rows["train"]] == [2.4]
        assert math.isnan(rows["train"][0]["LearningRate"])

    def test_a_row_that_is_cut_short_is_left_out(self, tmp_path):
        path = tmp_path / "log"
        until = OLD.rindex("I0210 13:39:25.250000")
        path.write_text(OLD[:until])
        assert [row["NumIters"] for row in parse_log(str(path))["test"]] == [0]

    def test_outputs_that_the_first_row_lacks_have_a_column_and_a_row(self, tmp_path):
        log = OLD.replace("Test net output #1: loss = 2.5", "Test net output #1: x =")
        path = tmp_path / "log"
        path.write_text(log)
        assert main([str(path), str(tmp_path)]) == 0
        rows = table(tmp_path / "log.test")
        assert [row["accuracy"] for row in rows] == ["0.1", "0.9", ""]
        assert [row["loss"] for row in rows] == ["", "", "0.3"]


class TestTime:
    def stamped(self, path, *stamps):
        begin, end = stamps
        path.write_text(
            f"{begin} 7 solver.cpp:1] Solving n\n"
            f"{end} 7 solver.cpp:2] Iteration 5, loss = 1\n"
            f"{end} 7 solver.cpp:3]     Train net output #0: loss = 1\n"
        )
        (row,) = parse_log(str(path))["train"]
        return row["Seconds"]

    @pytest.mark.parametrize(
        ("begin", "end"),
        [
            ("I1231 23:59:59.000000", "I0101 00:00:01.500000"),
            ("I20211231 23:59:59.000000", "I20220101 00:00:01.500000"),
        ],
    )
    def test_goes_on_at_new_year(self, begin, end, tmp_path):
        assert self.stamped(tmp_path / "log", begin, end) == 2.5

    def test_knows_leap_days_whatever_the_year_of_the_file(self, tmp_path):
        begin, end = "I0229 23:59:59.000000", "I0301 00:00:00.000000"
        assert self.stamped(tmp_path / "log", begin, end) == 1

    def test_may_have_fewer_digits(self, tmp_path):
        begin, end = "I0228 10:00:00.5", "I0228 10:00:01.25"
        assert self.stamped(tmp_path / "log", begin, end) == 0.75

    def test_lines_of_no_day_are_left_out(self, tmp_path):
        path = tmp_path / "log"
        path.write_text(OLD.replace("I0210 13:39:24", "I0299 13:39:24"))
        rows = parse_log(str(path))["train"]
        assert [row["NumIters"] for row in rows] == [0, 200]


class TestCommand:
    def test_tables_are_named_after_the_log(self, old, tmp_path, capsys):
        (tmp_path / "out").mkdir()
        assert main([str(old), str(tmp_path / "out")]) == 0
        assert capsys.readouterr().out == ""
        assert names(tmp_path / "out") == ["caffe.INFO.test", "caffe.INFO.train"]
        text = (tmp_path / "out" / "caffe.INFO.train").read_bytes()
        assert text.splitlines()[:2] == [
            b"NumIters,Seconds,LearningRate,loss",
            b"0.0,1.5,0.01,2.4",
        ]

    def test_a_delimiter_and_what_was_written_may_be_asked_for(
        self, old, tmp_path, capsys
    ):
        words = [str(old), str(tmp_path), "--verbose", "--delimiter", ";"]
        assert main(words) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"Wrote {tmp_path}/caffe.INFO.train",
            f"Wrote {tmp_path}/caffe.INFO.test",
        ]
        text = (tmp_path / "caffe.INFO.test").read_text()
        assert text.startswith("NumIters;Seconds;LearningRate;accuracy;loss\n")

    def test_a_table_without_rows_is_not_written(self, tmp_path, capsys):
        log = tmp_path / "log"
        log.write_text("\n".join(OLD.splitlines()[:5]))
        assert main([str(log), str(tmp_path), "--verbose"]) == 0
        assert names(tmp_path) == ["log"]
        told = capsys.readouterr().out.splitlines()
        assert told[0] == f"Not writing {tmp_path}/log.train; no lines to write"

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["gone", "."], "parse_log: gone: cannot read it: No such file"),
            (["noise", "."], "parse_log: noise: no line with a time and 'Solving'"),
            (["caffe.INFO", "gone"], "cannot be written: No such file or directory"),
            (["caffe.INFO", ".", "--delimiter", ";;"], "expected a single character"),
            (["caffe.INFO", ".", "--what"], "unrecognized arguments: --what"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(
        self, words, told, old, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "noise").write_bytes(b"\xff\x00 Solving nothing\n")
        assert main(words) == 1
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert told in line
        assert names(tmp_path) == ["caffe.INFO", "noise"]


@pytest.mark.parametrize("number", ["0.50.5", "1-2", "--1", "1e", "+", ".", "0.5x"])
def test_no_part_of_what_is_no_number_is_taken_for_one(number, tmp_path):
    (tmp_path / "log").write_text(
        "I0102 03:04:05.000000 7 solver.cpp:1] Solving net\n"
        "I0102 03:04:06.000000 7 solver.cpp:2] Iteration 3, lr = 0.1\n"
        f"I0102 03:04:06.000000 7 solver.cpp:3]     Test net output #0: a = {number}\n"
        "I0102 03:04:06.000000 7 solver.cpp:3]     Test net output #1: b = -2.5e-1\n"
    )
    (row,) = parse_log(str(tmp_path / "log"))["test"]
    assert {name: row[name] for name in row if name in "ab"} == {"b": -0.25}


def test_our_own_log_is_read(tmp_path, monkeypatch, capfd):
    from caffe.cli import main as caffe_main
    from tests.support.solvers import logs_folder

    monkeypatch.chdir(logs_folder(tmp_path))
    assert caffe_main(["train", "-solver", "s2.prototxt"]) == 0
    (tmp_path / "own.log").write_text(capfd.readouterr().err)
    own = parse_log("own.log")
    theirs = parse_log(str(LOGS / "train.stderr"))
    for kind in ("train", "test"):
        assert [list(row) for row in own[kind]] == [list(row) for row in theirs[kind]]
        assert [r["NumIters"] for r in own[kind]] == [
            r["NumIters"] for r in theirs[kind]
        ]

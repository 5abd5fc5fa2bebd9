"""Curves in whole logs."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet.training_logs.reader import read_lines, read_log, read_logs

REFERENCE = Path(__file__).parents[2] / "reference" / "logs"
LENET_2014 = """\
I0505 10:00:00.100000 900 solver.cpp:36] Solving LeNet
I0505 10:00:00.200000 900 solver.cpp:160] Iteration 0, Testing net (#0)
I0505 10:00:01.200000 900 solver.cpp:209] Test score #0: 0.0889
I0505 10:00:01.200100 900 solver.cpp:209] Test score #1: 2.3025
I0505 10:00:02.000000 900 solver.cpp:271] Iteration 100, lr = 0.00992565
I0505 10:00:02.000100 900 solver.cpp:114] Iteration 100, loss = 0.204
I0505 10:00:03.000000 900 solver.cpp:271] Iteration 200, lr = 0.00985258
I0505 10:00:03.000100 900 solver.cpp:114] Iteration 200, loss = 0.147
"""
GOOGLENET = """\
] Iteration 0, Testing net (#0)
]     Test net output #0: loss1/loss = 7.2 (* 0.3 = 2.16 loss)
]     Test net output #1: loss3/loss = 6.9 (* 1 = 6.9 loss)
]     Test net output #2: loss3/top-1 = 0.001
] Iteration 0, Testing net (#1)
]     Test net output #0: loss3/loss = 6.8 (* 1 = 6.8 loss)
] Iteration 0, loss = 9.1
]     Train net output #0: loss1/loss = 7.3 (* 0.3 = 2.19 loss)
"""


@pytest.mark.reference
def test_the_log_of_the_original_gives_its_numbers():
    log = read_log(REFERENCE / "train.stderr")
    assert log.name == "train.stderr"
    assert log.loss == {0: 1.11535, 3: 0.965227, 6: 0.782819, 9: 0.720256, 12: 0.703379}
    assert log.rate == {0: 0.1, 3: 0.1, 6: 0.05, 9: 0.05}
    assert log.train == {"loss": {0: 1.11535, 3: 0.934582, 6: 0.775169, 9: 0.727213}}
    assert log.test == {
        "IoU[0]": {0: 0.140406, 5: 0.109524, 10: 0.236457},
        "IoU[1]": {0: 0.188959, 5: 0.0, 10: 0.0},
        "acc": {0: 0.352332, 5: 0.523317, 10: 0.516686},
        "loss": {0: 1.11532, 5: 0.789169, 10: 0.716184},
    }
    assert log.losses == {"loss"}


@pytest.mark.reference
def test_a_resumed_run_of_the_original_joins_the_first():
    first, second = (
        (REFERENCE / f"{name}.stderr").read_text().splitlines()
        for name in ("train", "resume")
    )
    whole, joined = read_lines(first, "a"), read_lines(first + second, "a")
    assert joined.loss.keys() == whole.loss.keys()
    assert {k: v for k, v in joined.loss.items() if k < 6} == {
        k: v for k, v in whole.loss.items() if k < 6
    }
    assert read_lines(second, "a").loss.items() <= joined.loss.items()


def test_a_log_of_2014_is_understood():
    log = read_lines(LENET_2014.splitlines(), "lenet")
    assert log.loss == {100: 0.204, 200: 0.147}
    assert log.rate == {100: 0.00992565, 200: 0.00985258}
    assert log.test == {"score[0]": {0: 0.0889}, "score[1]": {0: 2.3025}}


def test_outputs_of_a_second_test_net_are_told_apart():
    log = read_lines(GOOGLENET.splitlines(), "g")
    assert log.test == {
        "loss1/loss": {0: 7.2},
        "loss3/loss": {0: 6.9},
        "loss3/top-1": {0: 0.001},
        "loss3/loss (net 1)": {0: 6.8},
    }
    assert log.train == {"loss1/loss": {0: 7.3}}
    assert log.losses == {"loss1/loss", "loss3/loss", "loss3/loss (net 1)"}


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 7))
def test_what_is_computed_again_counts_once(length, stop, display):
    def lines(start, end, value):
        return [
            f"] Iteration {i}, loss = {value}"
            for i in range(start, end)
            if i % display == 0
        ]

    back = min(stop, length)
    log = read_lines(lines(0, length, 1) + lines(back, length + 9, 2), "a")
    assert set(log.loss) == set(range(0, length + 9, display))
    assert all(v == (1 if i < back else 2) for i, v in log.loss.items())


def test_a_folder_of_a_training_is_read_by_its_log(tmp_path):
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "train.log").write_text(LENET_2014)
    by_folder, by_file = read_logs([tmp_path / "wide", tmp_path / "wide/train.log"])
    assert by_folder.loss == by_file.loss
    assert (by_folder.name, by_file.name) == (
        str(tmp_path / "wide"),
        str(tmp_path / "wide/train.log"),
    )
    assert read_log(tmp_path / "wide").name == "wide"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "gone.log: cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "gone.log/train.log: cannot be read: No such file"),
        (lambda path: path.write_bytes(bytes(range(256))), "no line such as 'Iterati"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, make, text):
    make(tmp_path / "gone.log")
    with pytest.raises(DataError, match=re.escape(text)):
        read_log(tmp_path / "gone.log")

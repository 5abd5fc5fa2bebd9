"""The GPU's benchmark, run on the CPU: every part of it, with a small net."""

import json

import gpu
import pytest
import torch


@pytest.mark.slow
def test_a_quick_run_on_the_cpu_measures_every_part(script, tmp_path):
    file = tmp_path / "results" / "gpu.json"
    printed = script("gpu.py", "--device", "cpu", "--quick", "--results", file)
    result = json.loads(file.read_text())
    found = result["found"]
    assert found["error float32"] < 1e-5
    assert found["error float32"] < found["error bf16"] < 0.05
    for name in (
        *("tiles/s bf16 batch 1", "tiles/s bf16 batch 1 no graph"),
        *("tiles/s torch bf16 batch 2", "steps/s bf16 batch 1"),
        *("images/s bf16 batch 1 no graph", "ms from image to labels"),
        *("TFLOP/s gemm bf16", "TFLOP/s convolution float32", "GB/s of a copy"),
    ):
        assert found[name] > 0
        assert f"{name} " in printed
    minutes = gpu.PAPER_STEPS / 60 / found["steps/s bf16 batch 1"]
    assert found["minutes of 60000 steps"] == pytest.approx(minutes)
    assert result["goals"] == gpu.GOALS
    assert result["command"].startswith("python benchmarks/gpu.py --device cpu --quick")
    assert "tf32" not in " ".join(found)


def test_a_convolution_of_3_by_3_counts_two_operations_a_weight_and_output():
    # 1 image, 2 channels to 5, 3 x 3, output 4 x 6
    assert gpu.operations((1, 2, 5, 3, 4, 6)) == 2 * 2 * 5 * 9 * 24


def test_the_limits_are_those_of_the_same_number_of_operations():
    shape = (2, 3, 5, 3, 4, 6)
    product, convolution = gpu._largest(shape, torch.float32, torch.device("cpu"))
    assert product().shape == (2 * 4 * 6, 5)
    assert convolution().shape == (2, 5, 4, 6)

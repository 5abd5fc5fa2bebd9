from caffe.cli import main

NET = """
layer { name: "d" type: "DummyData" top: "d"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "d" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
"""


def test_parameters_and_multiply_adds_of_the_batch_are_printed(tmp_path, capfd):
    (tmp_path / "net.prototxt").write_text(NET)
    words = ["time", "-model", str(tmp_path / "net.prototxt"), "-iterations", "1"]
    assert main(words) == 0
    # 4 filters of 3 x 3 x 3 and their biases, placed at 6 x 6 positions of 2 images
    assert capfd.readouterr().out.splitlines() == [
        "parameters: 112",
        "multiply-adds of a forward pass: 7776 (1.5552e-05 GFLOP)",
    ]

"""RegionLoss, DetectionLoss and EvalDetection, beyond the stored answers."""

import math

import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import loss_and_gradients, run_layer, shapes_of

REGION = "num_class: 2 num: 1 biases: 1 biases: 1"
GRID = "side: 1 num_class: 2 num_object: 1"


def region(more=""):
    return f"region_loss_param {{ {REGION} {more} }}"


def region_labels(*rows):
    labels = torch.zeros(1, 1, 4, 5)
    for i, row in enumerate(rows):
        labels[0, 0, i] = torch.tensor(row)
    return labels


class TestRegionLoss:
    def test_without_true_boxes_only_certainty_counts(self):
        x = torch.zeros(1, 7, 1, 2)
        loss, (gradient,) = loss_and_gradients(
            "RegionLoss", region(), [x, region_labels()]
        )
        # noobject_scale * sigmoid * slope, of two cells
        expected = 0.5 * 0.5 * 0.25
        assert loss == pytest.approx(2 * expected**2)
        assert gradient[0, 4].tolist() == [[expected, expected]]
        assert abs(gradient).sum() == 2 * expected

    def test_the_last_of_two_true_boxes_of_a_cell_is_the_one(self):
        x = torch.zeros(1, 7, 1, 1)
        one, other = (0, 0.5, 0.5, 1, 1), (1, 0.25, 0.5, 1, math.e)
        both = loss_and_gradients(
            "RegionLoss", region(), [x, region_labels(one, other)]
        )[1][0]
        last = loss_and_gradients("RegionLoss", region(), [x, region_labels(other)])
        assert both.tolist() == last[1][0].tolist()
        # x: 5 * (0.5 - 0.25) * slope; h: 5 * (0 - log e)
        assert both[0, :4, 0, 0] == pytest.approx([5 * 0.25 * 0.25, 0, 0, -5])
        assert both[0, 5:, 0, 0] == pytest.approx([0.5, -0.5])

    def test_the_top_weighs_the_gradient(self):
        bottoms = [torch.randn(2, 7, 2, 2), region_labels((1, 0.3, 0.6, 0.5, 0.4))]
        bottoms[1] = bottoms[1].repeat(2, 1, 1, 1)
        _, (one,) = loss_and_gradients("RegionLoss", region(), bottoms)
        _, (three,) = loss_and_gradients("RegionLoss", region(), bottoms, top_diff=3.0)
        assert three == pytest.approx(3 * one)

    def test_without_biases_a_net_is_built_but_computes_nothing(self):
        options = "region_loss_param { num_class: 2 num: 1 }"
        assert shapes_of("RegionLoss", options, [(1, 7, 1, 1), (1, 5)]) == [()]
        with pytest.raises(CheckError, match="biases has 0 values: expected 2"):
            run_layer("RegionLoss", options, [(1, 7, 1, 1), region_labels()])

    @pytest.mark.parametrize(
        ("row", "message"),
        [((2, 0.5, 0.5, 1, 1), "class 2"), ((0, 1, 0.5, 1, 1), r"a box at \(1, 0.5\)")],
    )
    def test_labels_beyond_the_net_are_refused(self, row, message):
        with pytest.raises(CheckError, match=message):
            run_layer(
                "RegionLoss", region(), [torch.zeros(1, 7, 1, 1), region_labels(row)]
            )

    @pytest.mark.parametrize(
        ("options", "bottoms", "message"),
        [
            ("region_loss_param { biases: 1 }", [(1, 125, 2, 2), (1, 5)], "biases"),
            (region("coords: 5"), [(1, 7, 2, 2), (1, 5)], "coords is 5"),
            (region(), [(1, 8, 2, 2), (1, 5)], "7 channels"),
            (region(), [(1, 7, 2, 2), (1, 6)], "rows of 5"),
        ],
    )
    def test_other_sizes_are_refused(self, options, bottoms, message):
        with pytest.raises(CheckError, match=message):
            shapes_of("RegionLoss", options, bottoms)


class TestDetectionLoss:
    OPTIONS = f"detection_loss_param {{ {GRID} sqrt: false }}"
    LABEL = torch.tensor([[0, 1, 1, 0.5, 0.5, 0.5, 0.5]])

    def test_value_and_gradient_of_one_cell(self):
        x = torch.tensor([[0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5]])
        loss, (gradient,) = loss_and_gradients(
            "DetectionLoss", self.OPTIONS, [x, self.LABEL]
        )
        # no other boxes: 0 / 0 of theirs
        assert math.isnan(loss)
        # the certainty is to be the overlap, 1
        assert gradient[0] == pytest.approx([0.25, -0.5, -0.25, 0, 0, 0, 0])

    def test_the_nearest_box_is_responsible_where_none_overlaps(self):
        options = (
            "detection_loss_param { side: 1 num_class: 1 num_object: 2 sqrt: false }"
        )
        far, near = [4.0, 4, 0, 0], [2.0, 2, 0, 0]
        x = torch.tensor([[1, 0.5, 0.5, *far, *near]])
        label = torch.tensor([[0, 1, 0, 0.5, 0.5, 0.5, 0.5]])
        _, (gradient,) = loss_and_gradients("DetectionLoss", options, [x, label])
        assert not gradient[0, 3:7].any()
        assert gradient[0, 7] == 5 * 1.5
        # a certainty of 0 is asked of both, by their weights
        assert gradient[0, 1:3].tolist() == [0.25, 0.5]

    def test_sizes_and_classes_beyond_the_net_are_refused(self):
        with pytest.raises(CheckError, match="expected 7 numbers"):
            shapes_of("DetectionLoss", self.OPTIONS, [(1, 7), (1, 8)])
        label = torch.tensor([[0, 1, 2, 0.5, 0.5, 0.5, 0.5]])
        with pytest.raises(CheckError, match="class 2: expected 0 to 1"):
            run_layer("DetectionLoss", self.OPTIONS, [torch.zeros(1, 7), label])


class TestEvalDetection:
    def rows(self, label, options=""):
        options = f"eval_detection_param {{ {GRID} sqrt: false {options} }}"
        x = torch.tensor([[0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5]])
        (top,) = run_layer("EvalDetection", options, [x, torch.tensor([label])])
        return top[0].tolist()

    def test_a_right_box(self):
        found = self.rows([0, 1, 1, 0.5, 0.5, 0.5, 0.5])
        assert found == [0, 1, 1, 0.375, 1, 0]

    def test_a_box_of_another_class_is_wrong(self):
        found = self.rows([0, 1, 0, 0.5, 0.5, 0.5, 0.5], "score_type: OBJ")
        assert found == [1, 0, 1, 0.75, 0, 1]

    def test_a_difficult_one_counts_neither_way(self):
        found = self.rows([1, 1, 1, 0.5, 0.5, 0.5, 0.5], "score_type: PROB")
        assert found == [0, 0, 1, 0.5, 0, 0]

    def test_options_of_yolo_2_are_refused(self):
        with pytest.raises(CheckError, match="YOLO 2"):
            self.rows([0] * 7, "biases: 1")

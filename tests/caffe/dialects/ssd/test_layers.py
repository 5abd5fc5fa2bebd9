"""SSD's layers: by hand, by finite differences, and what they refuse."""

import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    loss_and_gradients,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)
from tests.support.plain_boxes import greedy

PRIORS = np.array([[0.1, 0.1, 0.5, 0.5], [0.4, 0.4, 0.9, 0.9], [0, 0.5, 0.4, 1]])
VARIANCES = np.full((3, 4), 0.1)
PRIOR = np.stack([PRIORS.ravel(), VARIANCES.ravel()])[None]


class TestPermute:
    def test_axes_that_are_not_named_follow(self):
        text = "permute_param { order: 2 }"
        check_layer("Permute", text, [(2, 3, 4, 5)], tops=[(4, 2, 3, 5)])
        (top,) = run_layer("Permute", text, [np.arange(12).reshape(1, 3, 4)])
        assert top[:, 0, 0].tolist() == [0, 1, 2, 3]

    def test_gradient(self):
        check_gradient("Permute", "permute_param { order: 1 order: 2 }", [(2, 3, 2)])

    @pytest.mark.parametrize("order", ["order: 1 order: 1", "order: 4"])
    def test_an_order_that_is_none_is_refused(self, order):
        with pytest.raises(CheckError, match="order is"):
            shapes_of("Permute", f"permute_param {{ {order} }}", [(1, 2, 3, 4)])


class TestNormalize:
    @pytest.mark.parametrize("across", ["true", "false"])
    def test_gradient_is_the_derivative_with_one_number(self, across):
        text = f"norm_param {{ across_spatial: {across} }}"
        check_gradient("Normalize", text, [(2, 3, 2, 2)])

    def test_a_pixel_gets_the_length_of_the_scale(self):
        text = "norm_param { across_spatial: false scale_filler { value: 20 } }"
        (top,) = run_layer("Normalize", text, [(2, 5, 3, 4)])
        torch.testing.assert_close(top.norm(dim=1), torch.full((2, 3, 4), 20.0))

    def test_a_number_for_each_channel(self):
        text = "norm_param { channel_shared: false }"
        check_layer("Normalize", text, [(2, 5, 3, 4)], [(2, 5, 3, 4)], params=[(5,)])

    def test_other_channels_than_at_first_are_refused(self):
        layer = make_layer("Normalize", "norm_param { channel_shared: false }")
        layer.parameters([(1, 3, 2, 2)])
        with pytest.raises(CheckError, match="the scale is for 3"):
            layer.shapes([(1, 4, 2, 2)])


class TestPriorBox:
    def test_a_cell_by_hand(self):
        text = (
            "prior_box_param { min_size: 10 max_size: 40 aspect_ratio: 4 "
            "variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4 }"
        )
        (top,) = run_layer("PriorBox", text, [(1, 8, 1, 2), (1, 3, 50, 100)])
        assert tuple(top.shape) == (1, 2, 2 * 4 * 4)
        # the centre of the second cell is (75, 25): sides 10, sqrt(10 * 40) = 20,
        # then 10 * 2 by 10 / 2, and the other way round
        halves = [(5, 5), (10, 10), (10, 2.5), (2.5, 10)]
        expected = [
            [(75 - x) / 100, (25 - y) / 50, (75 + x) / 100, (25 + y) / 50]
            for x, y in halves
        ]
        np.testing.assert_allclose(top[0, 0].view(2, 4, 4)[1], expected, rtol=1e-6)
        np.testing.assert_allclose(top[0, 1].view(8, 4)[3], [0.1, 0.2, 0.3, 0.4])

    def test_it_gets_no_gradient(self):
        assert make_layer("PriorBox", "prior_box_param { min_size: 3 }", bottoms=2)
        layer = make_layer("PriorBox", "prior_box_param { min_size: 3 }", bottoms=2)
        assert layer.differentiable_bottoms == ()

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ("", "min_size is"),
            ("min_size: 0", "min_size is"),
            ("min_size: 9 max_size: 9", "max_size is 9"),
            ("min_size: 9 max_size: 19 max_size: 20", "max_size has 2"),
            ("min_size: 9 aspect_ratio: 0", "aspect_ratio is 0"),
            ("min_size: 9 variance: 0.1 variance: 0.2", "variance is"),
            ("min_size: 9 img_size: 4 img_h: 3", "both img_size and img_h"),
        ],
    )
    def test_options_that_make_no_boxes_are_refused(self, options, complaint):
        with pytest.raises(CheckError, match=complaint):
            make_layer("PriorBox", f"prior_box_param {{ {options} }}", bottoms=2)


class TestSmoothL1Loss:
    def test_by_hand(self):
        bottoms = [np.array([[0.5, 3], [0, 0]]), np.array([[0, 1], [0, -1]])]
        loss, (a, b) = loss_and_gradients("SmoothL1Loss", "", bottoms)
        # differences 0.5, 2, 0, 1: (0.125 + 1.5 + 0 + 0.5) / 2
        assert loss == pytest.approx(1.0625)
        assert a.tolist() == [[0.25, 0.5], [0, 0.5]]
        assert b.tolist() == (-a).tolist()


def detections(options: str, offsets, scores, priors=PRIOR):
    text = f"detection_output_param {{ code_type: CENTER_SIZE {options} }}"
    (top,) = run_layer("DetectionOutput", text, [offsets, scores, priors])
    return top[0, 0]


class TestDetectionOutput:
    scores = np.array([[0.1, 0.9, 0, 0.2, 0.7, 0.1, 0.8, 0.1, 0.1]])

    def test_boxes_of_a_class_by_falling_score(self):
        rows = detections(
            "num_classes: 3 confidence_threshold: 0.05", np.zeros((1, 12)), self.scores
        )
        assert rows[:, 1].tolist() == [1, 1, 1, 2, 2]
        np.testing.assert_allclose(rows[:, 2], [0.9, 0.7, 0.1, 0.1, 0.1], rtol=1e-6)
        np.testing.assert_allclose(rows[:3, 3:], PRIORS, rtol=1e-6)

    def test_the_best_of_an_image_are_kept(self):
        rows = detections(
            "num_classes: 3 keep_top_k: 2", np.zeros((1, 12)), self.scores
        )
        np.testing.assert_allclose(rows[:, 2], [0.9, 0.7], rtol=1e-6)

    def test_a_fourth_bottom_of_images_changes_nothing(self):
        text = "detection_output_param { num_classes: 3 code_type: CENTER_SIZE }"
        bottoms = [np.zeros((1, 12)), self.scores, PRIOR, np.zeros((1, 3, 9, 9))]
        (top,) = run_layer("DetectionOutput", text, bottoms)
        rows = detections("num_classes: 3", *bottoms[:2])
        assert top[0, 0].tolist() == rows.tolist()

    @pytest.mark.parametrize("options", ["", "keep_top_k: 20", "keep_top_k: 2000"])
    def test_many_boxes_are_suppressed_class_by_class(self, options):
        random = np.random.default_rng(8)
        start = random.uniform(0, 0.8, (600, 2))
        size = random.uniform(0.05, 0.2, (600, 2))
        boxes = np.concatenate([start, start + size], 1).astype(np.float32)
        prior = np.stack([boxes.ravel(), np.ones(2400)])[None]
        scores = random.dirichlet(np.ones(5), 600).astype(np.float32)
        rows = detections(
            f"num_classes: 5 nms_param {{ nms_threshold: 0.3 top_k: 400 }} {options}",
            np.zeros((1, 2400)),
            scores.reshape(1, -1),
            prior,
        )
        expected = []
        for label in range(1, 5):
            order = np.argsort(-scores[:, label], kind="stable")[:400]
            kept = greedy(boxes[order].astype(float).tolist(), 0.3, 1)
            expected += [(label, scores[i, label]) for i in order[kept]]
        if "keep_top_k" in options:
            count = int(options.split()[1])
            best = sorted(expected, key=lambda row: -row[1])[:count]
            expected = [row for row in expected if row in best]
        assert [(int(r[1]), np.float32(r[2])) for r in rows] == expected

    def test_without_background_all_classes_count(self):
        rows = detections(
            "num_classes: 3 background_label_id: -1 confidence_threshold: 0.75",
            np.zeros((1, 12)),
            self.scores,
        )
        assert rows[:, 1].tolist() == [0, 1]

    def test_boxes_are_cut_to_the_image_where_that_is_asked_for(self):
        offsets = np.tile([9, 9, 0, 0], 3)[None]
        rows = detections("num_classes: 3 clip: true", offsets, self.scores)
        assert float(rows[:, 3:].max()) <= 1
        rows = detections("num_classes: 3", offsets, self.scores)
        assert float(rows[:, 3:].max()) > 1

    def test_an_image_without_detections_has_no_row(self):
        scores = np.concatenate([self.scores * 0, self.scores])
        rows = detections(
            "num_classes: 3 confidence_threshold: 0.5", np.zeros((2, 12)), scores
        )
        assert rows[:, 0].tolist() == [1, 1]

    @pytest.mark.parametrize(
        ("shapes", "complaint"),
        [
            ([(1, 12), (1, 9), (1, 1, 12)], "priors"),
            ([(1, 16), (1, 9), (1, 2, 12)], "bottom 0"),
            ([(1, 12), (1, 8), (1, 2, 12)], "bottom 1"),
            ([(2, 12), (1, 9), (1, 2, 12)], "bottom 1"),
        ],
    )
    def test_bottoms_that_do_not_fit_are_refused(self, shapes, complaint):
        with pytest.raises(CheckError, match=complaint):
            shapes_of(
                "DetectionOutput", "detection_output_param { num_classes: 3 }", shapes
            )

    def test_agrees_with_opencv(self):
        cv2 = pytest.importorskip("cv2")
        random = np.random.default_rng(3)
        offsets = random.normal(size=(1, 400)).astype(np.float32)
        scores = random.dirichlet(np.ones(4), (1, 100)).astype(np.float32)
        centre, size = (
            random.uniform(0, 1, (100, 2)),
            random.uniform(0.1, 0.4, (100, 2)),
        )
        boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
        prior = np.stack([boxes.ravel(), np.full(400, 0.1)])[None].astype(np.float32)
        options = (
            "num_classes: 4 share_location: true background_label_id: 0 "
            "code_type: CENTER_SIZE keep_top_k: 30 confidence_threshold: 0.2 "
            "nms_param { nms_threshold: 0.4 top_k: 50 }"
        )
        text = "".join(
            f'input: "{name}" input_shape {{ {dims} }} '
            for name, dims in (
                ("loc", "dim: 1 dim: 400"),
                ("conf", "dim: 1 dim: 400"),
                ("prior", "dim: 1 dim: 2 dim: 400"),
            )
        )
        text += (
            'layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" '
            f'bottom: "prior" top: "out" detection_output_param {{ {options} }} }}'
        )
        net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
        for name, value in (
            ("loc", offsets),
            ("conf", scores.reshape(1, -1)),
            ("prior", prior),
        ):
            net.setInput(value, name)
        theirs = net.forward()[0, 0]
        (ours,) = run_layer(
            "DetectionOutput",
            f"detection_output_param {{ {options} }}",
            [offsets, scores.reshape(1, -1), prior],
        )
        ours = ours[0, 0].numpy()
        order = np.lexsort((ours[:, 2], ours[:, 1]))
        assert len(ours) == 30
        np.testing.assert_allclose(
            ours[order], theirs[np.lexsort((theirs[:, 2], theirs[:, 1]))], atol=1e-5
        )


def multibox(options: str, offsets, scores, truths, **keywords):
    text = f"multibox_loss_param {{ num_classes: 3 code_type: CENTER_SIZE {options} }}"
    bottoms = [offsets, scores, PRIOR, np.array(truths)[None, None]]
    return loss_and_gradients("MultiBoxLoss", text, bottoms, **keywords)


class TestMultiBoxLoss:
    truths = ([0, 2, 0, *PRIORS[1], 0],)

    def test_by_hand(self):
        scores = np.zeros((1, 9))
        scores[0, 3:6] = 0, 1, 2
        loss, (of_offsets, of_scores) = multibox(
            "", np.zeros((1, 12)), scores, self.truths
        )
        # prior 1 is matched at no distance; the two others are its negatives
        p = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
        assert loss == pytest.approx(-np.log(p[2]) + 2 * np.log(3), rel=1e-5)
        assert not of_offsets.any()
        expected = [
            *[-2 / 3, 1 / 3, 1 / 3],
            p[0],
            p[1],
            p[2] - 1,
            *[-2 / 3, 1 / 3, 1 / 3],
        ]
        np.testing.assert_allclose(of_scores[0], expected, rtol=1e-5)

    def test_without_true_boxes_there_is_no_loss(self):
        empty = ([-1, 0, 0, 0, 0, 0, 0, 0],)
        loss, gradients = multibox("", np.zeros((1, 12)), np.zeros((1, 9)), empty)
        assert loss == 0
        assert not any(gradient.any() for gradient in gradients)

    @pytest.mark.parametrize("kind", ["SOFTMAX", "LOGISTIC"])
    @pytest.mark.parametrize("loss", ["L2", "SMOOTH_L1"])
    def test_gradient_is_the_derivative(self, kind, loss):
        random = np.random.default_rng(1)
        offsets, scores = random.normal(size=(1, 12)), random.normal(size=(1, 9))
        priors = PRIOR
        truths = np.array([[0, 1, 0, 0.15, 0.1, 0.5, 0.6, 0], [0, 2, 0, *PRIORS[1], 0]])
        text = (
            f"multibox_loss_param {{ num_classes: 3 conf_loss_type: {kind} "
            f"code_type: CENTER_SIZE loc_loss_type: {loss} mining_type: NONE }}"
        )
        check_gradient(
            "MultiBoxLoss",
            text,
            [
                torch.from_numpy(v)
                for v in (offsets, scores, priors, truths[None, None])
            ],
        )

    def test_a_part_that_is_not_propagated_does_not_count(self):
        text = "propagate_down: false propagate_down: true"
        options = "multibox_loss_param { num_classes: 3 code_type: CENTER_SIZE }"
        bottoms = [
            np.ones((1, 12)),
            np.zeros((1, 9)),
            PRIOR,
            np.array(self.truths)[None],
        ]
        (loss,) = run_layer("MultiBoxLoss", f"{text} {options}", bottoms)
        assert float(loss) == pytest.approx(3 * np.log(3), rel=1e-5)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ("", "num_classes is not given"),
            ("num_classes: 3 background_label_id: 3", "background_label_id is 3"),
            ("num_classes: 3 share_location: false", "share_location"),
            ("num_classes: 3 do_neg_mining: false", "do_neg_mining"),
            ("num_classes: 3 map_object_to_agnostic: true", "expected 2"),
        ],
    )
    def test_options_that_contradict_are_refused(self, options, complaint):
        with pytest.raises(CheckError, match=complaint):
            make_layer(
                "MultiBoxLoss", f"multibox_loss_param {{ {options} }}", bottoms=4
            )

    @pytest.mark.parametrize(("label", "text"), [(0, "background"), (3, "label 3")])
    def test_labels_that_are_no_class_are_refused(self, label, text):
        truths = ([0, label, 0, *PRIORS[1], 0],)
        with pytest.raises(CheckError, match=text):
            multibox("", np.zeros((1, 12)), np.zeros((1, 9)), truths)


class TestDetectionEvaluate:
    found = np.array(
        [[0, 1, 0.3, *PRIORS[0]], [0, 1, 0.9, *PRIORS[0]], [1, 2, 0.5, *PRIORS[2]]]
    )

    def judge(self, truths, options="", found=None, context=None):
        text = f"detection_evaluate_param {{ num_classes: 3 {options} }}"
        bottoms = [self.found if found is None else found, np.array(truths)]
        return run_layer("DetectionEvaluate", text, bottoms, context=context)[0][0, 0]

    def test_the_better_one_takes_the_box(self):
        top = self.judge([[0, 1, 0, *PRIORS[0], 0]])
        expected = [
            [-1, 1, 1, -1, -1],
            [-1, 2, 0, -1, -1],
            [0, 1, 0.9, 1, 0],
            [0, 1, 0.3, 0, 1],
            [1, 2, 0.5, 0, 1],
        ]
        np.testing.assert_allclose(top, expected, rtol=1e-6)

    def test_who_finds_a_difficult_box_is_neither(self):
        truths = [[0, 1, 0, *PRIORS[0], 1]]
        top = self.judge(truths, "evaluate_difficult_gt: false")
        assert top[0].tolist() == [-1, 1, 0, -1, -1]
        assert top[2, 3:].tolist() == [0, 0]

    def test_no_detections_leave_the_counts(self):
        none = np.array([[0, -1, -1, -1, -1, -1, -1]])
        top = self.judge([[0, 1, 0, *PRIORS[0], 0]], found=none)
        assert top.tolist() == [[-1, 1, 1, -1, -1], [-1, 2, 0, -1, -1]]

    def test_boxes_in_pixels_are_one_wider(self, tmp_path):
        sizes = tmp_path / "sizes.txt"
        sizes.write_text("a b 10 10\nc 20 20\n")
        # 2 of 10 pixels and the neighbouring 2: they meet at one edge only
        found = np.array([[0, 1, 0.9, 0.1, 0, 0.2, 1]])
        truths = [[0, 1, 0, 0.2, 0, 0.3, 1, 0]]
        options = f'overlap_threshold: 0.3 name_size_file: "{sizes}"'
        context = make_context()
        top = self.judge(truths, options, found, context)
        assert top[-1, 3:].tolist() == [1, 0]  # 11 of 33 pixels
        assert context.state["image"] == 1
        assert self.judge(truths, "overlap_threshold: 0.3", found)[-1, 3] == 0

    def test_a_list_of_sizes_that_is_none_is_refused(self, tmp_path):
        sizes = tmp_path / "sizes.txt"
        sizes.write_text("a 10\n")
        with pytest.raises(
            CheckError, match=r"line 1.*expected name, height and width"
        ):
            self.judge([[0, 1, 0, *PRIORS[0], 0]], f'name_size_file: "{sizes}"')

"""CTC layers against torch's, and by hand."""

import math

import pytest
import torch
from torch.nn import functional

from caffe.errors import CheckError
from tests.support.layers import loss_and_gradients, run_layer, shapes_of

T, N, C = 9, 3, 5


def scores():
    return torch.randn(T, N, C, generator=torch.Generator().manual_seed(1))


def going_on(*lengths):
    steps = torch.arange(T)[:, None]
    found = (steps < torch.tensor(lengths)).float()
    found[0] = 0
    return found


def labels(*rows):
    table = torch.full((T, len(rows)), -1.0)
    for i, row in enumerate(rows):
        table[: len(row), i] = torch.tensor(row, dtype=torch.float)
    return table


@pytest.mark.parametrize("kind", ["CTCLoss", "WarpCTCLoss"])
def test_torch_agrees(kind):
    rows, lengths = ([0, 1, 1], [3], [2, 2, 0, 1]), (9, 4, 7)
    x = scores().requires_grad_()
    expected = functional.ctc_loss(
        x.log_softmax(2),
        torch.tensor([label for row in rows for label in row]),
        torch.tensor(lengths),
        torch.tensor([len(row) for row in rows]),
        blank=C - 1,
        reduction="none",
    )
    expected.sum().backward()
    bottoms = [scores(), going_on(*lengths), labels(*rows)]
    loss, gradients = loss_and_gradients(
        kind, "ctc_loss_param { blank_index: -1 }", bottoms
    )
    assert loss == pytest.approx(expected.mean().item(), rel=1e-5)
    torch.testing.assert_close(torch.tensor(gradients[0]), x.grad)


def test_the_weight_of_the_loss_does_not_count():
    bottoms = [scores(), going_on(9, 9, 9), labels([0], [1], [2])]
    _, (one,) = loss_and_gradients("CTCLoss", "", bottoms)
    _, (many,) = loss_and_gradients("CTCLoss", "", bottoms, top_diff=7.0)
    assert one.tolist() == many.tolist()


def test_labels_that_need_more_steps_cost_nothing_in_warp_ctc_and_all_in_ctc():
    x, begins = scores()[:2, :1], torch.tensor([[0.0], [1]])
    # two equal labels need a blank between them
    bottoms = [x, begins, torch.tensor([[1.0], [1]])]
    options = "ctc_loss_param { blank_index: 4 }"
    loss, (gradient,) = loss_and_gradients("WarpCTCLoss", options, bottoms)
    assert loss == 0
    assert not gradient.any()
    assert loss_and_gradients("CTCLoss", options, bottoms)[0] == math.inf


def test_more_labels_than_steps_are_refused():
    with pytest.raises(CheckError, match="3 labels for the 2 steps of sequence 1"):
        run_layer(
            "CTCLoss",
            "ctc_loss_param { blank_index: 4 }",
            [scores(), going_on(9, 2, 9), labels([0], [1, 2, 3], [0])],
        )


def test_labels_and_blanks_beyond_the_classes_are_refused():
    with pytest.raises(CheckError, match="blank_index is 5"):
        shapes_of(
            "CTCLoss", "ctc_loss_param { blank_index: 5 }", [(T, N, C), (T, N), (T, N)]
        )
    with pytest.raises(CheckError, match="label 5: expected one of 5 classes"):
        run_layer("WarpCTCLoss", "", [scores(), torch.full((N, 2), 5.0)])
    with pytest.raises(CheckError, match="expected 27 numbers"):
        shapes_of("CTCLoss", "", [(T, N, C), (T, 2), (T, N)])


def test_a_delay_counts_in_ctc_alone_and_ends_before_the_steps():
    bottoms = [scores(), going_on(9, 9, 9), labels([0], [1], [2])]
    first, second = (
        [
            run_layer(kind, f"ctc_loss_param {{ blank_index: 4 {more} }}", bottoms)[0]
            for more in ("", "output_delay: 2")
        ]
        for kind in ("CTCLoss", "WarpCTCLoss")
    )
    assert first[0] != first[1]
    assert second[0] == second[1] == first[0]
    shortened = [bottoms[0][2:], going_on(7, 7, 7)[:7], bottoms[2][:7]]
    shortened[1][0] = 0
    (alone,) = run_layer("CTCLoss", "ctc_loss_param { blank_index: 4 }", shortened)
    torch.testing.assert_close(first[1], alone)
    with pytest.raises(CheckError, match="output_delay is 9"):
        shapes_of(
            "CTCLoss", "ctc_loss_param { output_delay: 9 }", [(T, N, C), (T, N), (T, N)]
        )


def test_the_ways_of_warp_ctc_to_give_labels_agree():
    x = scores()
    by_rows = torch.tensor([[1.0, 2, 0], [3, 0, 0], [1, 1, 2]])
    shifted = labels([0, 1], [2], [0, 0, 1])
    plain = labels([1, 2], [3], [1, 1, 2])
    counts = torch.tensor([2.0, 1, 3])
    found = [
        run_layer("WarpCTCLoss", "", [x, *more])[0].item()
        for more in (
            [by_rows],
            [going_on(9, 9, 9), shifted],
            [torch.full((N,), 9.0), counts, plain],
        )
    ]
    assert found == pytest.approx([found[0]] * 3)


class TestCTCGreedyDecoder:
    def decode(self, chosen, options="", *more, tops=1):
        x = functional.one_hot(torch.tensor(chosen), C).float()[:, None]
        return run_layer(
            "CTCGreedyDecoder",
            f"ctc_decoder_param {{ blank_index: 0 {options} }}",
            [x, *more],
            tops=tops,
        )

    def test_repetitions_and_blanks_go(self):
        (found,) = self.decode([1, 1, 0, 1, 2, 0])
        assert found.flatten().tolist() == [1, 1, 2, -1, -1, -1]

    def test_repetitions_may_stay(self):
        (found,) = self.decode([1, 1, 0, 2], "ctc_merge_repeated: false")
        assert found.flatten().tolist() == [1, 1, 2, -1]

    @pytest.mark.parametrize(
        ("truth", "distance", "longer"),
        [
            ([1, 2, 3], 0, 3),
            ([1, 3], 1, 3),
            ([2, 2, 3], 1, 3),
            ([], 3, 3),
            ([3, 1, 2, 4], 2, 4),
            ([4, 1, 2, 3], 1, 4),
        ],
    )
    def test_accuracy_is_by_edits(self, truth, distance, longer):
        begins = torch.tensor([0.0, 1, 1, 1])[:, None]
        rows = torch.tensor([*truth, -1, -1, -1, -1], dtype=torch.float)[:4, None]
        _, found = self.decode([1, 2, 3, 0], "", begins, rows, tops=2)
        assert found.item() == pytest.approx(1 - distance / longer)

    def test_scores_are_sums_of_maxima(self):
        _, found = self.decode([1, 2, 0], tops=2)
        assert found.flatten().tolist() == [-3]

"""When work is captured, replayed, captured again, and when not."""

from types import SimpleNamespace

import pytest
import torch

from caffe.engine.catalogue import layer_class
from caffe.engine.cuda_graphs import (
    MOST_CAPTURES,
    MOST_GRAPHS,
    REHEARSALS,
    CudaRecorder,
    Replayed,
    divide,
)
from caffe.errors import CheckError
from tests.support.recording import Tape


def double(inputs):
    return [2 * inputs[0]]


def run(replayed, value, fixed="same", work=double):
    return replayed.run(work, [torch.full((2,), float(value))], fixed)[0].tolist()


class TestReplayed:
    def test_work_is_rehearsed_then_captured_then_replayed(self):
        tape = Tape()
        replayed = Replayed(tape, "work")
        for value in range(REHEARSALS + 2):
            assert run(replayed, value) == [2 * value] * 2
        assert tape.calls == [*["rehearse"] * REHEARSALS, "capture", "replay", "replay"]

    def test_a_replay_reads_tensors_where_they_stay_and_python_no_more(self):
        # so the recorder of these tests does what a CUDA graph does
        weight, factor = torch.ones(2), [1.0]
        replayed = Replayed(Tape(), "work")

        def work(inputs):
            return [inputs[0] * weight * factor[0]]

        for _ in range(REHEARSALS + 1):
            assert run(replayed, 3, work=work) == [3, 3]
        weight.mul_(2)
        factor[0] = 100.0
        assert run(replayed, 3, work=work) == [6, 6]

    def test_what_else_the_work_depends_on_makes_a_new_capture(self):
        tape = Tape()
        replayed = Replayed(tape, "work")
        for factor in (2.0, 5.0):
            for _ in range(REHEARSALS + 2):
                got = run(
                    replayed,
                    3,
                    fixed=factor,
                    work=lambda inputs, f=factor: [inputs[0] * f],
                )
                assert got == [3 * factor] * 2
        assert tape.calls.count("capture") == 2

    def test_each_shape_stride_and_type_has_a_graph_of_its_own(self):
        tape = Tape()
        replayed = Replayed(tape, "work")
        wide = torch.arange(6.0).reshape(2, 3)
        kinds = [wide, wide.T.contiguous().T, wide[:1], wide.double()]
        for _ in range(REHEARSALS + 2):
            for kind in kinds:
                (got,) = replayed.run(double, [kind], 0)
                assert got.dtype == kind.dtype
                assert torch.equal(got, 2 * kind)
        assert tape.calls.count("capture") == len(kinds)
        assert tape.calls.count("replay") == 2 * len(kinds)

    def test_shapes_that_always_change_are_never_captured(self):
        tape = Tape()
        replayed = Replayed(tape, "work")
        for size in range(1, 20):
            (got,) = replayed.run(double, [torch.ones(size)], 0)
            assert got.tolist() == [2] * size
        assert set(tape.calls) == {"rehearse"}

    def test_more_shapes_than_graphs_are_computed_all_the_same(self):
        tape = Tape()
        replayed = Replayed(tape, "work")
        for _ in range(REHEARSALS + 2):
            for size in range(1, MOST_GRAPHS + 3):
                (got,) = replayed.run(double, [torch.ones(size)], 0)
                assert got.tolist() == [2] * size
        assert tape.calls.count("capture") == MOST_GRAPHS

    def test_work_that_keeps_changing_is_given_up_with_one_line(self, capfd):
        replayed = Replayed(Tape(), "a step")
        for fixed in range(MOST_CAPTURES + 3):
            for _ in range(REHEARSALS + 1):
                assert run(replayed, 3, fixed=fixed) == [6, 6]
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "a step runs without a CUDA graph: it was captured 16 times" in lines[0]

    @pytest.mark.parametrize(
        "error",
        [RuntimeError("operation not\npermitted when stream is capturing"), CheckError],
    )
    def test_what_can_not_be_captured_runs_as_it_is_and_says_so_once(
        self, error, capfd
    ):
        class Refusing(Tape):
            def capture(self, work):
                raise error

        replayed = Replayed(Refusing(), "a step")
        for value in range(REHEARSALS + 4):
            assert run(replayed, value) == [2 * value] * 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "] a step runs without a CUDA graph: " in line
        assert replayed.gave_up in {
            "operation not permitted when stream is capturing",
            "CheckError",
        }

    def test_an_error_of_the_work_itself_stays_an_error(self):
        def wrong(inputs):
            raise ValueError("wrong")

        with pytest.raises(ValueError, match="wrong"):
            run(Replayed(Tape(), "work"), 1, work=wrong)


def layer(kind, bottoms, tops, *, source=False, blobs=0):
    cls = layer_class(kind)
    return SimpleNamespace(
        name=kind.lower(),
        type=kind,
        bottom=bottoms.split(),
        top=tops.split(),
        op=SimpleNamespace(
            source=source or cls.source,
            label_bottom=cls.label_bottom,
            capturable=cls.capturable,
        ),
        blobs=[None] * blobs,
    )


DATA = layer("HDF5Data", "", "image label", source=True)
FIELD = layer("CreateDeformation", "", "field", source=True)
DEFORMED = layer("ApplyDeformation", "image field", "tile")
CURVE = layer("ValueAugmentation", "tile", "grey", source=True)
LABELS = layer("ApplyDeformation", "label field", "classes")
SCORES = layer("Convolution", "grey", "score", blobs=2)
IN_PLACE = layer("ReLU", "score", "score")
LOSS = layer("SoftmaxWithLoss", "score classes", "loss")
STEP = [DATA, FIELD, DEFORMED, CURVE, SCORES, IN_PLACE]


class TestDivide:
    def test_new_data_and_what_it_is_made_of_run_before(self):
        weights = layer("ApplyDeformation", "weight field", "weights")
        parts = divide([*STEP, LABELS, weights, LOSS])
        # labels too, as the host looks at them
        assert parts.inside == [False] * 4 + [True, True] + [False, True, True]
        assert parts.reason == ""

    def test_the_input_of_a_tile_runs_before(self):
        parts = divide([layer("Input", "", "grey"), SCORES, IN_PLACE])
        assert parts.inside == [False, True, True]
        assert parts.reason == ""

    def test_a_layer_that_asks_the_host_is_named(self):
        counts = layer("IoU", "score label", "iou")
        assert divide([*STEP, counts]).reason == "layer 'iou' (IoU) may ask the host"
        mine = layer("Python", "grey", "other")
        assert "layer 'python' (Python) may" in divide([*STEP, mine]).reason

    def test_new_data_behind_parameters_is_not_divided(self):
        late = layer("ValueAugmentation", "score", "changed", source=True)
        assert divide([*STEP, late]).reason == (
            "layer 'convolution' (Convolution) has parameters, and makes what is new "
            "each time"
        )

    def test_data_alone_leaves_nothing(self):
        assert divide([DATA, FIELD]).reason == "no layer is left to capture"


@pytest.mark.gpu
class TestOnAGPU:
    def test_a_graph_gives_what_the_work_gives_bit_for_bit(self):
        device = torch.device("cuda", 0)
        weight = torch.randn(8, 3, 3, 3, device=device, requires_grad=True)
        dice = torch.Generator(device)

        def work(inputs):
            top = torch.nn.functional.conv2d(inputs[0], weight)
            mask = torch.empty_like(top).bernoulli_(0.5, generator=dice)
            loss = (top * mask).square().sum()
            return [loss.detach(), *torch.autograd.grad(loss, [weight])]

        inputs = [torch.randn(2, 3, 40, 40, device=device) for _ in range(8)]
        found = []
        for recorder in (None, CudaRecorder(device, [dice])):
            dice.manual_seed(3)
            replayed = recorder and Replayed(recorder, "work")
            rows = []
            for value in inputs:
                got = replayed.run(work, [value], 0) if replayed else work([value])
                rows.append([part.clone() for part in got])
            found.append(rows)
            assert not (replayed and replayed.gave_up)
        for eager, graphed in zip(*found, strict=True):
            for a, b in zip(eager, graphed, strict=True):
                assert torch.equal(a, b)

    def test_work_that_waits_for_the_gpu_is_given_up_and_goes_on(self):
        device = torch.device("cuda", 0)
        dice = torch.Generator(device).manual_seed(0)
        replayed = Replayed(CudaRecorder(device, [dice]), "work")

        def work(inputs):
            noise = torch.rand(2, device=device, generator=dice)
            return [inputs[0] * float(inputs[0].sum()) + 0 * noise]

        for value in range(REHEARSALS + 3):
            place = torch.full((2,), float(value), device=device)
            assert replayed.run(work, [place], 0)[0].tolist() == [2 * value**2] * 2
        assert replayed.gave_up

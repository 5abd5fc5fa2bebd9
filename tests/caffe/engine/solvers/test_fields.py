"""Fields of SolverParameter, each by what it does; numbers by Caffe's formulas."""

import numpy as np
import pytest

import caffe
from caffe.engine.net import Net
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net_binary
from tests.support.files import names
from tests.support.solvers import write_solver

NET = """
name: "n"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 }
} }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
PLAIN = 'net: "net.prototxt" random_seed: 3 snapshot_prefix: "s" solver_mode: CPU '
BASE = PLAIN + 'base_lr: 0.5 lr_policy: "fixed" '
STAGED = """
layer { name: "extra" type: "DummyData" top: "extra" include { stage: "%s" }
  dummy_data_param { shape { dim: 1 } } }
layer { name: "deep" type: "DummyData" top: "deep" include { min_level: 2 }
  dummy_data_param { shape { dim: 1 } } }
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)

    def build(extra="", base=BASE):
        return caffe.get_solver(write_solver(tmp_path, base + extra))

    return build


def blobs(solver):
    return solver.net.params["ip"]


def values(solver):
    return [blob.data.copy() for blob in blobs(solver)]


def shown(capsys, text):
    lines = capsys.readouterr().err.splitlines()
    return [line.partition("] ")[2] for line in lines if text in line]


class TestUpdate:
    """One update of given gradients, in numpy."""

    def update(self, solver, gradients):
        for blob, gradient in zip(blobs(solver), gradients, strict=True):
            blob.diff[...] = gradient
        solver.apply_update()

    @pytest.mark.parametrize("kind", ["L1", "L2"])
    def test_clip_then_normalise_then_decay_then_momentum(self, make, kind):
        solver = make(
            f"iter_size: 4 clip_gradients: 3 weight_decay: 0.1 momentum: 0.9 "
            f'regularization_type: "{kind}"'
        )
        rng = np.random.default_rng(1)
        wanted = values(solver)
        history = [np.zeros_like(value) for value in wanted]
        for _ in range(3):
            gradients = [rng.normal(size=v.shape) * 5 for v in wanted]
            self.update(solver, gradients)
            norm = np.sqrt(sum((g**2).sum() for g in gradients))
            assert norm > 3
            for i, (rate, decay) in enumerate(((0.5, 0.1), (1.0, 0.0))):
                gradient = gradients[i] * 3 / norm / 4
                weight = wanted[i]
                gradient += decay * (weight if kind == "L2" else np.sign(weight))
                history[i] = 0.9 * history[i] + rate * gradient
                wanted[i] = weight - history[i]
        for found, value in zip(values(solver), wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)

    def test_gradients_within_the_limit_are_not_clipped(self, make, capsys):
        solver = make("clip_gradients: 3")
        before = values(solver)
        self.update(solver, [np.full((2, 3), 0.5), np.full(2, 0.5)])
        assert not shown(capsys, "clipping")
        np.testing.assert_allclose(values(solver)[0], before[0] - 0.25, rtol=1e-6)

    @pytest.mark.parametrize(
        ("method", "formula"),
        [
            ("Nesterov", lambda g, m: 0.5 * g * (1 + m)),
            ("AdaGrad", lambda g, m: 0.5 * g / (abs(g) + 1e-3)),
            ("RMSProp", lambda g, m: 0.5 * g / (abs(g) * np.sqrt(0.02) + 1e-3)),
            (
                "AdaDelta",
                lambda g, m: 0.5 * g * np.sqrt(1e-3 / (g * g * (1 - m) + 1e-3)),
            ),
            (
                "Adam",
                lambda g, m: (
                    0.5
                    * np.sqrt(1 - 0.995)
                    / (1 - m)
                    * (1 - m)
                    * g
                    / (np.sqrt(1 - 0.995) * abs(g) + 1e-3)
                ),
            ),
        ],
    )
    def test_the_first_update_of_each_method(self, make, method, formula):
        momentum = 0 if method in ("AdaGrad", "RMSProp") else 0.8
        options = "rms_decay: 0.98" if method == "RMSProp" else ""
        solver = make(
            f'type: "{method}" delta: 1e-3 momentum2: 0.995 {options} '
            f"momentum: {momentum}"
        )
        before = values(solver)[0]
        gradient = np.linspace(-2, 2.5, 6).reshape(2, 3)
        self.update(solver, [gradient, np.zeros(2)])
        found = before - values(solver)[0]
        np.testing.assert_allclose(found, formula(gradient, momentum), rtol=1e-4)

    def test_an_update_counts(self, make):
        solver = make('lr_policy: "exp" gamma: 0.5', PLAIN + "base_lr: 0.5 ")
        blobs(solver)[0].data[...] = 0
        self.update(solver, [np.ones((2, 3)), np.zeros(2)])
        assert solver.iter == 1
        np.testing.assert_allclose(values(solver)[0], -0.5)
        self.update(solver, [np.ones((2, 3)), np.zeros(2)])
        np.testing.assert_allclose(values(solver)[0], -0.75)


class TestPycaffe:
    def test_base_lr_can_be_changed_between_steps(self, make):
        solver = make()
        assert (solver.base_lr, solver.max_iter) == (0.5, 0)
        before = values(solver)[0]
        solver.base_lr = 0.25
        blobs(solver)[0].diff[...] = 1
        solver.apply_update()
        np.testing.assert_allclose(before - values(solver)[0], 0.25, rtol=1e-5)
        assert solver.param.base_lr == 0.25

    def test_an_object_can_be_both_callbacks(self, make):
        class Both:
            seen = ()

            def on_start(self):
                self.seen += ("start",)

            def on_gradients_ready(self):
                self.seen += ("ready",)

        solver, both = make(), Both()
        solver.add_callback(both)
        solver.step(2)
        assert both.seen == ("start", "ready") * 2

    def test_another_net_can_share_the_weights(self, make):
        solver = make()
        other = Net("net.prototxt", caffe.TEST)
        solver.share_weights(other)
        solver.step(1)
        assert np.array_equal(other.params["ip"][0].data, values(solver)[0])

    def test_nets_outlive_their_solver(self, make):
        solver = make("test_iter: 1 test_interval: 1")
        nets = [solver.net, *solver.test_nets]
        solver.step(1)
        del solver
        for net in nets:
            net.forward()
            assert all(np.isfinite(b.data).all() for b in net.blobs.values())
            assert all(np.isfinite(b.diff).all() for b in net.params["ip"])

    def test_a_class_counts_not_the_type_of_the_file(self, make):
        make('momentum: 0.5 type: "SGD"')
        with pytest.raises(caffe.CheckError, match="with AdaGrad: it is 0"):
            caffe.AdaGradSolver("solver.prototxt")

    def test_a_message_needs_no_file(self, make):
        make()
        param = caffe_pb2.SolverParameter(
            net="net.prototxt", base_lr=0.1, lr_policy="fixed", type="Nesterov"
        )
        assert type(caffe.get_solver(param)) is caffe.NesterovSolver


class TestSnapshots:
    def test_snapshot_diff_keeps_the_last_update(self, make):
        solver = make("snapshot_diff: true momentum: 0.9")
        solver.step(1)
        before = values(solver)
        solver.step(1)
        solver.snapshot()
        (layer,) = [
            layer
            for layer in read_net_binary("s_iter_2.caffemodel").layer
            if layer.blobs
        ]
        for blob, old, new in zip(layer.blobs, before, values(solver), strict=True):
            update = np.array(blob.diff, np.float32).reshape(old.shape)
            assert abs(update).max() > 0
            np.testing.assert_allclose(update, old - new, rtol=1e-4, atol=1e-6)

    def test_without_snapshot_diff_there_are_no_gradients(self, make):
        solver = make()
        solver.step(1)
        solver.snapshot()
        layers = read_net_binary("s_iter_1.caffemodel").layer
        assert not any(blob.diff for layer in layers for blob in layer.blobs)

    def test_a_stop_writes_none_if_none_is_wanted_after_training(self, make, tmp_path):
        solver = make("snapshot_after_train: false max_iter: 9")
        solver.action_function = lambda: "stop"
        before = names(tmp_path)
        solver.solve()
        assert solver.stopped_early
        assert solver.iter == 1
        assert names(tmp_path) == before

    def test_without_a_prefix_the_name_of_the_solver_file_is_taken(
        self, make, tmp_path
    ):
        make("max_iter: 1", BASE.replace('snapshot_prefix: "s"', "")).solve()
        assert "solver_iter_1.caffemodel" in names(tmp_path)

    def test_a_prefix_is_wanted_where_snapshots_are(self, make):
        make()
        param = caffe_pb2.SolverParameter(
            net="net.prototxt", lr_policy="fixed", snapshot=5
        )
        with pytest.raises(caffe.CheckError, match="but snapshot_prefix is not"):
            caffe.SGDSolver(param)


class TestNets:
    def test_train_and_test_states_choose_layers(self, make, tmp_path):
        (tmp_path / "net.prototxt").write_text(NET + STAGED % "fine")
        solver = make(
            'train_state { stage: "fine" } test_iter: 1 test_iter: 1 test_interval: 5 '
            'test_state { level: 2 } test_state { stage: "fine" level: 3 }'
        )
        found = [
            {"extra", "deep"} & set(net.blobs)
            for net in (solver.net, *solver.test_nets)
        ]
        assert found == [{"extra"}, {"deep"}, {"extra", "deep"}]

    def test_weights_come_from_several_files_the_last_wins(self, make, capsys):
        first, second = make(), make("", BASE.replace("seed: 3", "seed: 4"))
        first.net.save("one.caffemodel")
        second.net.save("two.caffemodel")
        solver = make('weights: "two.caffemodel, one.caffemodel"')
        assert np.array_equal(values(solver)[0], values(first)[0])
        solver = make('weights: "one.caffemodel" weights: "two.caffemodel"')
        assert np.array_equal(values(solver)[0], values(second)[0])
        assert shown(capsys, "Finetuning from") == [
            f"Finetuning from {name}.caffemodel"
            for name in ("two", "one", "one", "two")
        ]

    def test_a_resume_wins_over_weights(self, make):
        first = make()
        first.net.save("one.caffemodel")
        first.step(3)
        first.snapshot()
        solver = make('weights: "one.caffemodel"')
        solver.restore("s_iter_3.solverstate")
        assert np.array_equal(values(solver)[0], values(first)[0])
        assert solver.iter == 3


class TestLog:
    def test_debug_lines_come_only_where_the_solver_displays(self, make, monkeypatch):
        asked = []
        real = Net.set_debug_info

        def spy(net, value):
            asked.append((net.phase, bool(value)))
            real(net, value)

        monkeypatch.setattr(Net, "set_debug_info", spy)
        solver = make("debug_info: true display: 2 test_iter: 1 test_interval: 9")
        assert asked[-1] == (caffe.TEST, True)
        asked.clear()
        solver.step(3)
        assert asked == [(caffe.TRAIN, value) for value in (True, False, True)]

    def test_the_loss_is_the_mean_of_the_last_ones(self, make, capsys):
        solver = make(
            "display: 1 average_loss: 3 momentum: 0.5 base_lr: 0.1",
            PLAIN + 'lr_policy: "fixed" ',
        )
        losses = []
        solver.add_callback(
            lambda: None,
            lambda: losses.append(float(solver.net.blobs["loss"].data)),
        )
        solver.step(6)
        found = [float(t.split("loss = ")[1]) for t in shown(capsys, "iter/s")]
        wanted = [np.mean(losses[max(0, i - 2) : i + 1]) for i in range(6)]
        assert found == pytest.approx(wanted, rel=1e-4)

    @pytest.mark.parametrize("value", ["true", "false"])
    def test_layer_wise_reduce_changes_nothing(self, make, value):
        plain, other = make(), make(f"layer_wise_reduce: {value}")
        for solver in (plain, other):
            solver.step(2)
        assert np.array_equal(values(plain)[0], values(other)[0])

    @pytest.mark.parametrize(
        ("extra", "wanted"),
        [
            ("", ["Iteration 0, Testing net (#0)", "Iteration 2, Testing net (#0)"]),
            ("test_initialization: false", ["Iteration 2, Testing net (#0)"]),
        ],
    )
    def test_tests_come_at_their_interval(self, make, capsys, extra, wanted):
        make("test_iter: 1 test_interval: 2 max_iter: 3 " + extra).solve()
        assert shown(capsys, "Testing net") == wanted

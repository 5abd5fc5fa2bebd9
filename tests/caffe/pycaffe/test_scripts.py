"""Scripts as users of pycaffe have written them, with numbers that numpy confirms."""

import numpy as np
import pytest

import caffe
from caffe import layers as L  # noqa: N812 - the name that scripts use
from caffe import params as P  # noqa: N812

MODULE = "tests.support.python_layers"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Scripts run where their files are."""
    monkeypatch.chdir(tmp_path)
    caffe.set_mode_cpu()
    caffe.set_random_seed(7)
    return tmp_path


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def write(name, net):
    with open(name, "w") as file:
        file.write(str(net))
    return name


def convolved(image, weights, bias):
    """Cross-correlation, the slow way: (N, C, Y, X) with (O, C, K, K)."""
    windows = np.lib.stride_tricks.sliding_window_view(
        image, weights.shape[2:], axis=(2, 3)
    )
    return np.einsum("ncyxij,ocij->noyx", windows, weights) + bias[:, None, None]


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def small_classifier(size=12, batch=2):
    """A deploy net: conv, relu, pool, fc, softmax."""
    n = caffe.NetSpec()
    n.data = L.Input(input_param={"shape": {"dim": [batch, 3, size, size]}})
    gaussian = {"type": "gaussian", "std": 0.3}
    n.conv1 = L.Convolution(n.data, num_output=4, kernel_size=3, weight_filler=gaussian)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.fc2 = L.InnerProduct(n.pool1, num_output=5, weight_filler=gaussian)
    n.prob = L.Softmax(n.fc2)
    return n


class TestClassification:
    """00-classification.ipynb: transformer, batch, net surgery, pictures of filters."""

    def test_an_image_is_prepared_and_classified(self, rng):
        net = caffe.Net(write("deploy.prototxt", small_classifier().to_proto()), 1)
        mu = np.array([104.0, 117.0, 123.0])
        transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_mean("data", mu)
        transformer.set_raw_scale("data", 255)
        transformer.set_channel_swap("data", (2, 1, 0))
        net.blobs["data"].reshape(50, 3, 12, 12)
        image = rng.random((12, 12, 3)).astype(np.float32)
        net.blobs["data"].data[...] = transformer.preprocess("data", image)
        output = net.forward()
        output_prob = output["prob"][0]
        assert output["prob"].shape == (50, 5)

        bgr = 255 * image[:, :, ::-1].transpose(2, 0, 1) - mu[:, None, None]
        np.testing.assert_allclose(net.blobs["data"].data[49], bgr, rtol=1e-5)
        weights, bias = (blob.data for blob in net.params["conv1"])
        conv = np.maximum(convolved(bgr[None], weights, bias), 0)
        pool = conv.reshape(1, 4, 5, 2, 5, 2).max(axis=(3, 5))
        weights, bias = (blob.data for blob in net.params["fc2"])
        expected = softmax(pool.reshape(1, -1) @ weights.T + bias)[0]
        np.testing.assert_allclose(output_prob, expected, atol=1e-5)
        # what was computed between can still be looked at
        np.testing.assert_allclose(net.blobs["conv1"].data[0], conv[0], rtol=1e-3)
        np.testing.assert_allclose(net.blobs["pool1"].data[3], pool[0], rtol=1e-3)
        top = net.blobs["prob"].data[0].flatten().argsort()[-1:-6:-1]
        assert top[0] == expected.argmax()

    def test_shapes_and_filters_are_printed(self):
        net = caffe.Net(write("deploy.prototxt", small_classifier().to_proto()), 1)
        lines = [f"{name}\t{blob.data.shape}" for name, blob in net.blobs.items()]
        assert lines == [
            "data\t(2, 3, 12, 12)",
            "conv1\t(2, 4, 10, 10)",
            "pool1\t(2, 4, 5, 5)",
            "fc2\t(2, 5)",
            "prob\t(2, 5)",
        ]
        shapes = {k: (v[0].data.shape, v[1].data.shape) for k, v in net.params.items()}
        assert shapes == {"conv1": ((4, 3, 3, 3), (4,)), "fc2": ((5, 100), (5,))}
        filters = net.params["conv1"][0].data
        shown = filters.transpose(0, 2, 3, 1).copy()
        shown -= shown.min()
        shown /= shown.max()
        assert (shown.min(), shown.max()) == (0, 1)
        assert net.params["conv1"][0].data.min() < 0

    def test_features_are_taken_up_to_a_layer(self, rng):
        net = caffe.Net(write("deploy.prototxt", small_classifier().to_proto()), 1)
        image = rng.standard_normal((2, 3, 12, 12)).astype(np.float32)
        features = net.forward(data=image, end="pool1")["pool1"].copy()
        assert not net.blobs["prob"].data.any()
        whole = net.forward(blobs=["pool1"], data=image)
        assert set(whole) == {"prob", "pool1"}
        np.testing.assert_allclose(whole["pool1"], features, rtol=1e-5)
        again = net.forward(start="fc2", end="prob")
        np.testing.assert_allclose(again["prob"], whole["prob"], rtol=1e-6)

    def test_sizes_change_between_forwards(self, rng):
        n = small_classifier().to_proto()
        del n.layer[4:]
        net = caffe.Net(write("fcn.prototxt", n), caffe.TEST)
        weights, bias = (blob.data for blob in net.params["conv1"])
        for height, width in ((12, 12), (9, 14), (30, 8)):
            net.blobs["data"].reshape(1, 3, height, width)
            net.reshape()
            assert net.blobs["conv1"].data.shape == (1, 4, height - 2, width - 2)
            image = rng.standard_normal((1, 3, height, width)).astype(np.float32)
            net.blobs["data"].data[...] = image
            net.forward()
            expected = np.maximum(convolved(image, weights, bias), 0)
            np.testing.assert_allclose(net.blobs["conv1"].data, expected, atol=1e-5)

    def test_many_images_go_through_batch_by_batch(self, rng):
        net = caffe.Net(write("deploy.prototxt", small_classifier().to_proto()), 1)
        images = rng.standard_normal((5, 3, 12, 12)).astype(np.float32)
        found = net.forward_all(data=images, blobs=["fc2"])
        assert found["prob"].shape == found["fc2"].shape == (5, 5)
        for index in range(5):
            one = net.forward(data=images[[index, index]])
            np.testing.assert_allclose(found["prob"][index], one["prob"][0], atol=1e-6)
        batches = list(net._batch({"data": images}))
        assert [len(batch["data"]) for batch in batches] == [2, 2, 2]
        assert not batches[2]["data"][1].any()


class TestNetSurgery:
    """net_surgery.ipynb: inner products become convolutions, one net fills another."""

    def test_inner_products_become_convolutions(self, rng):
        n = small_classifier(batch=1)
        net = caffe.Net(write("deploy.prototxt", n.to_proto()), caffe.TEST)
        net.save("weights.caffemodel")
        n.fc2_conv = L.Convolution(n.pool1, num_output=5, kernel_size=5)
        n.prob = L.Softmax(n.fc2_conv)
        del n.fc2
        net_full_conv = caffe.Net(
            write("full_conv.prototxt", n.to_proto()), "weights.caffemodel", caffe.TEST
        )
        params, params_full_conv = ["fc2"], ["fc2_conv"]
        fc_params = {p: (net.params[p][0].data, net.params[p][1].data) for p in params}
        conv_params = {
            p: (net_full_conv.params[p][0].data, net_full_conv.params[p][1].data)
            for p in params_full_conv
        }
        for pr, pr_conv in zip(params, params_full_conv, strict=True):
            conv_params[pr_conv][0].flat = fc_params[pr][0].flat
            conv_params[pr_conv][1][...] = fc_params[pr][1]
        net_full_conv.save("full_conv.caffemodel")

        image = rng.standard_normal((1, 3, 20, 20)).astype(np.float32)
        net_full_conv = caffe.Net(
            "full_conv.prototxt", caffe.TEST, weights="full_conv.caffemodel"
        )
        net_full_conv.blobs["data"].reshape(1, 3, 20, 20)
        maps = net_full_conv.forward(data=image)["prob"].copy()
        assert maps.shape == (1, 5, 5, 5)
        for y, x in ((0, 0), (1, 3), (4, 4)):
            window = image[:, :, 2 * y : 2 * y + 12, 2 * x : 2 * x + 12]
            expected = net.forward(data=window)["prob"][0]
            np.testing.assert_allclose(maps[0, :, y, x], expected, atol=1e-6)

    def test_filters_are_edited_by_hand(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [1, 1, 8, 8]})
        n.conv = L.Convolution(
            n.data, num_output=3, kernel_size=5, bias_filler={"value": 0}
        )
        net = caffe.Net(write("conv.prototxt", n.to_proto()), caffe.TEST)
        ksize = net.params["conv"][0].data.shape[2:]
        net.params["conv"][0].data[0, 0] = np.ones(ksize) / 25
        net.params["conv"][0].data[1:3] = 0
        net.params["conv"][0].data[1, 0, 2, 2] = 1
        net.params["conv"][1].data[2] = 4
        image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
        found = net.forward(data=image)["conv"][0]
        assert found[0, 0, 0] == pytest.approx(image[0, 0, :5, :5].mean())
        assert (found[1] == image[0, 0, 2:6, 2:6]).all()
        assert (found[2] == 4).all()

    def test_deconvolutions_are_filled_for_interpolation(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [1, 2, 4, 4]})
        n.upscore = L.Deconvolution(
            n.data,
            convolution_param={
                "num_output": 2,
                "kernel_size": 4,
                "stride": 2,
                "bias_term": False,
            },
        )
        net = caffe.Net(write("fcn.prototxt", n.to_proto()), caffe.TRAIN)
        interp_layers = [k for k in net.params if "up" in k]
        for layer in interp_layers:
            m, k, h, w = net.params[layer][0].data.shape
            assert (m, h) == (k, w)
            ramp = 1 - abs(np.arange(4) - 1.5) / 2
            filt = ramp[:, None] * ramp
            net.params[layer][0].data[range(m), range(k), :, :] = filt
        net.blobs["data"].data[0, 0] = 3
        net.blobs["data"].data[0, 1] = np.arange(4)
        up = net.forward()["upscore"][0]
        # inside, a constant stays, and a ramp rises by half steps
        np.testing.assert_allclose(up[0, 2:-2, 2:-2], 3)
        np.testing.assert_allclose(np.diff(up[1, 4, 2:-2]), 0.5)

    def test_layers_of_other_nets_are_copied_by_name(self):
        net = caffe.Net(write("a.prototxt", small_classifier().to_proto()), 0)
        other = caffe.Net("a.prototxt", 0)
        for name in net.params:
            for index in range(len(net.params[name])):
                other.params[name][index].data[...] = net.params[name][index].data
        image = np.ones((2, 3, 12, 12), np.float32)
        one, two = net.forward(data=image)["prob"], other.forward(data=image)["prob"]
        assert (one == two).all()


class TestDreams:
    """deepdream: gradient ascent on the image through part of a net."""

    def test_gradients_of_an_inner_layer_reach_the_image(self, rng):
        proto = small_classifier(batch=1).to_proto()
        proto.force_backward = True
        net = caffe.Classifier(
            write("tmp.prototxt", proto), self.weights("tmp.prototxt")
        )
        src, dst = net.blobs["data"], net.blobs["pool1"]
        src.reshape(1, 3, 8, 9)
        image = rng.standard_normal((3, 8, 9)).astype(np.float32)
        src.data[0] = image
        for _ in range(3):
            net.forward(end="pool1")
            dst.diff[:] = dst.data
            net.backward(start="pool1")
            g = src.diff[0]
            np.testing.assert_allclose(g, self.gradient(net, src.data), atol=1e-4)
            src.data[:] += 0.1 / np.abs(g).mean() * g
        assert np.abs(src.data[0] - image).max() > 0

    @staticmethod
    def weights(path):
        caffe.Net(path, caffe.TEST).save("tmp.caffemodel")
        return "tmp.caffemodel"

    @staticmethod
    def gradient(net, image):
        """Derivative of |pool1|^2 / 2."""
        weights, bias = (blob.data for blob in net.params["conv1"])
        conv = convolved(image, weights, bias)[0]
        gradient = np.zeros_like(image[0])
        for channel, plane in enumerate(conv):
            for y in range(0, plane.shape[0], 2):
                for x in range(0, plane.shape[1], 2):
                    window = plane[y : y + 2, x : x + 2]
                    i, j = np.unravel_index(window.argmax(), window.shape)
                    value = max(window.max(), 0)
                    where = (slice(None), slice(y + i, y + i + 3))
                    part = gradient[(*where, slice(x + j, x + j + 3))]
                    part += value * weights[channel]
        return gradient

    def test_a_class_is_pulled_back_to_the_image(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [1, 4]})
        n.fc = L.InnerProduct(n.data, num_output=3, weight_filler={"type": "xavier"})
        n.prob = L.Softmax(n.fc)
        proto = n.to_proto()
        proto.force_backward = True
        net = caffe.Net(write("net.prototxt", proto), caffe.TEST)
        net.forward(data=np.ones((1, 4)))
        prob = net.blobs["prob"].data[0].copy()
        label = np.zeros((1, 3))
        label[0, 1] = 1
        bw = net.backward(**{net.outputs[0]: label}, diffs=["fc"])
        expected = prob[1] * (label[0] - prob)
        np.testing.assert_allclose(bw["fc"][0], expected, rtol=1e-5)
        weights = net.params["fc"][0].data
        np.testing.assert_allclose(bw["data"][0], expected @ weights, rtol=1e-4)


def regression(batch=4):
    """y = w x + b with a Euclidean loss on data that the script sets."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [batch, 3]})
    n.target = L.Input(shape={"dim": [batch, 1]})
    n.fc = L.InnerProduct(
        n.data, num_output=1, weight_filler={"type": "gaussian", "std": 1}
    )
    n.loss = L.EuclideanLoss(n.fc, n.target)
    return n.to_proto()


SOLVER = """train_net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9
max_iter: 20 snapshot_prefix: "snap" snapshot_after_train: false display: 0
"""


class ByHand:
    """The same training in numpy: gradient descent with momentum."""

    def __init__(self, net):
        self.weights = net.params["fc"][0].data[0].astype(float)
        self.bias = float(net.params["fc"][1].data[0])
        self.speed = np.zeros(4)

    def gradient(self, data, target):
        error = data @ self.weights + self.bias - target[:, 0]
        loss = (error**2).sum() / len(data) / 2
        return loss, np.append(error @ data, error.sum()) / len(data)

    def update(self, gradient, rate=0.1, momentum=0.9):
        self.speed = momentum * self.speed + rate * gradient
        self.weights = self.weights - self.speed[:3]
        self.bias -= self.speed[3]

    def check(self, net):
        found = net.params["fc"][0].data[0], net.params["fc"][1].data[0]
        np.testing.assert_allclose(found[0], self.weights, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[1], self.bias, rtol=1e-4, atol=1e-6)


@pytest.fixture
def samples(rng):
    return rng.standard_normal((4, 3)), rng.standard_normal((4, 1))


class TestTraining:
    """01-learning-lenet.ipynb, 02-fine-tuning.ipynb and solve.py of FCN."""

    def solver(self, samples, extra=""):
        write("train.prototxt", regression())
        solver = caffe.SGDSolver(write("solver.prototxt", SOLVER + extra))
        solver.net.blobs["data"].data[...] = samples[0]
        solver.net.blobs["target"].data[...] = samples[1]
        return solver

    def test_losses_are_read_after_each_step(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        losses = np.zeros(12)
        for it in range(12):
            solver.step(1)
            losses[it] = solver.net.blobs["loss"].data
            loss, gradient = by_hand.gradient(*samples)
            assert losses[it] == pytest.approx(loss, rel=1e-4)
            by_hand.update(gradient)
            # what was subtracted stays in the diffs
            found = solver.net.params["fc"][0].diff[0]
            np.testing.assert_allclose(found, by_hand.speed[:3], rtol=1e-3, atol=1e-6)
        by_hand.check(solver.net)
        assert solver.iter == 12
        assert losses[-1] < losses[0]

    def test_gradients_of_blobs_are_there_after_a_step(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        error = samples[0] @ by_hand.weights + by_hand.bias - samples[1][:, 0]
        solver.step(1)
        np.testing.assert_allclose(
            solver.net.blobs["fc"].diff[:, 0], error / 4, rtol=1e-4
        )

    def test_forward_backward_and_update_are_called_one_by_one(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        for _ in range(5):
            solver.net.clear_param_diffs()
            out = solver.net.forward()
            solver.net.backward()
            loss, gradient = by_hand.gradient(*samples)
            assert float(out["loss"]) == pytest.approx(loss, rel=1e-4)
            found = solver.net.params["fc"][0].diff[0]
            np.testing.assert_allclose(found, gradient[:3], rtol=1e-4, atol=1e-6)
            solver.apply_update()
            by_hand.update(gradient)
        by_hand.check(solver.net)
        assert solver.iter == 5

    def test_gradients_are_changed_between_backward_and_update(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        for _ in range(3):
            solver.net.clear_param_diffs()
            solver.net.forward()
            solver.net.backward()
            for blobs in solver.net.params.values():
                for blob in blobs:
                    blob.diff[...] *= 0.5
            solver.apply_update()
            by_hand.update(by_hand.gradient(*samples)[1] / 2)
        by_hand.check(solver.net)

    def test_callbacks_change_rate_and_gradients(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        seen = []

        def ready():
            solver.net.params["fc"][1].diff[...] = 0

        solver.add_callback(lambda: seen.append(solver.iter), ready)
        for rate in (0.1, 0.02, 0.3):
            solver.base_lr = rate
            solver.step(1)
            gradient = by_hand.gradient(*samples)[1]
            gradient[3] = 0
            by_hand.update(gradient, rate)
        by_hand.check(solver.net)
        assert seen == [0, 1, 2]
        assert solver.param.base_lr == pytest.approx(0.3)

    def test_fine_tuning_starts_from_weights_of_another_net(self, samples):
        solver = self.solver(samples)
        solver.step(3)
        solver.net.save("pretrained.caffemodel")
        tuned = self.solver(samples)
        tuned.net.copy_from("pretrained.caffemodel")
        by_hand = ByHand(solver.net)
        tuned.step(1)
        by_hand.update(by_hand.gradient(*samples)[1])
        by_hand.check(tuned.net)

    def test_a_snapshot_goes_on_where_it_stopped(self, samples, folder):
        solver = self.solver(samples)
        solver.step(4)
        solver.snapshot()
        assert {path.name for path in folder.glob("snap_iter_4.*")} >= {
            "snap_iter_4.caffemodel",
            "snap_iter_4.solverstate",
        }
        solver.step(3)
        other = self.solver(samples)
        other.restore("snap_iter_4.solverstate")
        assert other.iter == 4
        other.step(3)
        for mine, theirs in zip(
            other.net.params["fc"], solver.net.params["fc"], strict=True
        ):
            assert (mine.data == theirs.data).all()

    def test_a_loss_may_be_turned_around_by_its_diff(self, samples):
        solver = self.solver(samples)
        by_hand = ByHand(solver.net)
        solver.net.blobs["loss"].diff[...] = -0.5
        solver.step(1)
        by_hand.update(-0.5 * by_hand.gradient(*samples)[1])
        by_hand.check(solver.net)

    def test_the_test_net_sees_the_trained_weights(self, samples):
        write("val.prototxt", regression())
        solver = self.solver(
            samples,
            'test_net: "val.prototxt" test_iter: 1 test_interval: 1000 '
            "test_initialization: false",
        )
        test = solver.test_nets[0]
        test.share_with(solver.net)
        for _ in range(3):
            solver.step(1)
            test.blobs["data"].data[...] = 1
            test.blobs["target"].data[...] = 0
            test.forward()
            fc = solver.net.params["fc"]
            expected = fc[0].data.sum() + fc[1].data[0]
            np.testing.assert_allclose(test.blobs["fc"].data, expected, rtol=1e-4)
            assert float(test.blobs["loss"].data) == pytest.approx(
                expected**2 / 2, rel=1e-4
            )

    @pytest.mark.parametrize(
        "name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]
    )
    def test_every_solver_learns_a_line(self, name, samples):
        write("train.prototxt", regression())
        momentum = {"AdaGrad": 0, "RMSProp": 0}.get(name, 0.9)
        text = SOLVER.replace("momentum: 0.9", f"momentum: {momentum}")
        text += f'type: "{name}" '
        text += "delta: 1e-6 " if name == "AdaDelta" else ""
        text += "rms_decay: 0.9 " if name == "RMSProp" else ""
        solver = caffe.get_solver(write("solver.prototxt", text))
        assert type(solver) is getattr(caffe, f"{name}Solver")
        solver.net.blobs["data"].data[...] = samples[0]
        solver.net.blobs["target"].data[...] = samples[1]
        solver.step(1)
        first = float(solver.net.blobs["loss"].data)
        solver.solve()
        assert solver.iter == solver.max_iter == 20
        assert float(solver.net.blobs["loss"].data) < first


class TestPythonLayers:
    """pyloss and a data layer that reads its options from `param_str`."""

    def net(self):
        n = caffe.NetSpec()
        n.data, n.target = L.Python(
            module=MODULE, layer="Line", param_str=repr({"batch": 8, "seed": 2}), ntop=2
        )
        n.fc = L.InnerProduct(n.data, num_output=1, weight_filler={"type": "xavier"})
        n.loss = L.Python(
            n.fc, n.target, module=MODULE, layer="HalfSquaredDistance", loss_weight=1
        )
        return n.to_proto()

    def test_data_and_loss_are_the_users(self):
        write("train.prototxt", self.net())
        solver = caffe.SGDSolver(write("solver.prototxt", SOLVER))
        weights = solver.net.params["fc"][0].data[0].copy()
        bias, speed = 0.0, np.zeros(3)
        rng = np.random.default_rng(2)
        for _ in range(15):
            solver.step(1)
            data = rng.standard_normal((8, 2)).astype(np.float32)
            error = data @ weights + bias - data.sum(axis=1) - 1
            assert float(solver.net.blobs["loss"].data[0]) == pytest.approx(
                (error**2).sum() / 16, rel=1e-3, abs=1e-6
            )
            speed = 0.9 * speed + 0.1 * np.append(error @ data, error.sum()) / 8
            weights, bias = weights - speed[:2], bias - speed[2]
        np.testing.assert_allclose(
            solver.net.params["fc"][0].data[0], weights, atol=1e-4
        )
        assert type(solver.net.layers[0]).__name__ == "Line"

    def test_the_python_loss_is_the_built_in_one(self, samples):
        write("built_in.prototxt", regression())
        python = regression()
        python.layer[-1].type = "Python"
        python.layer[-1].python_param.module = MODULE
        python.layer[-1].python_param.layer = "HalfSquaredDistance"
        python.layer[-1].loss_weight.append(1)
        nets = [
            caffe.Net("built_in.prototxt", caffe.TRAIN),
            caffe.Net(write("python.prototxt", python), caffe.TRAIN),
        ]
        nets[1].share_with(nets[0])
        for net in nets:
            net.forward(data=samples[0], target=samples[1])
            net.backward()
        one, two = nets
        assert float(two.blobs["loss"].data[0]) == pytest.approx(
            float(one.blobs["loss"].data)
        )
        for a, b in zip(one.params["fc"], two.params["fc"], strict=True):
            np.testing.assert_allclose(a.diff, b.diff, rtol=1e-5, atol=1e-7)


class TestSiamese:
    """mnist_siamese: two branches with shared parameters and a contrastive loss."""

    def net(self):
        n = caffe.NetSpec()
        n.a = L.Input(shape={"dim": [2, 3]})
        n.b = L.Input(shape={"dim": [2, 3]})
        n.sim = L.Input(shape={"dim": [2]})
        shared = [{"name": "w", "lr_mult": 1}, {"name": "c", "lr_mult": 2}]
        options = {
            "num_output": 2,
            "weight_filler": {"type": "xavier"},
            "param": shared,
        }
        n.feat = L.InnerProduct(n.a, **options)
        n.feat_p = L.InnerProduct(n.b, **options)
        n.loss = L.ContrastiveLoss(n.feat, n.feat_p, n.sim, margin=1)
        return n.to_proto()

    def test_both_branches_are_one(self, rng):
        net = caffe.Net(write("siamese.prototxt", self.net()), caffe.TRAIN)
        a, b = rng.standard_normal((2, 2, 3)).astype(np.float32)
        net.params["feat_p"][0].data[0, 0] = 0.25
        assert net.params["feat"][0].data[0, 0] == 0.25
        net.forward(a=a, b=b, sim=np.array([1, 1]))
        net.backward()
        weights = net.params["feat"][0].data
        away = (a - b) @ weights.T
        assert float(net.blobs["loss"].data) == pytest.approx(
            (away**2).sum() / 4, rel=1e-5
        )
        expected = away.T @ (a - b) / 2
        for name in ("feat", "feat_p"):
            np.testing.assert_allclose(net.params[name][0].diff, expected, atol=1e-6)
        np.testing.assert_allclose(net.params["feat"][1].diff, 0, atol=1e-7)
        net.save("siamese.caffemodel")
        again = caffe.Net("siamese.prototxt", caffe.TEST, weights="siamese.caffemodel")
        assert (again.params["feat_p"][0].data == weights).all()


class TestLiveViews:
    """What scripts write into blobs counts from then on."""

    def net(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [2, 3]})
        n.fc1 = L.InnerProduct(n.data, num_output=4, weight_filler={"type": "xavier"})
        n.fc2 = L.InnerProduct(n.fc1, num_output=2, weight_filler={"type": "xavier"})
        proto = n.to_proto()
        proto.force_backward = True
        return caffe.Net(write("net.prototxt", proto), caffe.TRAIN)

    def test_a_bottom_written_after_the_forward_counts_in_the_backward(self, rng):
        net = self.net()
        net.forward(data=rng.standard_normal((2, 3)))
        net.blobs["fc1"].data[...] = rng.standard_normal((2, 4))
        net.params["fc2"][0].data[...] = rng.standard_normal((2, 4))
        top = rng.standard_normal((2, 2)).astype(np.float32)
        net.backward(fc2=top)
        np.testing.assert_allclose(
            net.params["fc2"][0].diff, top.T @ net.blobs["fc1"].data, rtol=1e-5
        )
        np.testing.assert_allclose(
            net.blobs["fc1"].diff, top @ net.params["fc2"][0].data, rtol=1e-5
        )

    def test_a_backward_after_a_reshape_goes_by_the_new_shapes(self, rng):
        net = self.net()
        net.forward(data=rng.standard_normal((2, 3)))
        net.blobs["data"].reshape(5, 3)
        net.reshape()
        net.blobs["fc1"].data[...] = rng.standard_normal((5, 4))
        top = rng.standard_normal((5, 2)).astype(np.float32)
        found = net.backward(fc2=top, diffs=["fc1"])
        weights = net.params["fc2"][0].data
        np.testing.assert_allclose(found["fc1"], top @ weights, rtol=1e-4, atol=1e-6)
        assert found["data"].shape == (5, 3)

    def test_a_random_layer_needs_no_forward_for_its_backward(self):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [50, 40]})
        n.drop = L.Dropout(n.data)
        proto = n.to_proto()
        proto.force_backward = True
        net = caffe.Net(write("net.prototxt", proto), caffe.TRAIN)
        found = net.backward(drop=np.ones((50, 40)))["data"]
        assert set(found.flat) == {0, 2}
        assert found.mean() == pytest.approx(1, abs=0.1)

    def test_a_step_leaves_the_gradient_of_each_use_of_a_blob(self, rng):
        n = caffe.NetSpec()
        n.data = L.Input(shape={"dim": [2, 3]})
        n.relu = L.ReLU(n.data)
        n.relu_in_place = L.ReLU(n.relu, in_place=True)
        n.a, n.b = L.Power(n.relu, scale=2), L.Power(n.relu, scale=5)
        n.out = L.Eltwise(n.a, n.b, loss_weight=1)
        proto = n.to_proto()
        proto.force_backward = True
        write("train.prototxt", proto)
        solver = caffe.SGDSolver(write("solver.prototxt", SOLVER))
        data = rng.standard_normal((2, 3)).astype(np.float32)
        solver.net.blobs["data"].data[...] = data
        solver.step(1)
        blobs = solver.net.blobs
        splits = [blobs[name].diff for name in blobs if "split" in name]
        assert [split.tolist() for split in splits] == [[[2] * 3] * 2, [[5] * 3] * 2]
        assert (blobs["data"].diff == 7 * (data > 0)).all()
        assert (blobs["out"].diff == 1).all()

    def test_views_taken_before_show_what_came_after(self, rng):
        net = self.net()
        data, top = net.blobs["data"].data, net.blobs["fc2"].data
        weights = net.params["fc1"][0].data
        data[...] = 1
        net.forward()
        first = top.copy()
        weights *= 2
        net.params["fc1"][1].data[...] = 0
        net.forward()
        np.testing.assert_allclose(top, 2 * first, rtol=1e-5)

    def test_nets_and_blobs_outlive_their_solver(self, samples):
        write("train.prototxt", regression())
        solver = caffe.SGDSolver(write("solver.prototxt", SOLVER))
        solver.net.blobs["data"].data[...] = samples[0]
        solver.step(2)
        net = solver.net
        del solver
        blobs = [*net.blobs.values(), *net.params["fc"]]
        out = float(net.forward()["loss"])
        del net
        assert out > 0
        assert all(np.isfinite(b.data.sum() + b.diff.sum()) for b in blobs)

    def test_a_layer_is_frozen_by_its_learning_rate(self, samples):
        proto = regression()
        proto.layer[2].param.add(lr_mult=0)
        proto.layer[2].param.add(lr_mult=1)
        write("train.prototxt", proto)
        solver = caffe.SGDSolver(write("solver.prototxt", SOLVER))
        before = [blob.data.copy() for blob in solver.net.params["fc"]]
        solver.net.blobs["data"].data[...] = samples[0]
        solver.net.blobs["target"].data[...] = samples[1] + 9
        solver.step(2)
        after = [blob.data for blob in solver.net.params["fc"]]
        assert (before[0] == after[0]).all()
        assert (before[1] != after[1]).all()

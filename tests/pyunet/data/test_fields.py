import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates

import caffe
from caffe.proto import caffe_pb2
from pyunet.data import fields
from pyunet.data.augmentation import Augmentation, random_coordinates
from pyunet.errors import DataError

SIZE, SPACING, STD = 90, 30, 10.0
MANY = 400


def rng(seed=0):
    return np.random.default_rng(seed)


def layer_fields(count, tmp_path, *, rotate=0, size=SIZE, image=None):
    """Fields that the layer CreateDeformation draws, as displacements (n, 2, Y, X)."""
    net = caffe_pb2.NetParameter(name="field")
    if image is not None:
        data = net.layer.add(name="data", type="Input", top=["data"])
        data.input_param.shape.add(dim=[count, 1, *image])
    layer = net.layer.add(name="field", type="CreateDeformation", top=["field"])
    if image is not None:
        layer.bottom.append("data")
    options = layer.create_deformation_param
    options.batch_size = count
    options.ny = options.nx = size
    options.random_elastic_grid_spacing.v.extend([SPACING] * 2)
    options.random_elastic_deform_magnitude.v.extend([STD] * 2)
    options.random_rotate_from.v.append(0)
    options.random_rotate_to.v.append(rotate)
    path = tmp_path / "field.prototxt"
    path.write_text(str(net))
    caffe.set_random_seed(1)
    made = caffe.Net(str(path), caffe.TEST)
    made.forward()
    return np.moveaxis(made.blobs["field"].data, -1, 1)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Displacements of many fields: off-line and of the layer."""
    source = rng(7)
    ours = np.stack(
        [
            fields.elastic_field(
                (SIZE, SIZE), source, std=STD, field="freiburg", spacing=SPACING
            )
            for _ in range(MANY)
        ]
    )
    theirs = layer_fields(MANY, tmp_path_factory.mktemp("net"))
    return ours, theirs - np.mgrid[:SIZE, :SIZE]


def autocorrelation(displacements, lag, axis):
    length = displacements.shape[axis]
    near = np.take(displacements, range(length - lag), axis)
    far = np.take(displacements, range(lag, length), axis)
    return float((near * far).mean())


class TestFreiburgHasTheDistributionOfTheLayer:
    def test_in_the_mean(self, both):
        # of 400 fields with about 9 independent patches each
        for displacements in both:
            assert np.abs(displacements.mean(axis=(0, 2, 3))).max() < 0.3
            assert np.abs(displacements.mean(axis=0)).max() < 1.2

    def test_in_the_spread(self, both):
        ours, theirs = (d.std(axis=0) for d in both)
        # exactly: a mix of control points by cubic B-splines, variance 0.2298 of theirs
        assert np.sqrt(np.square(ours).mean()) == pytest.approx(
            STD * 151 / 315, rel=0.03
        )
        assert np.sqrt(np.square(theirs).mean()) == pytest.approx(
            STD * 151 / 315, rel=0.03
        )
        np.testing.assert_allclose(ours, theirs, rtol=0.25)

    @pytest.mark.parametrize("axis", [2, 3])
    @pytest.mark.parametrize("lag", [1, 10, 20, 30, 45, 60])
    def test_in_the_autocorrelation(self, both, axis, lag):
        ours, theirs = (autocorrelation(d, lag, axis) for d in both)
        assert ours == pytest.approx(theirs, abs=1.6)

    def test_in_the_whole_field_with_rotation(self, tmp_path):
        theirs = layer_fields(300, tmp_path, rotate=360, size=40, image=(60, 70))
        how = Augmentation(
            mirror=False, field="freiburg", elastic_std=STD, elastic_spacing=SPACING
        )
        source = rng(3)
        # the layer puts half of the tile's size on half of the image's
        centre = (60 / 2 - 0.5, 70 / 2 - 0.5)
        ours = np.stack(
            [random_coordinates((40, 40), centre, how, source) for _ in range(300)]
        )
        means = zip((30, 35), ours.mean((0, 2, 3)), theirs.mean((0, 2, 3)), strict=True)
        for middle, found, layer in means:
            assert found == pytest.approx(middle, abs=0.7)
            assert layer == pytest.approx(middle, abs=0.7)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.05)


class TestFreiburg:
    def test_gives_the_layers_field_for_the_same_random_numbers(self, tmp_path):
        theirs = layer_fields(1, tmp_path)[0]
        ours = fields.elastic_field(
            (SIZE, SIZE), _rng_of_caffe(), std=STD, field="freiburg", spacing=SPACING
        )
        np.testing.assert_allclose(ours + np.mgrid[:SIZE, :SIZE], theirs, atol=1e-4)

    def test_is_the_b_spline_of_scipy(self):
        size, spacing = 50, 12
        points = rng().standard_normal(size // spacing + 4)
        knots = (np.arange(len(points) + 4) - 3) * spacing
        expected = BSpline(knots, points, 3)(np.arange(size))
        found = points @ fields.freiburg_basis(size, spacing)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_takes_a_spacing_and_a_spread_an_axis(self):
        field = fields.elastic_field(
            (8, 30, 40), rng(), std=(0.0, 5.0, 5.0), field="freiburg",
            spacing=(4, 10, 20),
        )  # fmt: skip
        assert field.shape == (3, 8, 30, 40)
        assert not field[0].any()
        assert field[1].any()

    def test_does_not_go_through_its_control_points(self):
        at_a_point = fields.freiburg_basis(30, 10)[:4, 0]
        np.testing.assert_allclose(at_a_point, [1 / 6, 4 / 6, 1 / 6, 0], atol=1e-6)


class TestPaper:
    def test_is_a_bicubic_spline_through_the_nodes(self):
        field = fields.elastic_field((31, 41), rng(), std=10.0)
        nodes = rng().normal(0, 10, (2, 3, 3))
        np.testing.assert_allclose(field[:, ::15, ::20], nodes, rtol=1e-5, atol=1e-5)
        at = np.meshgrid(np.linspace(0, 2, 31), np.linspace(0, 2, 41), indexing="ij")
        expected = [map_coordinates(n, at, order=3, mode="mirror") for n in nodes]
        np.testing.assert_allclose(field, expected, atol=1e-4)

    def test_is_a_tricubic_spline_in_a_volume(self):
        field = fields.elastic_field((5, 7, 9), rng(), std=2.0)
        nodes = rng().normal(0, 2, (3, 3, 3, 3))
        np.testing.assert_allclose(field[:, ::2, ::3, ::4], nodes, atol=1e-5)

    def test_has_the_standard_deviation_at_its_nodes(self):
        source = rng()
        corners = [fields.elastic_field((3, 3), source, std=10.0) for _ in range(500)]
        assert np.std(corners) == pytest.approx(10.0, rel=0.05)

    def test_is_zero_for_magnitude_zero(self):
        assert not fields.elastic_field((9, 9), rng(), std=0.0).any()


def test_values_for_other_axes_are_refused():
    with pytest.raises(DataError, match="2 standard deviations"):
        fields.elastic_field((9, 9, 9), rng(), std=(1.0, 2.0))
    with pytest.raises(DataError, match="3 spacings"):
        fields.elastic_field(
            (9, 9), rng(), std=1.0, field="freiburg", spacing=(1, 2, 3)
        )


def _rng_of_caffe():
    return np.random.default_rng(1)

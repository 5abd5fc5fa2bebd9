"""The widget in a window of napari, and without one."""

import time

import numpy as np
import pytest

import pyunet
from pyunet_bridges.napari import widget as module
from pyunet_bridges.napari.segmenting import FILES

# a warning of napari's that becomes an error inside of Qt ends the process
pytestmark = pytest.mark.filterwarnings("ignore")
PATIENCE = 60  # seconds; a test that works waits for a fraction of one


def until(condition):
    """Let Qt work until something has happened."""
    from qtpy.QtWidgets import QApplication

    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        QApplication.processEvents()
        time.sleep(0.01)
    QApplication.processEvents()


@pytest.fixture
def notes(napari):
    """What napari told the user."""
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    return notification_manager.records


def chosen(widget, folder):
    widget.model.value = FILES
    widget.net.value = folder
    widget.weights.value = folder / "bright.caffemodel"
    return widget


def segment(widget):
    widget.start.native.click()
    until(lambda: widget.start.enabled)


def test_segments_a_layer_in_a_window_and_adds_labels_and_scores(viewer, bright, image):
    layer = viewer.add_image(image, name="cells", scale=(0.5, 0.5))
    _, found = viewer.window.add_plugin_dock_widget("pyunet", "Segment by a U-Net")
    widget = chosen(found, bright)
    widget.scores.value = True
    segment(widget)
    assert [one.name for one in viewer.layers] == [
        "cells", "cells scores, class 0", "cells scores, class 1", "cells labels",
    ]  # fmt: skip
    np.testing.assert_array_equal(viewer.layers[-1].data, image > 127)
    np.testing.assert_allclose(viewer.layers[2].data, image / 255 - 0.5, atol=1e-6)
    np.testing.assert_array_equal(viewer.layers[-1].scale, layer.scale)
    assert viewer.window.screenshot(flash=False).std() > 0


def test_segments_every_slice_of_a_stack(layers, bright, image):
    stack = np.stack([image, image[::-1], image[:, ::-1]])
    layers.add_image(stack, name="stack")
    widget = chosen(module.SegmentWidget(layers), bright)
    steps = []
    widget.progress.changed.connect(steps.append)
    segment(widget)
    np.testing.assert_array_equal(layers.layers[-1].data, stack > 127)
    assert steps[:4] == [0, 1, 2, 3] or steps[:3] == [1, 2, 3]
    assert not widget.progress.visible


def test_shows_the_file_fields_for_files_only(viewer):
    widget = module.SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.model.value = "phseg_v5"
    assert not widget.net.visible
    widget.model.value = FILES
    until(lambda: widget.net.visible and widget.weights.visible)


def test_offers_image_layers_as_they_come_and_go(layers, image):
    widget = module.SegmentWidget(layers)
    assert widget.layer.choices == ()
    layer = layers.add_image(image)
    layers.add_labels(image.astype(int))
    assert widget.layer.choices == (layer,)
    layers.layers.remove(layer)
    assert widget.layer.choices == ()


def test_segments_by_a_model_of_the_zoo(layers, bright, image, monkeypatch):
    model = pyunet.load(bright, bright / "bright.caffemodel")
    monkeypatch.setattr(pyunet, "load", lambda name: model if name else None)
    layers.add_image(image, name="cells")
    widget = module.SegmentWidget(layers)
    widget.model.value = "phseg_v5"
    segment(widget)
    np.testing.assert_array_equal(layers.layers[-1].data, image > 127)


def test_a_refusal_is_one_line_and_adds_nothing(layers, bright, image, notes):
    layers.add_image(image, name="cells")
    widget = chosen(module.SegmentWidget(layers), bright)
    widget.weights.value = bright / "gone.caffemodel"
    segment(widget)
    assert len(layers.layers) == 1
    (note,) = notes
    assert str(note.severity) == "error"
    assert note.message.startswith("cells: ")
    assert "gone.caffemodel: no such file" in note.message
    assert "\n" not in note.message


def test_says_that_there_is_no_image_and_no_file(layers, image, notes):
    widget = module.SegmentWidget(layers)
    widget.start.native.click()
    assert notes[-1].message.startswith("no image layer")
    layers.add_image(image, name="cells")
    widget.model.value = FILES
    segment(widget)
    assert notes[-1].message.startswith("cells: no net: choose a file")


def test_says_aloud_what_was_done_to_the_image(layers, bright, notes):
    layers.add_image(np.random.default_rng(0).normal(9, 5, (40, 50)), name="floats")
    segment(chosen(module.SegmentWidget(layers), bright))
    assert "are mapped to 0..1" in notes[-1].message
    assert str(notes[-1].severity) == "info"


def test_stops_between_two_slices(layers, bright, image):
    layers.add_image(np.stack([image] * 50), name="stack")
    widget = chosen(module.SegmentWidget(layers), bright)
    widget.progress.changed.connect(lambda done: done and widget.stop.native.click())
    segment(widget)
    assert len(layers.layers) == 1
    assert not widget.stop.enabled

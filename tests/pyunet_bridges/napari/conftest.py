"""napari on a screen that nobody sees."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import caffe
import pyunet_bridges.napari
from tests.support import displays

MANIFEST = Path(pyunet_bridges.napari.__file__).with_name("napari.yaml")
NO_SCREEN = {"QT_QPA_PLATFORM": "offscreen"}
HINT = "sudo apt install xvfb libegl1 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1"


@pytest.fixture(scope="session")
def screen():
    """Choose the platform of Qt, once for the process: it can't be changed later."""
    pytest.importorskip("napari", reason='napari is not installed: ".[napari]"')
    with displays.virtual_screen() as number:
        window = {"QT_QPA_PLATFORM": "xcb", "DISPLAY": number}
        windows = bool(number) and not displays.why_qt_fails(window)
    if not windows and (why := displays.why_qt_fails(NO_SCREEN)):
        pytest.skip(f"Qt does not start: {why} ({HINT})")
    with displays.virtual_screen() as number:
        chosen = {**window, "DISPLAY": number} if windows else NO_SCREEN
        before = {name: os.environ.get(name) for name in chosen}
        os.environ.update(chosen)
        yield chosen["QT_QPA_PLATFORM"]
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def napari(screen, tmp_path_factory):
    """Import napari, with settings of its own, and make the plugin known to it."""
    os.environ["NAPARI_CONFIG"] = str(
        tmp_path_factory.mktemp("config") / "settings.yaml"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what napari imports
        import napari
        import napari.qt.threading
        import npe2
        from qtpy.QtWidgets import QApplication

        manager = npe2.PluginManager.instance()
        manager.discover()
        if "pyunet" not in manager:
            manager.register(npe2.PluginManifest.from_file(MANIFEST))
        application = QApplication.instance() or QApplication(sys.argv[:1])
    yield napari
    application.processEvents()


@pytest.fixture
def layers(napari):
    """A viewer's layers and events, without a window."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def viewer(napari, screen):
    """A viewer in a window."""
    if screen != "xcb":
        pytest.skip(f"a window of napari needs OpenGL, so a screen: {HINT}")
    opened = napari.Viewer()
    yield opened
    opened.close()


@pytest.fixture
def bright(tmp_path):
    """A net that calls class 1 what is brighter than a half."""
    folder = tmp_path / "bright"
    folder.mkdir()
    text = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 3 } }
"""
    (folder / "deploy.prototxt").write_text(text)
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    kernel, bias = net.params["conv"]
    kernel.data[...] = 0
    kernel.data[:, 0, 1, 1] = (-1, 1)
    bias.data[...] = (0.5, -0.5)
    net.save(str(folder / "bright.caffemodel"))
    return folder


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)

"""Programs, models and weights that all scenarios share."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import modeldefs
from tests.support.plugin_client import PluginClient
from tests.support.plugin_files import write_modeldef

PROGRAMS = {"caffe_unet": "pyunet_fiji.backend.main", "caffe": "caffe.cli"}


@dataclass(frozen=True)
class Setup:
    """A model with weights for it."""

    definition: Any
    model: Path
    weights: Path


def make(folder, *, channels=1, **settings):
    definition = modeldefs.definition(**settings)
    model = write_modeldef(folder / f"{definition.ident}.modeldef.h5", definition)
    weights = folder / f"{definition.ident}.caffemodel.h5"
    modeldefs.random_weights(weights, definition, channels=channels)
    return Setup(definition, model, weights)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name, module in PROGRAMS.items():
        path = folder / name
        code = f"import sys; from {module} import main; sys.exit(main())"
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def flat(shared):
    """Two levels, 2-D."""
    return make(shared, ident="flat")


@pytest.fixture(scope="session")
def colour(shared):
    """The same for images of three channels."""
    return make(shared, ident="colour", channels=3)


@pytest.fixture(scope="session")
def volume(shared):
    """One level, 3-D."""
    return make(shared, ident="volume", axes=3, levels=1)


@pytest.fixture
def client(tmp_path, programs):
    """The plugin on this machine, under Java 17, with an absolute process folder."""
    return PluginClient(tmp_path, programs)


@pytest.fixture
def at_cluster(tmp_path, programs):
    """The plugin with its programs behind SSH; its process folder is the home."""
    return PluginClient(tmp_path, programs, remote=True, relative=True)

"""Build and install the two packages; tool settings are in pyproject.toml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
SHIPPED = {"prototxt": "pyunet/_prototxt", "weights": "pyunet/_weights"}


class BuildWithNets(build_py):
    """Put the nets and the list of weights, which stand beside the packages, inside."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._shipped().items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._shipped()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        shipped = [] if self.editable_mode else list(self._shipped().values())
        return [*super().get_outputs(include_bytecode), *shipped]

    def get_output_mapping(self) -> dict[str, str]:
        shipped = {target: source for source, target in self._shipped().items()}
        return {**super().get_output_mapping(), **shipped}

    def _shipped(self) -> dict[str, str]:
        return {
            str(path): str(Path(self.build_lib, folder, path.relative_to(top)))
            for top, folder in SHIPPED.items()
            for path in sorted(Path(top).rglob("*"))
            if path.is_file()
        }


def version() -> str:
    """Read the version from where it is written once."""
    text = (HERE / "pyunet" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('pyunet/__init__.py has no line __version__ = "..."')
    return found.group(1)


TOOLS = (
    "compute_image_mean",
    "convert_annoset",
    "convert_imageset",
    "extract_features",
    "parse_log",
    "upgrade_net_proto_binary",
    "upgrade_net_proto_text",
    "upgrade_solver_proto_text",
)

# of the packages beside pyunet, which it does not import
VERBS = {
    "doctor": "pyunet_fiji.cli.doctor",
    "evaluate": "pyunet_metrics.cli.evaluate",
    "export": "pyunet_bridges.cli.export",
    "finetune": "pyunet_fiji.cli.finetune",
    "import": "pyunet_bridges.cli.import_",
    "modeldef": "pyunet_fiji.cli.modeldef",
    "report": "pyunet_reproduce.cli.report",
    "reproduce": "pyunet_reproduce.cli.reproduce",
    "segment-and-track": "pyunet_tracking.cli.segment_and_track",
}
DATA_VERBS = {
    "check": "pyunet_checks.cli.data_check",
    "preview": "pyunet_checks.cli.data_preview",
    "synthetic": "pyunet_synthetic.cli.data_synthetic",
}

# kinds of model files that packages beside pyunet open
MODELS = {"modeldef": "pyunet_fiji.models"}

# no wheel of plyvel for Python 3.13 yet
LEVELDB = 'plyvel>=1.5 ; python_version < "3.13"'
DRAW = "pydot>=2"
NIFTI = "nibabel>=5"
ROIS = "roifile>=2025.5"
# older ones measure contours to lines where segments are meant: other clicks in `hce`
OPENCV = "opencv-python-headless>=4.13,<5"
METRICS = (
    "laptrack>=0.16",
    "py-ctcmetrics>=1.3",
    # requires scikit-image < 0.26, which has no wheel for Python 3.14
    'pysodmetrics>=1.6 ; python_version < "3.14"',
    f'{OPENCV} ; python_version < "3.14"',
)
ONNX = "onnx>=1.17"
SPEED = (ONNX, "onnxruntime>=1.20", "openvino>=2025.0")
# pydantic 2.14 refuses what bioimageio.spec hands it
ZOO = (ONNX, "safetensors>=0.4", "bioimageio.core>=0.11", "pydantic<2.14")
TENSORBOARD = "tensorboard>=2.14"
NAPARI = "napari[pyqt6]>=0.9"
DOCS = (
    "mkdocs>=1.6",
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=0.26",
)
USERS = (LEVELDB, DRAW, *METRICS, NIFTI, ROIS, *SPEED, *ZOO, TENSORBOARD, NAPARI)

setup(
    name="pyunet",
    version=version(),
    description="Runs and trains Caffe models again, the original U-Net first",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The pyunet authors",
    license="BSD-2-Clause",
    license_files=["LICENSE"],
    keywords="caffe u-net segmentation microscopy deep-learning",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["caffe*", "pyunet*"]),
    package_data={
        "caffe.dialects": ["*/fields.proto"],
        "caffe.proto": ["*.desc", "caffe.proto", "forks.tsv", "*.pyi"],
        "pyunet_bridges.napari": ["napari.yaml"],
        "pyunet_reproduce.report": ["page.html"],
        "pyunet_reproduce": ["published.tsv", "measured.toml", "recipes/*.toml"],
    },
    cmdclass={"build_py": BuildWithNets},
    entry_points={
        "console_scripts": [
            "caffe=caffe.cli:main",
            "caffe_unet=pyunet_fiji.backend.main:main",
            "pyunet=pyunet.cli:main",
            *(f"{tool}=caffe.cli.{tool}:main" for tool in TOOLS),
        ],
        "pyunet.verbs": [f"{verb} = {module}" for verb, module in VERBS.items()],
        "pyunet.data": [f"{name} = {module}" for name, module in DATA_VERBS.items()],
        "pyunet.models": [f"{name} = {module}" for name, module in MODELS.items()],
        "napari.manifest": ["pyunet = pyunet_bridges.napari:napari.yaml"],
    },
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "scipy>=1.11",
        "h5py>=3.10",
        "lmdb>=1.4",
        "protobuf>=4.25",
        "pillow>=10",
        "tifffile>=2023.7",
        "imagecodecs>=2023.7",
        "scikit-image>=0.22",
        'scikit-image>=0.26 ; python_version >= "3.14"',  # the first with wheels there
        "tqdm>=4.60",
        "matplotlib>=3.8",
        "jinja2>=3",
        "filelock>=3.13",  # torch brings it, too
        "platformdirs>=4",
        "requests>=2.28",
        "tomli-w>=1",
    ],
    extras_require={
        "leveldb": [LEVELDB],
        "draw": [DRAW],
        "metrics": [*METRICS],
        "nifti": [NIFTI],
        "fiji": [ROIS],
        "speed": [*SPEED],
        "zoo": [*ZOO],
        "tensorboard": [TENSORBOARD],
        "napari": [NAPARI],
        "docs": [*DOCS],
        "all": [*USERS],
        "dev": [
            *USERS,
            *DOCS,
            "playwright>=1.50",
            "scikit-learn",
            "pytest>=8",
            "pytest-cov",
            "pytest-xdist",
            "six",  # BVLC's own test files use it
            "hypothesis",
            "ruff",
            "mypy",
            "types-protobuf",
            "import-linter>=2.1",
            "grpcio-tools",
            OPENCV,
            "build",
            "setuptools>=77",
            "uv",  # tools/lock.sh
        ],
    },
)

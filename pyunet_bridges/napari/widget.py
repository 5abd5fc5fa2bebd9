"""The widget: choose a layer and a model, segment in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

from pyunet.errors import PyunetError
from pyunet_bridges.napari.reading import score_layers
from pyunet_bridges.napari.segmenting import (
    FILES,
    Choice,
    Segmented,
    load_choice,
    model_choices,
    pixel_size_um,
    segment_steps,
)

REFUSALS = (PyunetError, RuntimeError, OSError, MemoryError)
NO_LAYER = "no image layer: open an image first, or take one of File > Open Sample"


class SegmentWidget:
    """Segments an image layer by a U-Net; labels and scores become layers.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    layer, model, net, weights, scores, start, stop, progress
        The widgets, from above to below.
    """

    def __init__(self, napari_viewer: Any) -> None:
        from magicgui import widgets

        self._viewer = napari_viewer
        self._loaded: tuple[Choice, Any] | None = None
        self._worker: Any = None
        self.layer = widgets.ComboBox(label="image", choices=self._layers)
        self.model = widgets.ComboBox(label="model", choices=model_choices())
        self.net = widgets.FileEdit(
            label="net", nullable=True,
            tooltip="a prototxt, a folder with deploy.prototxt, or a .modeldef.h5",
        )  # fmt: skip
        self.weights = widgets.FileEdit(
            label="weights", nullable=True, tooltip=".caffemodel or .caffemodel.h5"
        )
        self.scores = widgets.CheckBox(text="also add the scores")
        self.start = widgets.PushButton(text="Segment")
        self.stop = widgets.PushButton(text="Stop", enabled=False)
        self.progress = widgets.ProgressBar(value=0, max=1, label="")
        self._all = widgets.Container(
            widgets=[
                self.layer, self.model, self.net, self.weights, self.scores,
                self.start, self.stop, self.progress,
            ]
        )  # fmt: skip
        self.model.changed.connect(self._show_files)
        self.start.changed.connect(self._begin)
        self.stop.changed.connect(self._end)
        for event in ("inserted", "removed", "reordered"):
            getattr(napari_viewer.layers.events, event).connect(self._refresh)
        self._show_files()
        self.progress.visible = False

    @property
    def native(self) -> Any:
        """The Qt widget, which napari puts into its window."""
        return self._all.native

    @property
    def choice(self) -> Choice:
        """The model that is chosen."""
        if self.model.value != FILES:
            return Choice(self.model.value)
        net, weights = (str(one.value or "") for one in (self.net, self.weights))
        return Choice("", Path(net), Path(weights))

    def _layers(self, _: Any = None) -> list[Any]:
        from napari.layers import Image

        return [one for one in self._viewer.layers if isinstance(one, Image)]

    def _refresh(self, _: Any = None) -> None:
        self.layer.reset_choices()

    def _show_files(self, _: Any = None) -> None:
        files = self.model.value == FILES
        self.net.visible = self.weights.visible = files

    def _begin(self, _: Any = None) -> None:
        from napari.qt.threading import create_worker
        from napari.utils.notifications import show_error

        layer = self.layer.value
        if layer is None:
            show_error(NO_LAYER)
            return
        said = _Said()
        self._worker = create_worker(
            self._work, layer, self.choice, self.scores.value, said
        )
        self._worker.yielded.connect(self._advance)
        self._worker.returned.connect(lambda found: self._show(layer, found, said))
        self._worker.finished.connect(self._rest)
        self.start.enabled, self.stop.enabled = False, True
        self.progress.max, self.progress.visible = 0, True
        self._worker.start()

    def _end(self, _: Any = None) -> None:
        if self._worker is not None:
            self._worker.quit()

    def _rest(self) -> None:
        self.start.enabled, self.stop.enabled = True, False
        self.progress.visible = False
        self._worker = None

    def _advance(self, step: tuple[int, int]) -> None:
        done, total = step
        # a bar without an end where there is one image: it says nothing until then
        self.progress.max = total if total > 1 else 0
        self.progress.value = done if total > 1 else 0

    def _work(
        self, layer: Any, choice: Choice, scores: bool, said: _Said
    ) -> Generator[tuple[int, int], None, Segmented | str]:
        """Run in the worker's thread; what is refused is returned as one line."""
        try:
            with said:
                if self._loaded is None or self._loaded[0] != choice:
                    self._loaded = (choice, load_choice(choice))
                model = self._loaded[1]
                axes = len(model.model.axes)
                array = layer.data[0] if layer.multiscale else layer.data
                return (
                    yield from segment_steps(
                        array,
                        model,
                        rgb=layer.rgb,
                        pixel_size_um=pixel_size_um(
                            layer.scale[-axes:], layer.units[-axes:]
                        ),
                        scores=scores,
                    )
                )
        except REFUSALS as error:
            return " ".join(str(error).split()) or type(error).__name__

    def _show(self, layer: Any, found: Segmented | str, said: _Said) -> None:
        from napari.utils.notifications import show_error, show_info

        if isinstance(found, str):
            show_error(f"{layer.name}: {found}")
            return
        place = {
            "scale": layer.scale, "translate": layer.translate, "units": layer.units
        }  # fmt: skip
        if found.scores is not None:
            for array, settings, _ in score_layers(
                found.scores, f"{layer.name} scores", **place
            ):
                self._viewer.add_image(array, **settings)
        self._viewer.add_labels(found.labels, name=f"{layer.name} labels", **place)
        if said.lines:
            show_info("\n".join(said.lines))


class _Said(logging.Handler):
    """Collects what the package says about a piece of work."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, once."""
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)

    def __enter__(self) -> _Said:
        logger = logging.getLogger("pyunet")
        self._level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        logger = logging.getLogger("pyunet")
        logger.removeHandler(self)
        logger.setLevel(self._level)

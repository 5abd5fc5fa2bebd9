"""The plugin of napari, installed by ``pip install "pyunet[napari]"``.

``napari.yaml`` names what napari is given: readers, sample data, the widget. Inside
this package ``import napari`` is napari itself.
"""

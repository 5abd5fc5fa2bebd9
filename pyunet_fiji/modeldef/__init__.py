"""Model definitions (``.modeldef.h5``): read, write, check them; valid tile shapes."""

from pyunet_fiji.modeldef.definition import (
    LossWeights,
    ModelDefinition,
    read_ident,
    read_modeldef,
    write_modeldef,
)

__all__ = [
    "LossWeights",
    "ModelDefinition",
    "read_ident",
    "read_modeldef",
    "write_modeldef",
]

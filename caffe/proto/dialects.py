"""What forks of Caffe, and packages of others, add to BVLC's fields and layers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2

from caffe.errors import CheckError
from caffe.proto.declarations import parse_declarations
from caffe.proto.text import read_bytes

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_GROUP = "caffe.dialects"  # our package, and the entry points of others


@dataclass(frozen=True, eq=False, kw_only=True)
class Dialect:
    """What one fork, or one package, adds.

    Attributes
    ----------
    name : str
        Short, for options and messages.
    fields : path, optional
        A ``.proto`` file with its messages, fields and enum values. Fields that it
        adds to a message of Caffe's stand in a message of that name. Numbers are those
        of the binary files that the fork writes.
    layers : str, optional
        The module that registers its layer classes; imported when the first net is
        built.
    options : mapping of str to str
        Layer types and the field of LayerParameter that holds the options of each,
        where it is not found by Caffe's own rule (type ``Crop`` has the field of type
        ``CropParameter``). Binary files of the fork are told by them.
    offset : int, optional
        For dialects of this distribution, whose fields keep their numbers: what is
        added to a number that another field has. Larger than those of all dialects
        that came before.
    """

    name: str
    fields: Path | None = None
    layers: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    offset: int | None = None

    @cached_property
    def declared(self) -> Any:
        """FileDescriptorProto of `fields`; names of other types are as written there.

        Raises
        ------
        FileError, PrototxtError
            The file can't be read, or is not as `parse_declarations` expects.
        """
        if self.fields is None:
            return descriptor_pb2.FileDescriptorProto()
        text = read_bytes(self.fields).decode("utf-8", "replace")
        return parse_declarations(text, str(self.fields))

    @cached_property
    def _options(self) -> dict[str, str]:
        """Field of LayerParameter by the type of the layer."""
        found = {
            field.type_name.rpartition(".")[2].removesuffix("Parameter"): field.name
            for message in self.declared.message_type
            if message.name == "LayerParameter"
            for field in message.field
        }
        return found | dict(self.options)

    def may_have_written(self, layer: Any) -> bool:
        """Tell whether something is odd in a layer that the dialect could explain.

        Parameters
        ----------
        layer : LayerParameter or V1LayerParameter
            Of a binary net, read by the numbers of the schema.
        """
        name = self._options.get(layer.type)
        return name is not None and not layer.HasField(name)

    def has_written(self, layer: Any, own: Any) -> bool:
        """Tell whether a layer makes sense by the dialect's numbers only.

        Parameters
        ----------
        layer, own : LayerParameter or V1LayerParameter
            The same bytes, read by the schema's numbers and by the dialect's.
        """
        name = self._options.get(own.type)
        return name is not None and own.HasField(name) and not layer.HasField(name)


@cache
def dialects() -> tuple[Dialect, ...]:
    """Return the dialects of this distribution, then those of installed packages.

    Raises
    ------
    CheckError
        If a package's entry point can't be imported, is no `Dialect`, or declares its
        fields in a file that can't be read.
    """
    names = [each.name for each in iter_modules(import_module(_GROUP).__path__)]
    ours = [import_module(f"{_GROUP}.{name}").dialect for name in names]
    # the earlier one keeps a number that both have: a new dialect comes last, so that
    # files that were written before it mean the same
    ours.sort(key=lambda dialect: dialect.offset)
    return (*ours, *_others())


def dialect_of(module: str) -> str:
    """Name of the dialect that has its layers in a module; "": none has."""
    for dialect in dialects():
        if dialect.layers and f"{module}.".startswith(f"{dialect.layers}."):
            return dialect.name
    return ""


def _others() -> list[Dialect]:
    """Dialects of installed packages."""
    if not any(map(_names_the_group, sys.path)):
        return []
    from importlib.metadata import entry_points

    return [_loaded(entry) for entry in sorted(entry_points(group=_GROUP))]


def _names_the_group(place: str) -> bool:
    """Tell whether a package in a folder may have a dialect.

    importlib reads the metadata of every package to find that out.
    """
    try:
        names = os.listdir(place or ".")  # noqa: PTH208 - for each start
    except NotADirectoryError:
        return True  # an archive, which importlib can look into
    except OSError:
        return False
    for name in names:
        if name.endswith((".dist-info", ".egg-info", ".egg")):
            try:
                with open(f"{place or '.'}/{name}/entry_points.txt", "rb") as file:
                    if _GROUP.encode() in file.read():
                        return True
            except OSError:
                continue
    return False


def _loaded(entry: EntryPoint) -> Dialect:
    where = f"entry point '{entry.name} = {entry.value}' of group '{_GROUP}'"
    try:
        dialect = entry.load()
        if isinstance(dialect, Dialect) and dialect.declared is not None:
            return dialect
    except (ImportError, AttributeError, CheckError) as error:
        raise CheckError(f"{where}: {error}") from error
    raise CheckError(f"{where}: expected a Dialect, got {type(dialect).__name__}")

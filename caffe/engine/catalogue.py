"""The catalogue of layer types: which class a layer of a net is made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from caffe.engine.layer import Operator
from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.dialects import dialect_of, dialects

_CLASSES: dict[str, list[type[Operator]]] = {}
_preferred: tuple[str, ...] = ()
_Class = TypeVar("_Class", bound=type[Operator])


def register(type_name: str) -> Callable[[_Class], _Class]:
    """Enter a class in the catalogue under Caffe's type string.

    Several dialects may have a type, see `Operator.claims`; which of them a class is
    from follows from the module that it stands in.

    Raises
    ------
    CheckError
        If the dialect has a class of the type already.
    """

    def enter(cls: _Class) -> _Class:
        cls.type = type_name
        cls.dialect = dialect_of(cls.__module__)
        known = _CLASSES.setdefault(type_name, [])
        if any(other.dialect == cls.dialect for other in known):
            raise CheckError(f"layer type '{type_name}' is registered twice")
        known.append(cls)
        return cls

    return enter


@cache
def _load() -> None:
    """Register the layers of the engine, and of all dialects."""
    import_module("caffe.engine.layers")
    for dialect in dialects():
        if dialect.layers:
            import_module(dialect.layers)


def layer_type_list() -> list[str]:
    """Names of all layer types, sorted."""
    _load()
    return sorted(_CLASSES)


def types_with(method: str) -> list[str]:
    """Names of the layer types that say something of their own in a method, sorted."""
    _load()
    default = getattr(Operator, method)
    return sorted(
        name
        for name, classes in _CLASSES.items()
        if any(getattr(cls, method) is not default for cls in classes)
    )


def prefer_dialects(*names: str) -> None:
    """Say whose layer is meant where dialects share a type and the net shows nothing.

    Parameters
    ----------
    *names : str
        Of dialects; the first that has the type is meant. None: nobody is preferred.

    Raises
    ------
    CheckError
        There is no such dialect.
    """
    global _preferred
    known = [dialect.name for dialect in dialects()]
    for name in names:
        if name not in known:
            raise CheckError(f"dialect '{name}': expected one of {', '.join(known)}")
    _preferred = names


def layer_class(
    type_name: str,
    param: Any = None,
    count_blobs: Callable[[], int | None] = lambda: None,
) -> type[Operator]:
    """Class of a layer.

    Parameters
    ----------
    type_name : str
    param : LayerParameter, optional
        The layer, where its fields may be needed to tell dialects apart.
    count_blobs : callable, optional
        Gives how many blobs it has in the weights, as for `Operator.claims`.

    Raises
    ------
    CheckError
        If no such type is known, or if dialects share it and nothing tells whose is
        meant.
    """
    _load()
    classes = _CLASSES.get(type_name, [])
    if not classes:
        raise CheckError(
            f"unknown layer type '{type_name}'; caffe.layer_type_list() names the "
            f"{len(_CLASSES)} known ones"
        )
    if len(classes) == 1:
        return classes[0]
    if param is None:
        param = caffe_pb2.LayerParameter(type=type_name)
    blobs = count_blobs()
    claims = {cls: cls.claims(param, blobs) for cls in classes}
    sure = [cls for cls in classes if claims[cls]]
    return _preferred_one(sure or [c for c in classes if claims[c] is None] or classes)


def _preferred_one(classes: list[type[Operator]]) -> type[Operator]:
    """Choose among classes of one type, all of which a layer may be of."""
    by_dialect = {cls.dialect: cls for cls in classes}
    usual = [cls.dialect for cls in classes if cls.usual]
    # BVLC's behind those that are preferred
    for name in (*_preferred, "", *usual):
        if name in by_dialect:
            return by_dialect[name]
    if len(classes) == 1:
        return classes[0]
    names = " or ".join(repr(name) for name in by_dialect)
    raise CheckError(
        f"type '{classes[0].type}' is a layer of several dialects "
        f"({', '.join(by_dialect)}) and nothing here shows whose is meant: expected "
        f"fields or weights that do, or caffe.prefer_dialects({names}), option "
        "-dialects of the commands"
    )

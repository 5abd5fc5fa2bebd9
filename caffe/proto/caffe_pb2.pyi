"""For type checkers: the names come from ``caffe.proto``."""

from typing import Any

def __getattr__(name: str) -> Any: ...

"""Marks for single cases of a test."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Mark one case of a parametrised test as slow."""
    return pytest.param(*values, marks=pytest.mark.slow)

"""Tables become dataclasses, and what does not fit is named by its place."""

from dataclasses import dataclass

import pytest

from pyunet.errors import DataError
from pyunet.toml import from_table, read_toml


def test_files_that_are_no_toml_are_named(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(DataError, match=r"a\.toml: cannot be read"):
        read_toml(path)
    path.write_text("= 1")
    with pytest.raises(DataError, match=r"a\.toml: is no TOML"):
        read_toml(path)


@dataclass
class Inner:
    size: float


@dataclass
class Outer:
    inner: Inner
    names: list[str]


def test_inner_tables_become_inner_dataclasses():
    table = {"inner": {"size": 1}, "names": ["a"]}
    assert from_table(Outer, table, "file") == Outer(Inner(1.0), ["a"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"inner": {"size": "a"}, "names": []},
            "file: inner: size: 'a'; expected f",
        ),
        ({"inner": 1, "names": []}, "file: inner: 1"),
        ({"inner": {"size": 1}, "names": [1]}, "file: names: 1; expected str"),
        ({"inner": {"size": 1}}, "file: .*names"),
        ({"other": 1}, "file: key 'other'; expected one of inner, names"),
    ],
)
def test_other_values_are_refused_by_their_place(table, said):
    with pytest.raises(DataError, match=said):
        from_table(Outer, table, "file")

import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from pyunet import boundary
from pyunet.boundary import check_held, check_memory, reading
from pyunet.errors import DataError, OutOfMemoryError, PyunetError, one_line


class BadDataError(DataError):
    pass


def nested(levels):
    return nested(levels + 1)


@pytest.mark.parametrize(
    ("fail", "text"),
    [
        (
            lambda: Path("/nowhere/a").read_text(),
            "a.x: cannot be read: No such file or directory",
        ),
        (lambda: {}["b"], "a.x: is no X: KeyError: 'b'"),
        (lambda: 1 / 0, "a.x: is no X: ZeroDivisionError: division by zero"),
        (lambda: b"\xff".decode(), "a.x: is no X: it is no text of UTF-8"),
        (lambda: nested(0), "a.x: is no X: it is nested too deeply"),
        (lambda: __import__("no_such_one"), "a.x: is no X: it needs the package 'no_s"),
        (lambda: zipfile.ZipFile(sys.stdin), "a.x: is no X: "),
        (lambda: exec("b'\\x"), "a.x: is no X: SyntaxError: "),
    ],
)
def test_whatever_a_reader_raises_becomes_one_line_with_the_file(fail, text):
    with pytest.raises(DataError) as caught, reading("a.x", "is no X"):
        fail()
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_a_reader_without_memory_says_so_with_the_file():
    wanted = pytest.raises(OutOfMemoryError, match=r"^out of memory: a\.x: ")
    with wanted, reading("a.x"):
        bytearray(sys.maxsize)


def test_a_librarys_long_reason_is_cut():
    with pytest.raises(DataError) as caught, reading("a.x"):
        raise ValueError("b\n" * 5000)
    assert len(str(caught.value)) < 300


def test_errors_of_the_package_stay_as_they_are():
    with pytest.raises(BadDataError, match=r"^b$"), reading("a.x"):
        raise BadDataError("b")


def test_an_interruption_is_no_damaged_file():
    with pytest.raises(KeyboardInterrupt), reading("a.x"):
        raise KeyboardInterrupt


def test_warnings_of_libraries_stay_out_of_it(recwarn):
    with reading("a.x"):
        warnings.warn("odd", UserWarning, stacklevel=1)
    assert not recwarn.list


def test_what_a_file_cannot_hold_is_refused_before_memory_is_asked_for(monkeypatch):
    monkeypatch.setattr(boundary, "available_bytes", lambda: 2**30)
    check_held("a.x", 2**26, 1)
    check_held("a.x", 2**27, 2**12)
    with pytest.raises(DataError, match=r"^a\.x: says that it holds 245760M, in a fi"):
        check_held("a.x", 240 * 2**30, 5000)
    check_memory("a.x", 2**30)
    with pytest.raises(DataError, match=r"^a\.x: holds 1025M; there is memory for 10"):
        check_memory("a.x", 2**30 + 1)


@pytest.mark.parametrize("error", [PyunetError, DataError])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udcffb", r"a\udcffb"),
        ("é 日本", "é 日本"),
    ],
)
def test_names_in_errors_are_shown_in_one_line(error, name, shown):
    assert str(error(name)) == shown
    assert one_line(name) == shown

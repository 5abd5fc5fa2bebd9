"""Work in other threads: order, bounds, errors, ends."""

import threading
import time

import pytest

from pyunet.inference.threads import Behind, ahead


def names():
    return {thread.name.partition("_")[0] for thread in threading.enumerate()}


def test_items_come_in_order_from_another_thread():
    here = threading.get_ident()
    found = list(ahead((i, threading.get_ident()) for i in range(50)))
    assert [i for i, _ in found] == list(range(50))
    assert here not in {thread for _, thread in found}
    assert len({thread for _, thread in found}) == 1


def test_no_more_items_are_made_than_are_allowed_beside_the_one_in_use():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            yield number

    source = ahead(items(), depth=3)
    for number in source:
        time.sleep(0.002)
        assert len(made) <= number + 1 + 3
    assert made == list(range(10))


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        yield 2
        raise ValueError("broken")

    source = ahead(items())
    assert [next(source), next(source)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(source)
    assert "ahead" not in names()


def test_items_that_nobody_wants_any_more_are_not_made():
    made = []

    def items():
        for number in range(1000):
            made.append(number)
            yield number

    source = ahead(items(), depth=2)
    next(source)
    source.close()
    assert len(made) <= 4
    assert "ahead" not in names()


def test_calls_run_one_after_the_other_in_another_thread():
    running, most, done = [0], [0], []

    def work(item):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.001)
        done.append((item, threading.get_ident()))
        running[0] -= 1

    with Behind(work) as put:
        for item in range(10):
            put(item)
    assert [item for item, _ in done] == list(range(10))
    assert most == [1]
    assert threading.get_ident() not in {thread for _, thread in done}
    assert "behind" not in names()


@pytest.mark.parametrize("after", [0, 3])
def test_an_error_of_a_call_reaches_the_caller(after):
    def work(item):
        if item == 0:
            raise OSError(28, "No space left on device")

    def put_all():
        with Behind(work) as put:
            for item in range(1 + after):
                put(item)

    with pytest.raises(OSError, match="No space left"):
        put_all()
    assert "behind" not in names()


def test_an_error_of_the_caller_goes_before_one_of_a_call():
    def work(item):
        raise OSError("disk")

    def put_and_stop():
        with Behind(work) as put:
            put(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_and_stop()
    assert "behind" not in names()

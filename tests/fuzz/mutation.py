"""Damage: to any bytes, to the lines of a text, and to messages by their schema."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

LARGEST = 1 << 20
_NUMBERS = [
    *(value.to_bytes(4, "little") for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1)),
    *(value.to_bytes(8, "little") for value in (2**31, 2**40, 2**63 - 1, 2**64 - 1)),
    *(b"-1", b"99999999999999999999", b"1e999", b"nan", b"2147483647", b"0x7fffffff"),
    *(b"\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01", b"\x00", b"\xff\xfe", b"{", b"}"),
]
WORDS = [
    *(
        "",
        " ",
        "a\nb",
        "a\r",
        "\t",
        "\x1b[31m",
        "\x00",
        "\ufeff",
        "\u202e",
        "é",
        "日本",
    ),
    *("-1", "0", "1e999", "nan", "inf", "2147483648", "99999999999999999999", "0x10"),
    *("..", "a/b", "C:\\new\\data", "{x}", "%s", "'", '"', "#", "a" * 700, "\udc80"),
]
INTEGERS = [0, 1, 2, 3, 4, 7, -1, -2, 255, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1]
_SMALL = 6
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, -1e38, float("inf"), float("nan")]


def mutate_bytes(sound: list[bytes], rng: random.Random) -> bytes:
    """Change one of some files at a few places."""
    data = bytearray(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 4, 8, 64)))
        change = rng.randrange(7)
        if change == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[start:end] = rng.randbytes(end - start)
        elif change == 2:
            del data[start:end]
        elif change == 3:
            data[start:end] = rng.choice(_NUMBERS)
        elif change == 4:
            data[start:start] = data[start:end] * rng.choice((1, 2, 16))
        elif change == 5:
            other = rng.choice(sound)
            cut = rng.randrange(len(other) + 1)
            data[start:end] = other[cut : cut + rng.choice((4, 32, 256))]
        else:
            del data[rng.choice((start, len(data) // 2, len(data))) :]
    return bytes(data[:LARGEST])


def mutate_lines(sound: list[bytes], rng: random.Random) -> bytes:
    """Change lines of a text, and the words in them."""
    lines = rng.choice(sound).split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        change = rng.randrange(7)
        if change == 0:
            del lines[at]
            lines = lines or [b""]
        elif change == 1:
            lines.insert(at, rng.choice(rng.choice(sound).split(b"\n")))
        elif change == 2:
            lines[at] = lines[at] * rng.choice((2, 50))
        elif change == 3:
            lines[at] = rng.choice((b"\xef\xbb\xbf", b" ", b"\t", b"\xc2\xa0")) + (
                lines[at] + rng.choice((b"", b" ", b"\r", b"\x00", b"\xe2\x80\x8b"))
            )
        else:
            words = lines[at].split(b" ")
            words[rng.randrange(len(words))] = _word(rng).encode(errors="replace")
            lines[at] = b" ".join(words)
    return b"\n".join(lines)[:LARGEST]


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS) if rng.random() < 0.7 else str(rng.choice(INTEGERS))


def mutate_message(
    message: Any, rng: random.Random, strings: list[str] | None = None
) -> None:
    """Change a message of protobuf's at a few places, by its schema.

    Parameters
    ----------
    message : Message
    rng : random.Random
    strings : list of str, optional
        What texts are drawn from, beside odd ones; default: those of the message.
    """
    strings = _strings(message) if strings is None else strings
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        part = rng.choice(_parts(message))
        fields = part.DESCRIPTOR.fields
        given = [field for field, _ in part.ListFields()]
        likely = given if given and rng.random() < 0.6 else fields
        field = rng.choice(likely)
        if isinstance(getattr(part, field.name), (int, float, str, bytes)):
            _change_single(part, field, rng, strings)
        elif hasattr(getattr(part, field.name), "__len__"):
            _change_repeated(part, field, rng, strings)
        elif rng.random() < 0.3:
            part.ClearField(field.name)
        else:
            getattr(part, field.name).SetInParent()


def _parts(message: Any) -> list[Any]:
    """All messages inside of one, and itself."""
    parts = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            many = hasattr(value, "__len__")
            for inner in value if many else [value]:
                parts += _parts(inner)
    return parts


def _strings(message: Any) -> list[str]:
    found = []
    for part in _parts(message):
        for field, value in part.ListFields():
            if field.type == field.TYPE_STRING:
                found += [value] if isinstance(value, str) else list(value)
    return found


def _change_single(
    part: Any, field: Any, rng: random.Random, strings: list[str]
) -> None:
    if rng.random() < 0.15:
        part.ClearField(field.name)
    else:
        _put(lambda value: setattr(part, field.name, value), field, rng, strings)


def _change_repeated(
    part: Any, field: Any, rng: random.Random, strings: list[str]
) -> None:
    values = getattr(part, field.name)
    change = rng.randrange(5)
    if change == 0 and len(values):
        del values[rng.randrange(len(values))]
    elif change == 1 and len(values):
        again = values[rng.randrange(len(values))]
        if field.message_type is not None:
            values.add().CopyFrom(again)
        else:
            values.append(again)
    elif change == 2 and len(values) > 1:
        order = list(values)
        rng.shuffle(order)
        part.ClearField(field.name)
        getattr(part, field.name).extend(order)
    elif field.message_type is not None:
        values.add()
    elif len(values) and rng.random() < 0.7:
        at = rng.randrange(len(values))
        _put(lambda value: values.__setitem__(at, value), field, rng, strings)
    else:
        for _ in range(rng.choice((1, 1, 2, 40))):
            _put(values.append, field, rng, strings)


def _put(
    put: Callable[[Any], None], field: Any, rng: random.Random, strings: list[str]
) -> None:
    """Hand a value for a field to `put`; one that the field can't hold stays out."""
    try:
        put(_value(field, rng, strings))
    except (ValueError, TypeError):
        return


def _value(field: Any, rng: random.Random, strings: list[str]) -> Any:
    if field.enum_type is not None:
        return rng.choice([value.number for value in field.enum_type.values])
    if field.type == field.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == field.TYPE_STRING:
        return rng.choice(strings if strings and rng.random() < 0.7 else WORDS)
    if field.type == field.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 4, 64)))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice(FLOATS) if rng.random() < 0.7 else rng.uniform(-3, 3)
    return rng.choice(INTEGERS) if rng.random() < 0.5 else rng.randrange(_SMALL)

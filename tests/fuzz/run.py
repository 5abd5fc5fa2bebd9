"""Fuzz one target: ``python -m tests.fuzz.run TARGET SECONDS``; see ``tools/fuzz.sh``.

With atheris, which watches what code an input reaches, or, where it is not installed,
by random changes of the corpus.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

NAMES = ("prototxt", "caffemodel", "solverstate", "binaryproto", "hdf5")
_SECONDS_AN_INPUT = 30
_BYTES = 3 << 30
_NUMBERS = [
    *(value.to_bytes(4, "little") for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1)),
    *(value.to_bytes(8, "little") for value in (2**31, 2**40, 2**63 - 1, 2**64 - 1)),
    *(b"-1", b"99999999999999999999", b"1e999", b"nan", b"2147483647", b"0x7fffffff"),
    *(b"\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01", b"\x00", b"\xff\xfe", b"{", b"}"),
]


def mutate(seeds: list[bytes], rng: random.Random) -> bytes:
    """Change one of some files at a few places."""
    data = bytearray(rng.choice(seeds))
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
            other = rng.choice(seeds)
            cut = rng.randrange(len(other) + 1)
            data[start:end] = other[cut : cut + rng.choice((4, 32, 256))]
        else:
            del data[rng.choice((start, len(data) // 2, len(data))) :]
    return bytes(data)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if nothing was found."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = Path(options.work, options.target)
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with_atheris = not options.random and _instrument()
    from tests.fuzz.corpus import seeds
    from tests.fuzz.targets import TARGETS

    for name, content in seeds(options.target).items():
        (corpus / name).write_bytes(content)
    target = TARGETS[options.target]
    _limit_memory()
    print(  # noqa: T201 - a command
        f"fuzz: {options.target} for {options.seconds} s "
        + ("with atheris" if with_atheris else "with random changes")
        + f", files in {work}",
        flush=True,
    )
    if not with_atheris:
        return _random_run(target, work, options)
    import atheris

    flags = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-timeout={_SECONDS_AN_INPUT}",
        f"-artifact_prefix={work}/",
        "-rss_limit_mb=4096",
        "-max_len=65536",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], lambda data: target(data, work))
    atheris.Fuzz()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("seconds", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", default="build/fuzz")
    parser.add_argument(
        "--random", action="store_true", help="even if atheris is there"
    )
    return parser


def _instrument() -> bool:
    """Let atheris watch the readers, if it is installed."""
    try:
        import atheris
    except ImportError:
        return False
    with atheris.instrument_imports(include=["caffe", "google"]):
        import tests.fuzz.targets  # noqa: F401
    return True


def _limit_memory() -> None:
    """Make an allocation without measure an error instead of the machine's end."""
    if not Path("/proc/self/statm").exists():
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _BYTES, used + _BYTES))


def _random_run(target: Target, work: Path, options: argparse.Namespace) -> int:
    """Try changed files of the corpus until the time is over or one is a fault."""
    rng = random.Random(options.seed)
    files = [path.read_bytes() for path in sorted((work / "corpus").iterdir())]
    end, runs = time.monotonic() + options.seconds, 0
    while time.monotonic() < end:
        data = mutate(files, rng)
        faulthandler.dump_traceback_later(
            _SECONDS_AN_INPUT, exit=True, file=sys.__stderr__
        )
        try:
            target(data, work)
        except Exception:  # whatever comes out of a reader is what is looked for
            traceback.print_exc()
            crash = work / f"crash-{options.seed}-{runs}"
            crash.write_bytes(data)
            print(f"fuzz: {options.target}: a fault; the input is {crash}")  # noqa: T201
            return 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        runs += 1
    print(f"fuzz: {options.target}: {runs} inputs, no fault")  # noqa: T201
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())

"""Kill commands, again and again: ``python -m tests.crash.run N``; ``tools/crash.sh``.

Each job is run once undisturbed; then it lives many lives: in each it is killed a few
times and called again, until it is let come to its end. After each kill every file
that stands under its own name must be whole, those from before must still be there;
at the end all must be, bit by bit, what the undisturbed run made, and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash import killing
from tests.crash.jobs import JOBS, Job, LostError, contents, is_half

_TRIES = 40  # moments chosen after the end do not count
_KILLS_A_LIFE = 4
_IMPORTS = (
    "torch",
    "caffe.cli.train",
    "caffe.engine.solvers",
    "pyunet.cli.data_make",
    "pyunet_fiji.cli.finetune",
    "pyunet.cli.segment",
    "pyunet.zoo.fetching",
)


@dataclass
class Tally:
    """What was done so far, kept in a file of text.

    Attributes
    ----------
    seed, lives : int
        The life with this number draws from ``random.Random("seed life")``.
    kills : Counter
        By job.
    """

    seed: int
    lives: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path, seed: int) -> Tally:
        """Read a tally of this seed, or begin one."""
        if not path.is_file():
            return cls(seed)
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            found["seed"],
            found["lives"],
            Counter(found["kills"]),
            Counter(found["finished"]),
        )

    def write(self, path: Path) -> None:
        """Write it in one piece."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(vars(self), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)

    def shown(self) -> str:
        """Give the table of jobs."""
        rows = [
            f"{name:<28}{self.kills[name]:>7}{self.finished[name]:>10}"
            for name in sorted({*self.kills, *self.finished})
        ]
        total = f"{'all':<28}{self.kills.total():>7}{self.finished.total():>10}"
        return "\n".join([f"{'':<28}{'kills':>7}{'finished':>10}", *rows, total])


class Subject:
    """A job, what an undisturbed run of it makes, and its present life."""

    def __init__(self, job: Job, work: Path) -> None:
        self.job, self._work = job, work
        inputs = work / "inputs"
        inputs.mkdir(parents=True)
        job.prepare(inputs)
        self._folder, self._log = work / "life", work / "log.txt"
        self._fresh()
        self._usual = killing.run(self._run, self._folder, self._log)
        if self._usual.status != 0:
            raise LostError(f"{job.name} fails undisturbed; see {self._log}")
        self._wanted = contents(self._folder)

    def live(self, rng: random.Random, most: int) -> int:
        """Be killed up to so many times, then come to the end; the number of kills.

        Raises
        ------
        LostError
            If something is.
        """
        self._fresh()
        wanted, kills = min(most, rng.randint(1, _KILLS_A_LIFE)), 0
        for _ in range(_TRIES):
            if kills == wanted:
                break
            before = contents(self._folder)
            moment = killing.choose(rng, self._usual, terminate=self.job.terminate)
            ended = killing.run(self._run, self._folder, self._log, moment)
            self._check(before, moment)
            if ended.asked:
                kills += 1
            elif ended.status != 0:
                raise LostError(f"status {ended.status} before it was killed")
            else:
                self._check_end()
                self._fresh()
        ended = killing.run(self._run, self._folder, self._log)
        if ended.status != 0:
            raise LostError(f"status {ended.status} after {kills} kills")
        self._check_end()
        return kills

    def _run(self) -> int:
        return self.job.run(self._folder)

    def _fresh(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._log.write_bytes(b"")
        self.job.begin(self._folder)

    def _check(self, before: dict[str, Any], moment: killing.Moment) -> None:
        self.job.check(self._folder)
        now = contents(self._folder)
        for name in {*before, *now}:
            if self.job.is_extra(name) or self.job.is_passing(name):
                continue
            if name not in now:
                raise LostError(f"{name} is gone after {moment}")
            if now[name] != self._wanted.get(name):
                raise LostError(
                    f"{name} is another one than undisturbed after {moment}"
                )

    def _check_end(self) -> None:
        now = contents(self._folder)
        for name in {*self._wanted, *now}:
            if not self.job.is_extra(name) and now.get(name) != self._wanted.get(name):
                raise LostError(f"{name} at the end is another one than undisturbed")
        files = [p for p in self._folder.rglob("*") if p.is_file()]
        left = [path.name for path in files if is_half(path.name)]
        if left:
            raise LostError(f"left behind: {', '.join(left)}")


def campaign(kills: int, seed: int, work: Path, only: Iterable[str] = ()) -> Tally:
    """Kill so many times more, and note it in ``tally.json`` of the folder.

    Raises
    ------
    LostError
        At the first fault; the folder of the life stays as it is.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / "tally.json"
    tally = Tally.read(path, seed)
    end = tally.kills.total() + kills
    place = Path(tempfile.mkdtemp(prefix="life-", dir=work)).resolve()
    words = list(only)
    jobs = [job for make in JOBS if _is_wanted((job := make()).name, words)]
    subjects: dict[str, Subject] = {}
    try:
        while tally.kills.total() < end:
            rng = random.Random(f"{tally.seed} {tally.lives}")
            job = rng.choices(jobs, [one.share for one in jobs])[0]
            if job.name not in subjects:
                subjects[job.name] = Subject(job, place / str(len(subjects)))
            try:
                done = subjects[job.name].live(rng, end - tally.kills.total())
            except LostError as error:
                raise LostError(
                    f"{job.name}, seed {tally.seed}, life {tally.lives}: {error} "
                    f"(files in {place})"
                ) from error
            tally.lives += 1
            tally.kills[job.name] += done
            tally.finished[job.name] += 1
            tally.write(path)
    finally:
        for subject in subjects.values():
            subject.job.close()
    shutil.rmtree(place)
    return tally


def _is_wanted(name: str, words: list[str]) -> bool:
    return not words or any(word in name for word in words)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="crash")
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/crash"))
    parser.add_argument("--only", action="append", default=[], metavar="JOB")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    import_all()
    try:
        tally = campaign(options.kills, options.seed, options.work, options.only)
    except LostError as error:
        print(f"crash: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(tally.shown())  # noqa: T201 - a command
    return 0


def import_all() -> None:
    """Import what every job needs, before the forks."""
    for name in _IMPORTS:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())

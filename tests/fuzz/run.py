"""The command of ``tools/fuzz.sh``: ``python -m tests.fuzz.run TARGET SECONDS``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if no failure is known of what was run."""
    options = _parser().parse_args(arguments)
    # both are read when the packages are imported; threads do not survive a fork
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.totals:
        return _totals(options.work)
    from tests.fuzz.campaign import Campaign
    from tests.fuzz.target import find

    try:
        targets = find(options.target)
    except KeyError:
        _say(f"fuzz: no target '{options.target}': {', '.join(find())}")
        return 2
    status = 0
    for name, target in targets.items():
        campaign = Campaign(target, options.work, seed=options.seed)
        campaign.replay()
        seconds = None if options.executions is not None else options.seconds
        campaign.run(seconds=seconds, executions=options.executions)
        _say(campaign.state.line(name))
        for key, kept in sorted(campaign.state.failures.items()):
            place = options.work / name / "failures" / f"{key}.input"
            _say(f"  {kept['times']:6} times, see {place} and .txt")
        status |= bool(campaign.state.failures)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("target", nargs="?", default="all")
    parser.add_argument("seconds", nargs="?", type=float, default=60)
    parser.add_argument("--executions", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--totals", action="store_true")
    return parser


def _totals(work: Path) -> int:
    """Print a table of what was done; 0 if nothing failed."""
    from tests.fuzz.campaign import load

    rows = []
    for path in sorted(work.glob("*/state.json")):
        state = load(path.parent)
        if state is not None:
            rows.append((path.parent.name, state))
    head = ("target", "executions", "errors", "a second", "seed", "failures")
    _say("{:<24}{:>12}{:>9}{:>10}{:>6}{:>10}".format(*head))
    for name, state in rows:
        part = f"{state.refused / max(1, state.executions):.2f}"  # an input
        speed = state.executions / max(1e-9, state.seconds)
        _say(
            f"{name:<24}{state.executions:>12}{part:>9}{speed:>10.0f}{state.seed:>6}"
            f"{len(state.failures):>10}"
        )
    executions = sum(state.executions for _, state in rows)
    failures = sum(len(state.failures) for _, state in rows)
    _say(f"{'all':<24}{executions:>12}{failures:>35}")
    return int(failures > 0)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())

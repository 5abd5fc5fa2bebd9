"""Seconds until a command answers: medians of fresh processes, in turns.

`import torch` is measured beside, as what `import caffe` with its net is compared to.
The limits are those of the project: a help in 0.3 s, `caffe.Net` at most 0.3 s more
than torch.

    python benchmarks/startup.py --rounds 7
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from pyunet.cli import VERBS

LIMIT = 0.3


def commands() -> dict[str, list[str]]:
    """Name what is started."""
    found = {
        "python": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        "import caffe": ["-c", "import caffe"],
        "import caffe; caffe.Net": ["-c", "import caffe; caffe.Net"],
        "caffe --help": ["-m", "caffe", "--help"],
        "pyunet --help": ["-m", "pyunet", "--help"],
    }
    for verb in VERBS:
        found[f"pyunet {verb} --help"] = ["-m", "pyunet", verb, "--help"]
    return found


def seconds(words: list[str]) -> float:
    """Run one process from start to end."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *words], check=False, capture_output=True, timeout=60
    )
    return time.perf_counter() - begin


def main() -> int:
    """Measure and print; 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    runs = [
        {name: seconds(words) for name, words in commands().items()}
        for _ in range(rounds)
    ]
    took = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    limits = {name: LIMIT for name in took if name.endswith("--help")}
    limits["import caffe; caffe.Net"] = took["import torch"] + LIMIT
    for name, median in took.items():
        over = "  over the limit" if median > limits.get(name, 60) else ""
        print(f"{name:32}{median:8.3f}{over}")
    return int(any(took[name] > limit for name, limit in limits.items()))


if __name__ == "__main__":
    sys.exit(main())

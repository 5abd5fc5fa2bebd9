"""One peer in its process: says when it is ready, then does what it is told.

`python -m peers REQUEST`, the request as JSON. Answers, and the commands on standard
input (`{"do": "run", "repeats": 3}`, `{"do": "scores", "file": ...}`, `{"do": "end"}`),
are JSON, one a line.
"""

import importlib
import json
import os
import resource
import sys
import time

now = getattr(time, "perf_counter", time.time)


def seconds_of(work):
    """Seconds that a call takes."""
    begin = now()
    work()
    return now() - begin


def peak_kib():
    """Give the most memory that this process ever held."""
    try:
        with open("/proc/self/status") as status:
            found = [line.split()[1] for line in status if line.startswith("VmHWM:")]
    except IOError:  # noqa: UP024 - of Python 2.7
        found = []
    # the system's own number knows what the process that started this one held, too
    return int(found[0]) if found else resource.getrusage(0).ru_maxrss


def answer(work, command):
    """Do what a command says; what there is to tell of it."""
    if command["do"] == "run":
        return {
            "seconds": [seconds_of(work["step"]) for _ in range(command["repeats"])]
        }
    if command["do"] == "scores":
        import numpy

        numpy.save(command["file"], work["scores"]())
        return {"file": command["file"]}
    return {"peak_gib": peak_kib() / 2.0**20}


def main():
    """Set up, answer commands until told to end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(found):
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    request = json.loads(sys.argv[1])
    begin = now()
    try:
        family = importlib.import_module("peers." + request["family"])
        work = family.set_up(request)
        about = dict(work["about"], set_up_s=now() - begin)
        about["first_s"] = seconds_of(work["step"])
    except Exception as error:
        text = str(error).strip().splitlines()[:1]
        say({"left_out": ": ".join([type(error).__name__] + text)})  # noqa: RUF005
        raise
    say({"about": about})
    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        say(answer(work, command))
        if command["do"] == "end":
            break


main()

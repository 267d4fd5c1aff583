"""Runs every benchmark and writes one JSON file: the machine, the build, each round and medians.

`python -m bench [NAME...]` with names of book, stages, groups, http (all unless some are named).
The uncompiled build is measured beside the compiled one for what it concerns (book, stages).
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nexustrade import __version__
from nexustrade.build import compiled

ROUNDS = 3
NAMES = ("book", "stages", "groups", "http")
BOTH_BUILDS = ("book", "stages")
HERE = Path(__file__).parent
SOURCE = HERE.parent / "src"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg(),
    }


def measure(name: str, environment: dict[str, str]) -> dict[str, Any]:
    """One round in a process of its own, so that no round warms or burdens the next."""
    script = f"import json, bench.{name} as b; print(json.dumps(b.run()))"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=HERE.parent,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds; what is not a number stays as in the first."""
    found: dict[str, Any] = {}
    for key, value in rounds[0].items():
        values = [one[key] for one in rounds]
        if isinstance(value, dict):
            found[key] = medians(values)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[key] = statistics.median(values)
        else:
            found[key] = value
    return found


def main(names: Sequence[str]) -> int:
    """Measure, print the medians and write everything to bench/out."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.stderr.write(f"no such benchmark: {', '.join(sorted(unknown))}\n")
        return 2
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "compiled": compiled(),
        "machine": machine(),
        "rounds": {},
        "medians": {},
    }
    for name in names or NAMES:
        builds: dict[str, dict[str, str]] = {"installed": {}}
        if compiled() and name in BOTH_BUILDS:
            builds["uncompiled"] = {"PYTHONPATH": str(SOURCE)}
        for build, environment in builds.items():
            title = (
                f"{name} ({'compiled' if compiled() and build == 'installed' else 'uncompiled'})"
            )
            rounds = []
            for at in range(ROUNDS):
                sys.stderr.write(f"{title}: round {at + 1} of {ROUNDS}\n")
                rounds.append(measure(name, environment))
            result["rounds"][title] = rounds
            result["medians"][title] = medians(rounds)
    print(json.dumps({"machine": result["machine"], "medians": result["medians"]}, indent=2))
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "bench.json").write_text(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every benchmark of the worker, one after another, on an otherwise idle machine.

    python -m benchmarks [--results FOLDER] [--events FILE]

Each prints its machine, versions, command and table, and writes them to FOLDER as JSON. About 25
minutes; `benchmarks.soak` takes half an hour more and is run by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

#: Which of them take a file of events.
BENCHMARKS = {
    "stages": True,
    "freshness": True,
    "same_job": True,
    "two_workers": True,
    "snapshots": False,
    "transport": False,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("benchmark-results"))
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    asked = parser.parse_args()
    asked.results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, takes_events in BENCHMARKS.items():
        print(f"\n=== {name}", flush=True)
        more = ["--events", str(asked.events)] if asked.events and takes_events else []
        to = asked.results / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(to), *more]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

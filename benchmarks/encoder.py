"""How many texts a second the encoder takes, by how many at once, of what length and where.

    python -m benchmarks.encoder [--devices cpu,cuda] [--seconds 5] [--json FILE]

`alone`: one after another, as items come. `by N`: 4,096 texts, of which the model sees N at a time.
Titles are of 4 to 12 words, descriptions of 60 to 180. On the processor it has as many cores as a
worker gives it by default (`encoder_threads`). The machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine, print_machine
from models.content.encoder import MINILM, SentenceEncoder
from streams.settings import Settings

BATCHES = (1, 8, 32, 128, 512)
TEXTS = 4096
_SYLLABLES = ("ka", "ri", "mo", "sel", "tan", "ver", "lo", "quin", "ash", "der", "pol", "fi", "gra")


def texts(fewest: int, most: int, seed: int = 0) -> list[str]:
    """Made-up texts of so many words."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(5000)]
    return [" ".join(draw.choices(words, k=draw.randint(fewest, most))) for _ in range(TEXTS)]


def measure(device: str, seconds: float) -> dict[str, float]:
    """Texts a second."""
    found: dict[str, float] = {}
    threads = Settings.model_fields["encoder_threads"].default if device == "cpu" else 0
    for kind, some in {"titles": texts(4, 12), "descriptions": texts(60, 180)}.items():
        encoder = SentenceEncoder(device=device, threads=threads)
        encoder.encode(some[:256])
        each: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            at = time.perf_counter()
            encoder.encode([some[len(each) % TEXTS]])
            each.append(time.perf_counter() - at)
        found[f"{kind}, alone, p50 ms"] = round(float(np.median(each)) * 1e3, 2)
        for batch in BATCHES:
            encoder = SentenceEncoder(device=device, threads=threads, batch=batch)
            done, began = 0, time.perf_counter()
            while (taken := time.perf_counter() - began) < seconds:
                # A run of the texts in their order, so that lengths are mixed as they come.
                encoder.encode([some[(done + k) % TEXTS] for k in range(max(64, batch))])
                done += max(64, batch)
            found[f"{kind}, by {batch}, a second"] = round(done / taken)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", default="cpu", help="of these: cpu, cuda")
    parser.add_argument("--seconds", type=float, default=5, help="for each figure")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts = machine()
    print_machine(facts)
    results = {each: measure(each, asked.seconds) for each in asked.devices.split(",")}
    print(f"\n{MINILM:>34}" + "".join(f"{device:>10}" for device in results))
    for name in next(iter(results.values())):
        print(f"{name:>34}" + "".join(f"{found[name]:>10,}" for found in results.values()))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

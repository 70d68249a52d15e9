"""The engine's machine code: where it is kept, and building it ahead of the first event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numba

from models import jit


def use_cache(path: Path) -> None:
    """Keep machine code in `path` (default: beside this package). Best called before the engine
    is imported. A changed source of kernels, numba or processor gets a new folder within."""
    jit.use_folder(Path(path))


def is_compiled() -> bool:
    """Whether `compile` has finished for exactly these sources on this kind of machine."""
    try:
        return _finished().exists()
    except OSError:  # there is no looking into the folder
        return False


def compile(progress: Callable[[float, str], None] | None = None) -> None:
    """Build (or load) all machine code, so that none is built while events are processed.

    It runs each entry of the engine on a handful of made-up events. `progress` is called with a
    fraction and what comes next. Takes about a minute the first time, a second or two later.
    """
    from models.rehearsal import steps

    tell = progress or (lambda _fraction, _what: None)
    plan = steps()
    for done, (what, step) in enumerate(plan):
        tell(done / len(plan), what)
        step()
    tell(1.0, "ready")
    if numba.config.CACHE_DIR:
        _finished().touch()


def _finished() -> Path:
    return Path(numba.config.CACHE_DIR or "/nonexistent") / "complete"

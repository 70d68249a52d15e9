"""How kernels are compiled: by numba, once, into a cache that knows every file they came from.

numba reloads a cached function when its own file is unchanged, even if a function it calls in
another file has changed since. So the cache lies in a folder named after a digest of everything
that shapes the machine code: the files it comes from, numba, llvmlite, Python and the processor.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba

PACKAGE = Path(__file__).parent

#: Every kernel, so that a test can see whether one was compiled anew while events were processed.
kernels: list[Any] = []


_OPTIONS = {"fastmath": True, "nogil": True, "boundscheck": False, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at first use; releases the interpreter's lock; no bounds checks, fast arithmetic."""
    compiled = numba.njit(cache=True, **_OPTIONS)(function)
    kernels.append(compiled)
    return compiled


def bare_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that allocates nothing, as its scratch is handed to it.

    Then numba need not count references to arrays, which for a state of a hundred arrays costs
    more than the work itself (three times as much, measured).
    """
    compiled = numba.njit(cache=True, _nrt=False, **_OPTIONS)(function)
    kernels.append(compiled)
    return compiled


def small(function: Callable[..., Any]) -> Any:
    """A function of a few numbers that the kernels call; compiled as part of them."""
    return numba.njit(_nrt=False, **_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A function of whole states that is copied into its callers before they are compiled."""
    return numba.njit(inline="always", **_OPTIONS)(function)


@cache
def sources() -> tuple[Path, ...]:
    """The files of `models` that machine code comes from: those that import this one or numba, and
    whatever these import, as a kernel is compiled with the values that its globals have.

    What is imported within a function is no global of a kernel's.
    """
    imported = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): _imported_by(path)
        for path in PACKAGE.rglob("*.py")
    }
    found: set[str] = set()
    further = {name for name, others in imported.items() if others & {__name__, "numba"}}
    while further:
        found |= further
        further = {n for name in further for n in imported[name] & imported.keys()} - found
    return tuple(PACKAGE.parent.joinpath(*n.split(".")).with_suffix(".py") for n in sorted(found))


def _imported_by(path: Path) -> set[str]:
    """Names of modules that a file imports at its top, and of what is above them or taken from
    them."""
    names: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in named:
            parts = name.split(".")
            names.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return names


def digest() -> str:
    """A name for the machine code that these sources give on this machine."""
    found = hashlib.sha256()
    for path in sources():
        found.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    cpu = llvmlite.binding.get_host_cpu_name()
    for part in (numba.__version__, llvmlite.__version__, platform.python_version(), cpu):
        found.update(part.encode() + b"\0")
    return found.hexdigest()[:16]


def use_folder(folder: Path) -> None:
    """Keep machine code below `folder` from now on, for kernels already imported too."""
    path = folder / f"kernels-{digest()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only place: compile in memory, each time
        return
    numba.config.CACHE_DIR = str(path)
    for dispatcher in kernels:
        dispatcher.enable_caching()


if not numba.config.CACHE_DIR:
    use_folder(PACKAGE / "__pycache__")

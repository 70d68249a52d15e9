"""The cache of machine code is named after every file that machine code comes from."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

import models
from models import engine, evidence, jit


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(models.__path__, "models.")
    return [importlib.import_module(each.name) for each in found]


def compiled_in(module: ModuleType) -> list[Callable[..., object]]:
    """The Python functions behind what numba compiles and a module holds, made there or not."""
    held = vars(module).values()
    return [
        *(each.py_func for each in held if isinstance(each, Dispatcher)),
        *(each._defn for each in held if isinstance(each, _Intrinsic)),
    ]


def test_every_file_with_a_kernel_is_among_the_sources() -> None:
    functions = {function for module in modules() for function in compiled_in(module)}
    functions |= {kernel.py_func for kernel in jit.kernels}
    files = {Path(inspect.getfile(function)) for function in functions}
    assert len(files) > 10
    assert files <= set(jit.sources())


def test_a_file_whose_values_kernels_are_compiled_with_is_among_the_sources() -> None:
    assert engine.run.py_func.__globals__["FLOOR"] == evidence.FLOOR
    assert not compiled_in(evidence)
    assert Path(evidence.__file__) in jit.sources()


@pytest.mark.parametrize("name", ["segments", "pool", "editorial", "index", "rules", "recommender"])
def test_a_file_without_kernels_builds_nothing_anew(name: str) -> None:
    assert jit.PACKAGE / f"{name}.py" not in jit.sources()

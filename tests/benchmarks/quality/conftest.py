"""The references need the extra `bench`; where it is not installed, their tests are left out."""

from importlib.util import find_spec

_NEEDS = {
    "test_quality_references.py": ("implicit", "river"),
    "test_quality_sequence.py": ("torch",),
}

collect_ignore = [
    test for test, packages in _NEEDS.items() if not all(find_spec(name) for name in packages)
]

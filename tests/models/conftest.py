"""The engine's machine code is built once, by `freshet setup`; these tests take it from there."""

import os
from pathlib import Path

import platformdirs

from models import compiled

_given = os.environ.get("FRESHET_CACHE_DIR")
_folder = Path(_given) if _given else platformdirs.user_cache_path("freshet")
compiled.use_cache(_folder / "engine")

"""The jars of Apache Kafka: fetched once at set-up, checked, cached, only read at run time.

Which jars, and their SHA-256, is written in ``kafka-jars.lock`` beside this file, so set-up neither
resolves anything nor trusts the network. Decision 0002 tells how to write the lock anew.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

KAFKA_VERSION: Final = "4.3.0"

_LOCK: Final = Path(__file__).with_name("kafka-jars.lock")
_ATTEMPTS: Final = 3
_PARALLEL: Final = 8


class BrokerError(RuntimeError):
    """The embedded broker cannot do what was asked; the message says what to do about it."""


def fetch_jars(cache_dir: Path, progress: Callable[[float, str], None] | None = None) -> list[Path]:
    """Fetch what is missing of Kafka's jars into `cache_dir` and return the class path.

    Every jar is checked against the lock before it takes its place in the cache, so an interrupted
    fetch leaves only whole jars behind and the next one goes on where it stopped.

    `progress` is called with the fraction done, 0 to 1, and a few words.
    Raises `BrokerError` when a jar cannot be had.
    """
    report = progress or (lambda _fraction, _what: None)
    locked = _locked()
    folder = _folder(cache_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrokerError(
            f"cannot write to the cache folder {cache_dir}: {error.strerror}. "
            "Choose another with FRESHET_CACHE_DIR."
        ) from error

    missing = [jar for jar in locked if not (folder / jar.file_name).exists()]
    report(1 - len(missing) / len(locked), f"Apache Kafka {KAFKA_VERSION}")
    with ThreadPoolExecutor(_PARALLEL) as pool:
        fetches = {pool.submit(_fetch, jar, folder): jar for jar in missing}
        try:
            for done, fetch in enumerate(as_completed(fetches), start=1):
                fetch.result()
                fraction = 1 - (len(missing) - done) / len(locked)
                report(fraction, fetches[fetch].file_name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return jars(cache_dir)


def jars(cache_dir: Path) -> list[Path]:
    """The cached class path; never fetches. Raises `BrokerError` when a jar is not to be seen."""
    folder = _folder(cache_dir)
    paths = [folder / jar.file_name for jar in _locked()]
    try:
        absent = [path for path in paths if not path.exists()]
    except OSError as error:
        raise BrokerError(
            f"cannot read the cache folder {cache_dir}: {error.strerror}. Change its rights, or "
            "choose another with FRESHET_CACHE_DIR."
        ) from error
    if absent:
        raise BrokerError(
            f"{len(absent)} of the {len(paths)} jars of Apache Kafka {KAFKA_VERSION} are not in "
            f"{folder}. Run `freshet setup` once, with a network connection."
        )
    return paths


class _Jar(NamedTuple):
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def _locked() -> list[_Jar]:
    locked = []
    for line in _LOCK.read_text().splitlines():
        sha256, coordinates = line.split()
        group, artifact, version = coordinates.split(":")
        locked.append(_Jar(group, artifact, version, sha256))
    return locked


def _folder(cache_dir: Path) -> Path:
    return cache_dir / f"kafka-{KAFKA_VERSION}"


def _fetch(jar: _Jar, folder: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # A repository of its own for each: jgo takes a half-written jar there for a whole one.
            with TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
                path = _download(jar, Path(scratch))
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if digest != jar.sha256:
                    raise OSError(f"its SHA-256 is {digest}, not {jar.sha256}")
                path.replace(folder / jar.file_name)
                return
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            if attempt == _ATTEMPTS:
                raise BrokerError(
                    f"could not fetch {jar.file_name}: {error}. Check the network connection "
                    "(HTTPS_PROXY is honoured) and run `freshet setup` again; "
                    "what has been fetched is kept."
                ) from error


def _download(jar: _Jar, repository: Path) -> Path:
    from jgo.maven import MavenContext  # slow to import, and wanted at set-up alone

    context = MavenContext(repo_cache=repository, timeout=60)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())

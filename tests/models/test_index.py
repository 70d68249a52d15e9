"""Items by vector: the nearest, whatever is changed and whenever; exact and in cells."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.index import ItemIndex, gpu_is_there

D = 16


def clustered(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around one centre for every hundred."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(n // 100 + 1, D))
    vectors = centres[random.integers(len(centres), size=n)] + 0.4 * random.normal(size=(n, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def recall(index: ItemIndex, held: dict[str, np.ndarray], queries: np.ndarray) -> float:
    """Share of the truly nearest ten that are found."""
    names = np.array([*held])
    scores = queries @ np.stack([*held.values()]).T
    nearest = names[np.argsort(-scores, axis=1)[:, :10]]
    found = [{item for item, _ in near} for near in index.search(queries, 10)]
    return (
        float(np.mean([len({*row} & near) for row, near in zip(nearest, found, strict=True)])) / 10
    )


def test_the_nearest_come_first_with_their_inner_products() -> None:
    index = ItemIndex(2)
    index.upsert(["east", "north", "west"], np.array([[1, 0], [0, 1], [-1, 0]], np.float32))
    ((first, second, third),) = index.search(np.array([[3, 1]], np.float32), 5)
    assert [first, second, third] == [("east", 3), ("north", 1), ("west", -3)]
    assert index.search(np.array([[3, 1]], np.float32), 1, exclude=["east", "?"]) == [[second]]
    assert index.search(np.array([[3, 1]], np.float32), 2, only=["west", "?"]) == [[third]]
    assert index.search(np.empty((0, 2), np.float32), 3) == []
    assert ItemIndex(2).search(np.ones((1, 2), np.float32), 3) == [[]]


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors must be \[n, 2\], not \[1, 3\]"):
        ItemIndex(2).upsert(["a"], np.ones((1, 3), np.float32))


names = st.sampled_from([f"i{n}" for n in range(40)])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.lists(names, max_size=30)),
        st.tuples(st.just("delete"), st.lists(names, max_size=10)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(changes, st.integers(0, 2**16), st.sets(names, max_size=5), st.sets(names, min_size=1))
@pytest.mark.parametrize("exact_up_to", [100, 8])
def test_it_holds_what_a_dictionary_would_and_finds_what_numpy_does(
    exact_up_to: int, done: list, seed: int, exclude: set[str], only: set[str]
) -> None:
    random = np.random.default_rng(seed)
    index, held = ItemIndex(D, exact_up_to=exact_up_to), dict[str, np.ndarray]()
    for what, items in done:
        if what == "upsert":
            vectors = random.normal(size=(len(items), D)).astype(np.float16).astype(np.float32)
            index.upsert(items, vectors)
            held.update(zip(items, vectors, strict=True))
        else:
            index.delete(items)
            for item in items:
                held.pop(item, None)
    index.settle()
    assert len(index) == len(held)
    for item in held:
        assert item in index
        assert np.array_equal(index.vectors([item])[0], held[item])
    query = random.normal(size=D).astype(np.float32)
    for wanted in (None, only):
        (found,) = index.search(query[None], 7, exclude=exclude, only=wanted)
        left = {*held} - exclude if wanted is None else ({*held} & wanted) - exclude
        scores = sorted((float(held[item] @ query) for item in left), reverse=True)[:7]
        assert [score for _, score in found] == pytest.approx(scores, abs=1e-4)
        assert all(float(held[item] @ query) == pytest.approx(s, abs=1e-4) for item, s in found)


@pytest.mark.parametrize(("precision", "least"), [("float16", 0.98), ("int8", 0.9)])
def test_a_catalogue_that_grows_is_sorted_into_cells_and_loses_little(
    precision: str, least: float
) -> None:
    vectors = clustered(6000)
    held = {f"i{k}": vector for k, vector in enumerate(vectors[:5900])}
    index = ItemIndex(D, exact_up_to=500, precision=precision)
    index.upsert([*held], np.stack([*held.values()]))
    index.settle()
    assert index.cells >= 64
    assert recall(index, held, vectors[5900:]) >= least
    rare = [f"i{k}" for k in range(0, 5900, 97)]
    assert all(len(found) == 20 for found in index.search(vectors[5900:], 20, only=rare))
    index.delete([f"i{k}" for k in range(5600)])
    index.settle()
    assert index.cells == 0


def test_many_to_choose_from_are_searched_for_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.index._GATHERED", 50)
    vectors = clustered(3000)
    index = ItemIndex(D, exact_up_to=500)
    index.upsert([f"i{k}" for k in range(3000)], vectors)
    index.settle()
    some = {f"i{k}": vectors[k] for k in range(0, 3000, 10)}
    found = index.search(vectors[:50], 10, only=[*some])
    wanted = np.sort(vectors[:50] @ np.stack([*some.values()]).T, axis=1)[:, :-11:-1]
    assert {item for row in found for item, _ in row} <= {*some}
    assert np.mean([row[9][1] for row in found]) >= np.mean(wanted[:, 9]) - 0.02


def test_who_asks_for_many_gets_as_many() -> None:
    vectors = clustered(3000)
    index = ItemIndex(D, exact_up_to=500)
    index.upsert([f"i{n}" for n in range(3000)], vectors)
    index.settle()
    assert index.cells
    for k in (10, 300, 3000):
        assert [len(near) for near in index.search(vectors[:5], k)] == [k] * 5


def test_int8_is_rounded_once_however_often_it_is_built() -> None:
    vectors = clustered(1200)
    index = ItemIndex(D, exact_up_to=100, precision="int8")
    index.upsert([f"i{k}" for k in range(1000)], vectors[:1000])
    index.settle()
    before = index.vectors([f"i{k}" for k in range(1000)])
    for _ in range(8):
        index.upsert([f"i{k}" for k in range(1000, 1200)], vectors[1000:])
    index.settle()
    assert np.array_equal(index.vectors([f"i{k}" for k in range(1000)]), before)


def test_nothing_changed_during_a_build_is_lost_and_searches_go_on() -> None:
    vectors = clustered(20_000)
    index, held = ItemIndex(D, exact_up_to=2000), dict[str, np.ndarray]()
    stop, failures, searches = threading.Event(), list[BaseException](), [0]

    def search() -> None:
        try:
            while not stop.is_set():
                found = index.search(vectors[:4], 5)
                assert all(near[0][1] > 0.9 for near in found), found
                searches[0] += 1
        except BaseException as error:
            failures.append(error)

    index.upsert([f"i{k}" for k in range(4)], vectors[:4])
    held.update((f"i{k}", vectors[k]) for k in range(4))
    searching = [threading.Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    random = np.random.default_rng(1)
    built = set()
    for begin in range(4, 20_000, 400):
        some = range(begin, min(begin + 400, 20_000))
        index.upsert([f"i{k}" for k in some], vectors[some.start : some.stop])
        held.update((f"i{k}", vectors[k]) for k in some)
        gone = [f"i{k}" for k in random.integers(4, some.stop, 100)]
        index.delete(gone)
        for item in gone:
            held.pop(item, None)
        built.add(index.cells)
        time.sleep(0.002)
    stop.set()
    for thread in searching:
        thread.join()
    index.settle()
    assert not failures
    assert searches[0] > 0
    assert len(built) > 1, "no build was put in place while things changed"
    assert len(index) == len(held)
    assert np.abs(index.vectors([*held]) - np.stack([*held.values()])).max() < 1e-3
    assert recall(index, held, vectors[:200]) > 0.98


def test_a_build_that_fails_leaves_the_index_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.index._Cells.look_into", lambda *_: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    vectors = clustered(1000)
    index = ItemIndex(D, exact_up_to=100)
    index.upsert([f"i{k}" for k in range(1000)], vectors)
    index.settle()
    assert index.cells == 0
    assert index.search(vectors[7:8], 1)[0][0][0] == "i7"


def test_whether_there_is_a_gpu_torch_says_and_not_one_maker_s_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_driver(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("models.index.ctypes.CDLL", no_driver)
    seen = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", seen)
    assert gpu_is_there()
    seen.cuda.is_available = lambda: False
    assert not gpu_is_there()
    monkeypatch.setitem(sys.modules, "torch", None)  # not installed
    assert not gpu_is_there()


def test_torch_is_asked_of_its_own_accord_only_where_there_is_a_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("models.index.gpu_is_there", lambda: asked.append(True))
    for there, times in ((False, 0), (True, 1)):
        monkeypatch.setattr("models.index._driver_is_there", lambda there=there: there)
        ItemIndex(D, device="auto")
        assert len(asked) == times


@pytest.mark.parametrize("by", ["faiss", "torch"])
@pytest.mark.parametrize("k", [10, 5000])
def test_a_gpu_finds_what_the_processor_finds(
    by: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU, what torch does there is done on the processor, to see that it is right."""
    pytest.importorskip("torch")
    if by == "torch":
        monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    elif not hasattr(faiss, "StandardGpuResources") or not gpu_is_there():
        pytest.skip("there is no GPU that faiss can use")
    if not gpu_is_there():
        monkeypatch.setattr("models.index._OnGpu._device", "cpu")
    vectors = clustered(30_000)
    items = [f"i{k}" for k in range(29_900)]
    on_gpu = ItemIndex(D, device="cuda")
    exact = ItemIndex(D, exact_up_to=10**6)
    for index in (on_gpu, exact):
        index.upsert(items, vectors[:29_900])
        index.upsert(items[:500], vectors[100:600])
        index.delete(items[1000:2000])
    for one, other in zip(
        on_gpu.search(vectors[29_900:], k, exclude=items[:50]),
        exact.search(vectors[29_900:], k, exclude=items[:50]),
        strict=True,
    ):
        assert [s for _, s in one] == pytest.approx([s for _, s in other], abs=1e-5)
    assert np.array_equal(on_gpu.vectors(items[:900]), exact.vectors(items[:900]))

"""Search for a recipe: the winner, the cache, and the restart of a killed search."""

from __future__ import annotations

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import ExportError, MissingDependencyError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.gates import parse_gate
from edgeexpo.spec import ModelSpec, SizeRange
from edgeexpo.workflows import tune_candidates, tune_search
from edgeexpo.workflows.networks import Network
from edgeexpo.workflows.tune_candidates import Bench, Candidate, Timing, WeightSet, candidate
from edgeexpo.workflows.tune_search import Plan, choose, pareto, reachable

PLAN = Plan("net", "onnx", (parse_gate("psnr>=45"),))


def made(key, psnr, ms, size=1000, variant="unpruned", keep=()):
    sizes = SizeRange((64, 64), (16, 16))
    artifact = Artifact("net.int8.onnx", "onnx", "int8", "", size, sizes)
    return Candidate(key, variant, keep, artifact, {"psnr": psnr}, psnr + 1, Timing(ms, ms))


FOUND = [made("a", 42.0, 10.0), made("b", 46.0, 20.0), made("c", 50.0, 40.0), made("d", 45.5, 30.0)]


def test_the_front_holds_what_nothing_beats():
    assert [c.key for c in pareto(FOUND)] == ["a", "b", "c"]
    smaller = made("e", 41.0, 50.0, size=10)
    assert smaller in pareto([*FOUND, smaller])


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_every_candidate_is_on_the_front_or_beaten_by_one_that_is(costs):
    found = [made(str(i), -q, ms, size) for i, (q, ms, size) in enumerate(costs)]
    front = pareto(found)
    assert front
    for c in found:
        assert any(
            f.worst["psnr"] >= c.worst["psnr"]
            and f.timing.p50 <= c.timing.p50
            and f.artifact.bytes <= c.artifact.bytes
            for f in front
        )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "b"),
        ({"max_ms": 45.0}, "c"),
        ({"max_ms": 39.0}, "b"),
        ({"max_bytes": 1000}, "c"),
        ({"max_bytes": 999}, None),
        ({"max_ms": 15.0}, None),
        ({"gates": (parse_gate("psnr>=60"),)}, None),
    ],
)
def test_the_best_within_the_bounds_is_chosen(changes, expected):
    winner = choose(dataclasses.replace(PLAN, **changes), FOUND)
    assert (winner.key if winner else None) == expected


@pytest.fixture
def bench(tmp_path, residual, tensors):
    spec = ModelSpec("net", "test", ("photo",), *tensors, halo=3, residual="y0")
    network = Network(residual, spec, (64, 64), None)
    shown = [Sample("photo", (np.full((64, 64, 3), 0.5, np.float32),), None)]
    cache = tmp_path / "cache"
    variant = WeightSet("unpruned", network)
    return Bench("onnx", cache, None, None, shown, variant, lambda *_: [], "cpu, 1")


@pytest.fixture
def fake(monkeypatch):
    """Replace real candidates by fast ones. The candidate ``fake.kill`` interrupts the search."""

    class Fake:
        calls: list = []  # noqa: RUF012
        kill: object = None

        def __call__(self, bench, variant, keep, key, folder):
            self.calls.append(keep)
            path = folder / "net.int8.onnx"
            path.write_bytes(repr(keep).encode())
            if keep == self.kill:
                raise KeyboardInterrupt
            found = made(key, 42.0 + 2 * len(keep), 10.0 + len(keep), 1000, variant.label, keep)
            artifact = dataclasses.replace(found.artifact, sha256=digest(path))
            return dataclasses.replace(found, artifact=artifact)

    fake = Fake()
    fake.calls = []
    monkeypatch.setattr(tune_candidates, "_made", fake)
    return fake


@pytest.fixture
def search(bench, fake, monkeypatch):
    """Return a search of the network of ``bench`` with four operators, without measurements."""
    monkeypatch.setattr(tune_search, "_variants", lambda plan: iter([bench.reference]))
    monkeypatch.setattr(tune_search, "samples", lambda *_, **__: bench.shown)
    monkeypatch.setattr(tune_search, "layers", lambda *_: ["first", "second", "third", "fourth"])
    timed = []

    def timer(spec, files, size):
        timed.append([path for _, path in files])
        assert all(path.is_file() for _, path in files)
        return [Timing(11.0, 12.0)] * len(files)

    def run(**changes):
        return tune_search.search(
            dataclasses.replace(PLAN, **changes), bench.cache, timer, "cpu, 1"
        )

    run.timed = timed
    return run


KEPT = [(), ("first",), ("first", "second"), ("first", "second", "third")]


def test_operators_move_to_float_one_by_one_the_most_sensitive_first(search, fake):
    found = search()
    assert fake.calls == KEPT
    assert found.plain.keep_float == ()
    assert found.winner is not None
    assert found.winner.worst["psnr"] >= 45
    assert found.winner.timing == Timing(11.0, 12.0)  # These are the times of the last, common run.
    assert len(search.timed) == 1
    assert search(most=2).reused == 2


def test_a_killed_search_repeats_nothing_that_was_finished(search, fake, bench):
    fake.kill = KEPT[2]
    with pytest.raises(KeyboardInterrupt):
        search()
    assert fake.calls == KEPT[:3]
    assert len(list(bench.cache.glob("*.partial"))) == 1
    fake.calls, fake.kill = [], None
    found = search()
    assert fake.calls == KEPT[2:]
    assert found.reused == 2
    assert not list(bench.cache.glob("*.partial"))
    fake.calls = []
    assert search().reused == 4
    assert fake.calls == []


def test_a_slow_candidate_ends_the_growth(search, fake):
    search(max_ms=8.5)
    assert fake.calls == KEPT[:2]  # The budget x 1.25 lies between 10 ms and 11 ms.


@pytest.mark.parametrize("damage", ["artefact", "record", "fields"])
def test_a_damaged_cache_entry_is_measured_again(damage, bench, fake):
    first, cached = candidate(bench, bench.reference, ())
    assert not cached
    assert candidate(bench, bench.reference, ()) == (first, True)
    folder = bench.cache / first.key
    record = folder / tune_candidates.RESULT
    if damage == "artefact":
        (folder / "net.int8.onnx").write_bytes(b"other")
    elif damage == "record":
        record.write_text("{")
    else:
        data = json.loads(record.read_text())
        del data["worst"]
        record.write_text(json.dumps(data))
    assert candidate(bench, bench.reference, ()) == (first, False)


@pytest.mark.parametrize("text", ["", "[", "3", "{}", "[3]", "[" * 5000])
def test_a_damaged_order_of_operators_is_measured_again(bench, monkeypatch, text):
    monkeypatch.setattr(tune_candidates, "measure_layers", lambda *_: SimpleNamespace(layers=[]))
    assert tune_candidates.layers(bench, bench.reference) == []
    (path,) = bench.cache.rglob(tune_candidates.ORDER)
    path.write_text(text)
    assert tune_candidates.layers(bench, bench.reference) == []
    assert json.loads(path.read_text()) == []


def test_the_key_is_of_the_content(bench, fake, residual):
    first, _ = candidate(bench, bench.reference, ("a", "b"))
    assert candidate(bench, bench.reference, ("b", "a"))[0].key == first.key
    network = bench.reference.network
    again = WeightSet("another label", network)
    assert candidate(bench, again, ("a", "b"))[0].key == first.key
    changed = copy.deepcopy(residual)
    changed.body[0].weight.data[0] += 1e-6
    others = [
        (bench, WeightSet("unpruned", dataclasses.replace(network, module=changed)), ("a", "b")),
        (bench, WeightSet("unpruned", dataclasses.replace(network, size=(96, 96))), ("a", "b")),
        (bench, bench.reference, ("a",)),
        (dataclasses.replace(bench, place="cpu, 2"), bench.reference, ("a", "b")),
        (dataclasses.replace(bench, target="executorch"), bench.reference, ("a", "b")),
    ]
    keys = [candidate(*arguments)[0].key for arguments in others]
    assert len({first.key, *keys}) == 6


def test_an_impossible_budget_says_the_best_that_can_be_reached(search):
    plan = dataclasses.replace(PLAN, gates=(parse_gate("psnr>=70"),), max_ms=20.0)
    found = search(gates=plan.gates, max_ms=plan.max_ms)
    assert found.winner is None
    line = reachable(plan, found)
    assert line.startswith("no candidate respects psnr>=70, 20 ms; best within the budget: 48.00")
    slow = dataclasses.replace(plan, gates=PLAN.gates, max_ms=1.0)
    assert "fastest with that quality" in reachable(slow, found)
    assert "fastest of all: " in reachable(slow, found)


def test_core_ml_is_tuned_where_it_runs(search, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(MissingDependencyError, match="runs on macOS"):
        search(target="coreml")


def test_a_gate_on_what_is_not_measured_is_refused_at_once(search, bench, fake, monkeypatch):
    network = bench.reference.network
    plain = dataclasses.replace(network, spec=dataclasses.replace(network.spec, residual=None))
    monkeypatch.setattr(tune_search, "_variants", lambda plan: iter([WeightSet("unpruned", plain)]))
    with pytest.raises(UsageError, match="correction_snr is not measured for net"):
        search(gates=(parse_gate("correction_snr>=20"),))
    assert fake.calls == []


def test_a_candidate_that_fails_is_named_and_the_search_goes_on(search, monkeypatch):
    real = tune_candidates._made

    def failing(bench, variant, keep, key, folder):
        if keep == KEPT[1]:
            raise ExportError("no kernel for it")
        return real(bench, variant, keep, key, folder)

    monkeypatch.setattr(tune_candidates, "_made", failing)
    found = search()
    assert found.failed == ("unpruned, float: first: no kernel for it",)
    assert len(found.candidates) == 3

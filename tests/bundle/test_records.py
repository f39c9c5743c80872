"""Records lie beside the manifest, are no part of the digest, and decide for their host."""

from __future__ import annotations

import json

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.records import (
    RECORDS,
    overall_status,
    read_records,
    verdict_of,
    write_record,
)
from edgeexpo.errors import BundleError
from edgeexpo.targets import runner_named
from tests.support.offered_bundle import offered, recorded

FILE = "net.fp32.onnx"


@pytest.fixture
def bundle(tmp_path):
    return offered(tmp_path / "b", {("onnx", "fp32"): "verified"})


def test_a_record_is_read_as_it_was_written_and_changes_no_digest(bundle):
    before = bundle.digest
    record = recorded(bundle, FILE, "openvino", "verified", worst={"psnr": 61.5}, pictures=3)
    write_record(bundle, record)
    reopened = Bundle.open(bundle.path)
    assert read_records(reopened) == (record,)
    assert reopened.digest == before
    reopened.verify()


def test_a_later_record_of_the_same_host_replaces_the_first(bundle):
    write_record(bundle, recorded(bundle, FILE, "openvino", "failed"))
    write_record(bundle, recorded(bundle, FILE, "openvino", "verified"))
    write_record(bundle, recorded(bundle, FILE, "openvino", "failed", processor="another"))
    assert [r.status for r in read_records(bundle)].count("verified") == 1
    assert len(read_records(bundle)) == 2


def test_records_of_files_that_changed_do_not_count(bundle):
    write_record(bundle, recorded(bundle, FILE, "openvino", "verified", sha256="0" * 64))
    assert read_records(bundle) == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"file": 3}', '{"status": "fine"}'])
def test_a_damaged_record_is_named(bundle, text):
    record = recorded(bundle, FILE, "openvino", "verified")
    write_record(bundle, record)
    path = bundle.path / RECORDS / record.name
    whole = json.loads(path.read_text("utf-8"))
    changed = {**whole, **json.loads(text)} if text.startswith('{"') else None
    path.write_text(text if changed is None else json.dumps(changed), "utf-8")
    with pytest.raises(BundleError, match=r"is no record of an engine .*; remove it"):
        read_records(bundle)


@pytest.mark.parametrize(
    ("own", "records", "status"),
    [
        (True, [], "verified"),
        (False, [], "unverified"),
        (False, [("verified", {})], "verified"),
        (False, [("verified", {"processor": "another"})], "verified"),
        (False, [("verified", {}), ("failed", {"processor": "another"})], "verified"),
        (False, [("verified", {"version": "0.1"}), ("failed", {"processor": "x"})], "failed"),
        (True, [("failed", {})], "failed"),
        (True, [("unverified", {"processor": "another"})], "unverified"),
    ],
)
def test_this_host_decides_and_else_the_worst_of_the_others(bundle, own, records, status):
    found = [recorded(bundle, FILE, "openvino", s, **changes) for s, changes in records]
    (artifact,) = bundle.manifest.artifacts
    assert verdict_of(artifact, runner_named("openvino")[1], own, found) == status


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([], "verified"),
        ([("openvino", "verified")], "verified"),
        ([("openvino", "failed")], "failed"),
        ([("openvino-bf16", "failed")], "verified"),
    ],
)
def test_an_artefact_is_verified_only_if_no_engine_failed_in_its_precision(bundle, records, status):
    (artifact,) = bundle.manifest.artifacts
    found = [recorded(bundle, FILE, engine, verdict) for engine, verdict in records]
    assert overall_status(artifact, found) == status

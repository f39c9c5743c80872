"""The report is one small file that needs nothing else and names every failure."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import html.parser
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import OutputError
from edgeexpo.parity.cases import PHOTOGRAPH, PROBE, Case
from edgeexpo.parity.golden import Device
from edgeexpo.parity.judgement import judged as judge_gates
from edgeexpo.parity.metrics.pictures import measure_pictures
from edgeexpo.parity.report import pictures
from edgeexpo.parity.report.html import LARGEST_PAGE, write_report
from edgeexpo.parity.rounding import Rounding
from edgeexpo.parity.saturation import Saturation
from edgeexpo.parity.verdict import ArtifactParity, ParityReport, failed_gates, statistics
from edgeexpo.spec import Gate
from tests.support.pictures import smooth_picture
from tests.support.tiny_bundle import write_bundle

GATES = (Gate("psnr", 40.0, True), Gate("delta_e_p99", 3.0, False, "worst_probe"))
VOID = {"meta", "link", "img", "input", "path", "br"}


def judged(file, cases, fault, status=None):
    outputs = {c.name: fault(c.reference).astype(np.float32) for c in cases}
    rows = [
        {"name": c.name, "kind": c.kind, **measure_pictures(c.reference, outputs[c.name], None)}
        for c in cases
    ]
    found = statistics(rows)
    failed = tuple(failed_gates(judge_gates(GATES, found, Rounding())))
    return ArtifactParity(
        file,
        "onnx",
        "int8",
        status or ("failed" if failed else "verified"),
        "onnxruntime",
        "; ".join(failed) or None,
        failed,
        worst=found["worst"],
        worst_probe=found["worst_probe"],
        per_input=tuple(rows),
        outputs=outputs,
    )


def make_report(side, tint=0.9):
    names = [("sea & <sky>", PHOTOGRAPH), ("house", PHOTOGRAPH), ("ramps", PROBE)]
    cases = [
        Case(name, kind, {}, smooth_picture(side, side + 16, seed))
        for seed, (name, kind) in enumerate(names)
    ]
    artifacts = (
        judged("net.fp32.onnx", cases, lambda y: y + 1e-6),
        judged("net.int8.onnx", cases, lambda y: y * np.array([1, tint, 1])),
        ArtifactParity("net.int8.pte", "executorch", "int8", "unverified", error="no engine here"),
    )
    device = Device("cuda", "GPU <1>", details={"driver": "570.1"})
    agreement = ({"files": ["a", "b"], "precision": "int8", "psnr": 50.0, "steps_max": 1.5},)
    return ParityReport("net", device, artifacts, 46.0, agreement, tuple(cases))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture(scope="module")
def page(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(make_report(96), path, bundle, ["parity", "dist/my net", "--gate", "psnr>=40"])
    return path


class Reader(html.parser.HTMLParser):
    """Checks that every element is closed, and collects the page's text and references."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.references, self.ids, self.styles = [], [], [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        facts = dict(attrs)
        self.references += [facts[key] for key in ("src", "href", "action") if key in facts]
        self.ids += [facts["id"]] if "id" in facts else []
        self.styles += "style" in facts or any(key.startswith("on") for key in facts)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def test_it_is_one_well_formed_file_that_refers_to_nothing_outside(page):
    reader = read(page)
    assert page.stat().st_size < LARGEST_PAGE
    assert all(r.startswith(("data:", "#")) for r in reader.references)
    assert {r[1:] for r in reader.references if r.startswith("#")} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    text = re.sub(r"base64,[\w+/=]+", "", page.read_text("utf-8"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)


def test_its_policy_allows_its_own_style_and_script_and_no_network(page):
    text = page.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        content = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert allowed[directive] == f"'sha256-{digest}'"
    assert read(page).styles == 0  # the policy would block inline styles


def test_a_failed_artefact_is_shown_as_failed_with_its_gates_in_words(page):
    text = read(page).text
    assert text.index("What failed") < text.index("Worst pictures first")
    assert re.search(
        r"PSNR on the worst photograph: found [\d.]+ dB; at least 40 dB is required\.", text
    )
    assert re.search(r"dE2000 p99 on a probe: found [\d.]+; at most 3 is required\.", text)
    assert "One pixel in a hundred has visibly another colour." in text
    assert text.startswith("net: parity failed")
    assert "3 artefacts: 1 verified, 1 unverified, 1 failed." in text


def test_the_worst_pictures_come_first_and_names_are_escaped(page):
    text = page.read_text("utf-8")
    articles = re.findall(r'<article class="picture">\s*<h3>(\S+)', text)
    assert articles == ["net.int8.onnx"] * 3 + ["net.fp32.onnx"]
    assert "sea &amp; &lt;sky&gt;" in text
    assert "<sky>" not in text


def test_it_says_what_ran_what_did_not_and_how_to_repeat_it(page, bundle):
    text = read(page).text
    assert "Not verified: other execution providers." in text
    assert "net.int8.pte: not run no engine here" in text
    assert "edgeexpo parity 'dist/my net' --gate 'psnr>=40'" in text
    assert bundle.manifest.artifacts[0].sha256 in text
    assert "on cuda (GPU <1>); driver 570.1" in text


def test_a_passed_report_has_no_failures(bundle, tmp_path):
    write_report(make_report(64, tint=1.0), tmp_path / "r.html", bundle)
    text = read(tmp_path / "r.html").text
    assert "What failed" not in text
    assert text.startswith("net: parity unverified")


def test_what_rounding_explains_and_what_saturates_are_shown(bundle, tmp_path):
    report = make_report(32, tint=1)
    explained = dataclasses.replace(
        report.artifacts[0], explained_gates=("max_abs<=0.0003, found 0.0002 in house",)
    )
    found = (Saturation("conv2d_4", "wood", 0.0412, 2.71),)
    report = dataclasses.replace(report, artifacts=(explained,), saturation=found)
    write_report(report, tmp_path / "r.html", bundle)
    text = read(tmp_path / "r.html").text
    assert "What rounding explains" in text
    assert "found 0.0002 in house; at most 0.0003 is required" in text
    for shown in ("conv2d_4", "wood", "4.12%", "2.71"):
        assert shown in text


def test_pictures_shrink_until_the_page_is_small_enough(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("edgeexpo.parity.report.html.LARGEST_PAGE", 100_000)
    noise = np.random.default_rng(0).random((600, 640, 3), dtype=np.float32)
    case = Case("noise", PHOTOGRAPH, {}, noise)
    report = ParityReport(
        "net", Device("cpu", "CPU"), (judged("a.onnx", [case], lambda y: y),), None, (), (case,)
    )
    write_report(report, tmp_path / "r.html", bundle)
    assert (tmp_path / "r.html").stat().st_size < 100_000


def test_a_thousand_photographs_fit(bundle, tmp_path):
    whole = make_report(32)
    artifact = whole.artifacts[1]
    rows = tuple({**artifact.per_input[0], "name": f"photo{i}"} for i in range(1000))
    many = dataclasses.replace(artifact, per_input=rows)
    write_report(dataclasses.replace(whole, artifacts=(many,)), tmp_path / "r.html", bundle)
    assert "Photographs, worst first: 50 of 1000" in read(tmp_path / "r.html").text
    assert (tmp_path / "r.html").stat().st_size < 200_000


def test_a_page_that_cannot_be_written_is_an_error_of_ours(bundle, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(make_report(32), tmp_path / "file" / "report.html", bundle)


def opened(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_crop_shows_the_worst_pixels_exactly():
    reference = smooth_picture(200, 240)
    candidate = reference.copy()
    candidate[128:150, 80:100] *= 0.5
    facts = pictures.picture_facts(reference, candidate, pictures.Shrink(100, 80))
    top, left = facts["crop_row"], facts["crop_column"]
    assert top <= 128
    assert top + pictures.CROP_SIDE >= 150
    assert left <= 80
    assert left + pictures.CROP_SIDE >= 100
    window = (slice(top, top + pictures.CROP_SIDE), slice(left, left + pictures.CROP_SIDE))
    for crop, picture in zip(facts["crops"], (reference, candidate), strict=False):
        np.testing.assert_array_equal(opened(crop["uri"]), np.rint(picture[window] * 255))
    assert max(opened(facts["reference"]).shape[:2]) <= 100


def test_values_that_are_not_finite_are_a_full_difference():
    reference = smooth_picture(64, 64)
    candidate = reference.copy()
    candidate[10:20, 10:20] = np.nan
    facts = pictures.picture_facts(reference, candidate, pictures.Shrink(64, 80))
    assert opened(facts["crops"][2]["uri"])[12, 12].tolist() == [255] * 3


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]), st.integers(8, 64))
def test_any_size_has_its_pictures(height, width, channels, side):
    picture = np.linspace(0, 1, height * width * channels, dtype=np.float32)
    picture = picture.reshape(height, width, channels)
    facts = pictures.picture_facts(picture, 1 - picture, pictures.Shrink(side, 50))
    assert max(facts["width"], facts["height"]) <= side
    assert len(facts["histograms"]) == channels
    assert 0 <= facts["crop_row"] < height
    assert 0 <= facts["crop_column"] < width


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
PROBE_SCRIPT = """
const stage = document.querySelector(".stage"), divider = stage.querySelector("input");
divider.value = 30;
divider.dispatchEvent(new Event("input"));
document.querySelector("[data-mode=difference]").click();
document.fonts.ready.then(() => parent.postMessage(JSON.stringify({
  divider: stage.style.getPropertyValue("--x"),
  mode: stage.dataset.mode,
  pressed: stage.parentElement.querySelectorAll("[aria-pressed=true]").length,
  wide: document.documentElement.scrollWidth > innerWidth,
  broken: [...document.images].filter((i) => !i.naturalWidth).length,
  seen: innerWidth,
}), "*"));
"""
WRAPPER = """<!doctype html><body><script>
addEventListener("message", (e) => { document.body.dataset.found = e.data; });
</script><iframe src="%s" width="%d" height="800" style="border:0"></iframe></body>"""


def browse(path, tmp_path):
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--window-size=1400,900", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason=f"no browser; looked for {', '.join(BROWSERS)}")
class TestInABrowser:
    def test_the_console_is_silent(self, page, tmp_path):
        done = browse(page, tmp_path)
        assert "CONSOLE" not in done.stderr
        assert "What failed" in done.stdout

    @pytest.mark.parametrize("width", [390, 1280])
    def test_the_divider_and_the_buttons_work_and_nothing_overflows(self, page, tmp_path, width):
        text = page.read_text("utf-8")
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        probed, wrapper = tmp_path / "probed.html", tmp_path / "wrapper.html"
        probed.write_text(text.replace("</body>", f"<script>{PROBE_SCRIPT}</script></body>"))
        wrapper.write_text(WRAPPER % (probed.name, width))
        done = browse(wrapper, tmp_path)
        found = re.search(r'data-found="([^"]+)"', done.stdout)
        assert found, done.stderr
        assert json.loads(html.unescape(found[1])) == {
            "divider": "30%",
            "mode": "difference",
            "pressed": 1,
            "wide": False,
            "broken": 0,
            "seen": width,
        }

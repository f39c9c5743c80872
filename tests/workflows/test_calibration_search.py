"""Search among variants of calibration, which keeps the variant with the best pictures."""

from __future__ import annotations

import pytest

from edgeexpo.errors import ExportError, UsageError
from edgeexpo.imaging.samples import EMBEDDED, UNSEEN, unseen
from edgeexpo.workflows.calibration_search import PictureJudge, Score, compare
from edgeexpo.workflows.networks import open_network


class Planted:
    """A stand-in for the calibration and the judge. A program is the name of its variant."""

    pictures = ("one", "two")

    def __init__(self, **scores):
        self.scores = {name.replace("_", "+"): Score(*value) for name, value in scores.items()}
        self.made = []

    def make(self, variant):
        self.made.append(variant.name)
        if variant.nncf:
            raise ExportError("NNCF rounds other tensors")
        return variant.name

    def __call__(self, graph):
        return self.scores.get(graph, Score(30.0, 40.0, 3.0))


def test_ranges_are_chosen_first_and_adapted_then():
    planted = Planted(minmax=(34, 40, 2), minmax_bias=(36, 41, 2), bias=(60, 60, 0))
    found = compare(planted, planted)
    assert planted.made == [
        *("plain", "balanced", "unequalized", "minmax", "percentile"),
        *("minmax+bias", "minmax+adaround", "minmax+adaround+bias", "nncf"),
    ]
    assert found.best.variant == found.graph == "minmax+bias"
    assert found.margin() == pytest.approx(1.5)
    assert found.margin("plain") == pytest.approx(3.5)
    assert found.pictures == ("one", "two")
    assert [r.skipped for r in found.rows if r.score is None] == ["NNCF rounds other tensors"]


@pytest.mark.parametrize("better", ["plain", "bias", "adaround", "unequalized+percentile"])
def test_the_planted_one_is_found_wherever_it_stands(better):
    planted = Planted(**{better.replace("+", "_"): (31, 40, 3)})
    names = ["plain", "bias", "adaround", "unequalized+percentile"]
    assert compare(planted, planted, names).best.variant == better


def test_one_spoiled_picture_counts_as_much_as_the_mean():
    planted = Planted(bias=(20, 45, 9), adaround=(33, 39, 2))
    assert compare(planted, planted, ["bias", "adaround"]).best.variant == "adaround"


def test_of_equals_the_first_stays_and_beats_nothing():
    planted = Planted()
    found = compare(planted, planted, ["minmax", "plain"])
    assert (found.best.variant, found.margin(), found.margin("plain")) == ("minmax", 0.0, 0.0)
    assert compare(planted, planted, ["plain"]).margin() is None


def test_no_variant_and_no_such_variant():
    planted = Planted()
    with pytest.raises(ExportError, match="no calibration variant could be made; NNCF rounds"):
        compare(planted, planted, ["nncf"])
    with pytest.raises(UsageError, match="unknown part 'best'"):
        compare(planted, planted, ["best"])


def test_unseen_photographs_are_none_of_the_embedded():
    assert not set(UNSEEN) & set(EMBEDDED)
    shown = unseen(2, (48, 64))
    assert [s.name for s in shown] == list(UNSEEN)
    assert all(f.shape == (48, 64, 3) for s in shown for f in s.frames)
    assert all(s.truth is not None and s.truth.std() > 0.02 for s in shown)


@pytest.mark.parametrize(("name", "colours"), [("lrl-mobile", 0.0), ("kdfusion-baseline", None)])
def test_luminance_has_no_colours_to_compare(name, colours):
    network = open_network(name, (64, 64), None, ())
    judge = PictureJudge(network, network.capture(), unseen(2, (64, 64)))
    assert judge(network.module) == Score(120.0, 120.0, colours)

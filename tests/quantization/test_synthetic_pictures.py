import pytest
import torch

from edgeexpo.quantization import synthetic_pictures


def pair(side=48, pictures=3):
    """Return two frames, each with a dark place, a bright place, and colours between these."""
    torch.manual_seed(1)
    under = torch.rand(pictures, 3, side, side) * 0.2 + 0.3
    under[:, :, 0, 0], under[:, :, -1, -1] = 0.05, 0.6
    return under, under + 0.3


def test_a_flat_picture_has_one_colour_of_the_scene_in_every_frame():
    under, over = pair()
    for seed in range(5):
        torch.manual_seed(seed)
        one, two = synthetic_pictures.flat((under, over))
        assert one.shape == (1, 3, 48, 48)
        assert torch.equal(one, one[:, :, :1, :1].expand_as(one))
        torch.testing.assert_close(two, one + 0.3)
        assert bool((under == one[:, :, :1, :1]).all(dim=1).any())


@pytest.mark.parametrize("kind", range(len(synthetic_pictures.PATTERNS)))
def test_patterns_lie_between_the_colours_and_agree_between_frames(kind, monkeypatch):
    monkeypatch.setattr(synthetic_pictures, "PATTERNS", (synthetic_pictures.PATTERNS[kind],))
    torch.manual_seed(kind)
    one, two = synthetic_pictures.pattern(pair(pictures=1))
    torch.testing.assert_close(two, one + 0.3)
    fine = synthetic_pictures.PATTERNS[0] not in (
        synthetic_pictures._sparks,
        synthetic_pictures._slope,
    )
    missing = 0.55 * (1 - synthetic_pictures.CONTRAST) / 2 if fine else 0.0
    assert float(one.min()) == pytest.approx(0.05 + missing, abs=0.03)
    assert float(one.max()) == pytest.approx(0.6 - missing, abs=0.03)


def test_the_seed_repeats_a_pattern_and_another_seed_draws_another():
    given, drawn = pair(), set()
    for seed in range(20):
        torch.manual_seed(seed)
        first = synthetic_pictures.pattern(given)[0]
        torch.manual_seed(seed)
        assert torch.equal(first, synthetic_pictures.pattern(given)[0])
        drawn.add(tuple(first.flatten().tolist()))
    assert len(drawn) == 20


def test_a_crop_is_a_part_of_one_of_the_others():
    other = torch.arange(2 * 60 * 70).reshape(1, 2, 60, 70).float()
    torch.manual_seed(3)
    (crop,) = synthetic_pictures.crop_of((torch.zeros(4, 2, 20, 30),), [(other,)])
    start = int(crop[0, 0, 0, 0])
    row, column = divmod(start, 70)
    assert torch.equal(crop, other[:, :, row : row + 20, column : column + 30])

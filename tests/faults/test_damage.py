"""The short form of what ``make faults`` does in full."""

import numpy as np
import pytest
from damage import KINDS, hammer, injure

FLIPS = {"study": 6}
"""Opening a study takes Optuna most of a second."""


@pytest.mark.parametrize("damage", ["flip", "page"])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed_or_harmless(name, damage):
    count = FLIPS.get(name, 30 if damage == "flip" else 10)
    found = hammer(KINDS[name], damage, count, seed=7)
    assert found.total() == count
    assert found["SILENT"] == found["no sentence"] == 0
    assert found["noticed"] > 0


@pytest.mark.parametrize(("damage", "most"), [("flip", 1), ("page", 128)])
def test_damage_is_what_it_is_called(damage, most):
    content = bytes(range(256)) * 4
    rng = np.random.default_rng(0)
    for _ in range(20):
        changed = injure(content, rng, damage)
        different = [a ^ b for a, b in zip(content, changed, strict=True) if a != b]
        assert len(different) <= most
        assert damage == "page" or different[0].bit_count() == 1

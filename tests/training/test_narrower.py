import itertools
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import MaskError, SettingError
from bogp.masks import choose_layers
from bogp.sparsity import kept_count
from bogp.training import Narrower, initialise, model_factory, narrower
from bogp.training.models import MODELS

IMAGES, TOKENS = torch.zeros(1, 8, 8), torch.zeros(1, 6, dtype=torch.int64)


def weights(spec, inputs, classes, layers="all"):
    """Return how many weights the layers have, of a network that is really made."""
    model = initialise(model_factory(spec, inputs.shape[1:], classes), 0)
    return sum(model.get_parameter(name).numel() for name in choose_layers(model, layers))


@given(st.integers(1, 900), st.integers(1, 40), st.floats(0.0, 0.999))
@settings(max_examples=25, deadline=None)
def test_one_hidden_layer_has_the_closed_form(features, hidden, sparsity):
    classes, inputs = 7, torch.zeros(1, features)
    unit = features + classes  # weights that each hidden unit brings
    target = kept_count(hidden * unit, sparsity)
    found = narrower(f"mlp:{hidden}", inputs, classes, weights=target)
    below, rest = divmod(target, unit)
    nearest = max(1, below if 2 * rest <= unit else below + 1)
    assert found == Narrower(f"mlp:{nearest}", nearest * unit, nearest * unit)
    # Of the hidden layer alone a unit has as many weights as there are features.
    alone = narrower(f"mlp:{hidden}", inputs, classes, weights=target, layers="hidden")
    count = int(alone.spec.removeprefix("mlp:"))
    assert alone.weights == count * features
    options = range(1, hidden + 1)
    assert abs(alone.weights - target) == min(abs(k * features - target) for k in options)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.floats(0.0, 0.999),
    st.sampled_from(["all", "hidden"]),
)
@settings(max_examples=30, deadline=None)
def test_no_factor_comes_nearer_to_the_target(hidden, sparsity, layers):
    """All factors are tried in steps far smaller than those of the widths."""
    spec, inputs = f"mlp:{','.join(map(str, hidden))}", torch.zeros(1, 9)
    target = kept_count(weights(spec, inputs, 3, layers), sparsity)
    found = narrower(spec, inputs, 3, layers=layers, weights=target)

    def count(factor):
        sizes = [9, *(max(1, (2 * factor * h + 1) // 2) for h in hidden), 3]
        products = [a * b for a, b in itertools.pairwise(sizes)]
        return sum(products[: None if layers == "all" else -1])

    counts = {count(Fraction(step, 400)) for step in range(401)}
    assert abs(found.weights - target) == min(abs(one - target) for one in counts)
    assert found.weights == weights(found.spec, inputs, 3, layers)
    assert found.weights == min(n for n in counts if abs(n - target) == abs(found.weights - target))


@pytest.mark.parametrize(
    ("spec", "width", "inputs", "classes"),
    [
        ("resnet-8:width=6", 6, IMAGES, 5),
        ("vit:width=12,depth=1,heads=3", 12, IMAGES, 5),
        ("vit:attention=packed,width=8,depth=1", 8, IMAGES, 5),
        ("gpt:width=12,depth=1,ratio=2", 12, TOKENS, 9),
    ],
)
def test_no_width_comes_nearer_to_the_target(spec, width, inputs, classes):
    heads = int(re.search("heads=(.)", spec).group(1)) if "heads" in spec else 4
    counts = {}
    for k in range(1, width + 1):
        name = spec.replace(f"width={width}", f"width={k}")
        if not spec.startswith("resnet"):
            divides = max(n for n in range(1, heads + 1) if k % n == 0)
            name = re.sub("heads=.", f"heads={divides}", name)
            name += "" if "heads" in name or divides == heads else f",heads={divides}"
        counts[name] = weights(name, inputs, classes)
    for sparsity in (0.0, 0.3, 0.6, 0.8, 0.9, 0.97):
        target = kept_count(counts[spec], sparsity)
        found = narrower(spec, inputs, classes, weights=target)
        assert found.weights == counts[found.spec]
        assert abs(found.weights - target) == min(abs(n - target) for n in counts.values())
    assert narrower(spec, inputs, classes, weights=counts[spec]).spec == spec


@pytest.mark.parametrize("form", MODELS)
def test_the_declared_widths_are_those_of_the_network_without_options(form):
    inputs = TOKENS if form == "gpt" else IMAGES
    whole = narrower(form, inputs, 9, weights=10**9)
    assert whole.weights == weights(form, inputs, 9)
    ours, theirs = (
        initialise(model_factory(name, inputs.shape[1:], 9), 3) for name in (form, whole.spec)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    half = narrower(form, inputs, 9, multiply_adds=whole.multiply_adds / 2)
    one_less = narrower(form, inputs, 9, weights=whole.weights - 1)
    assert 0 < half.multiply_adds < whole.multiply_adds
    assert one_less.spec == whole.spec


def test_multiply_adds_count_places_where_weights_do_not():
    """3 x 3 over 8 x 8 places of images whose other layers are of the maps' mean."""
    found = narrower("resnet-8", IMAGES, 10, multiply_adds=1)
    assert found == Narrower(
        "resnet-8:width=1", 9 + 18 + 18 + 36 + 72 + 144 + 40, found.multiply_adds
    )
    places = 64 * (9 + 18) + 16 * (18 + 36) + 4 * (72 + 144) + 40
    assert found.multiply_adds == places


def test_what_cannot_be_shrunk_is_said():
    with pytest.raises(SettingError, match=r"its own models alone \(mlp:128, .*'mine:small'"):
        narrower("mine:small", IMAGES, 10, weights=100)
    for both in ({}, {"weights": 1, "multiply_adds": 1}):
        with pytest.raises(SettingError, match="give one of the two"):
            narrower("mlp:8", IMAGES, 10, **both)
    with pytest.raises(MaskError, match="'first'"):
        narrower("mlp:8", IMAGES, 10, weights=1, layers="first")

"""What is checked before weights are pruned."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.masks import Mask, check_room, check_weights, collapsed, select
from bogp.sparsity import kept_count
from bogp.training import mlp


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_found_where_they_are(value):
    model = mlp([6, 5, 4, 3])
    check_weights(model, ["1.weight", "3.weight"])
    model[3].weight.data[2, 1] = value
    check_weights(model, ["1.weight"])
    with pytest.raises(MaskError, match=r"1 of the 20 weights of '3.weight' is NaN or infinite"):
        check_weights(model, ["1.weight", "3.weight"])


LAYERS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4)


@given(LAYERS, st.floats(0, 0.999), st.sampled_from(["uniform", "er", "erk"]))
def test_a_layer_is_refused_exactly_where_select_would_empty_it(shapes, sparsity, scope):
    model = nn.Sequential(*(nn.Linear(inputs, outputs) for outputs, inputs in shapes))
    names = [f"{k}.weight" for k in range(len(shapes))]
    scores = {name: model.get_parameter(name).detach() for name in names}
    total = sum(score.numel() for score in scores.values())
    empty = collapsed(select(scores, kept_count(total, sparsity), scope=scope))
    if not empty:
        check_room(model, names, sparsity, scope)
    else:
        with pytest.raises(SparsityError, match=r"'\d.weight'"):
            check_room(model, names, sparsity, scope)


def test_the_layer_and_the_numbers_are_named():
    model = nn.Sequential(nn.Linear(100, 10), nn.Linear(10, 2))
    names = ["0.weight", "1.weight"]
    # 1020 weights: at 0.98 uniform gives the last 0.4 of 20; at 0.999 there is one weight for two.
    with pytest.raises(SparsityError, match=r"0.98 leaves none of the 20 weights of '1.weight'"):
        check_room(model, names, 0.98, "uniform")
    check_room(model, names, 0.98, "global")
    with pytest.raises(SparsityError, match=r"keeps 1 weights for 2 layers.*at most 0.998"):
        check_room(model, names, 0.999)
    check_room(model, names, 0.998)
    with pytest.raises(UnknownNameError, match="did you mean uniform"):
        check_room(model, names, 0.5, "uniforn")
    with pytest.raises(SparsityError, match=r"not in \[0, 1\)"):
        check_room(model, names, 1.0)


def test_collapsed_layers_are_named():
    whole, none = torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
    assert collapsed(Mask({"a": whole, "b": none, "c": none})) == ("b", "c")
    assert collapsed(Mask({"a": whole})) == ()

import copy

import pytest
import torch
from torch import nn

from bogp.criteria import CRITERIA, Context, criterion
from bogp.errors import MaskError, SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import Mask, complete_mask

RUN_THE_NETWORK = [name for name, found in CRITERIA.items() if found.needs_data]


def plain(**weights):
    """A context of parameters alone."""
    model = nn.ParameterDict(weights)
    return Context(model, complete_mask(model, tuple(weights)), seed=5)


def test_magnitude_is_the_absolute_weight():
    weights = torch.tensor([[-3.0, 0.5]])
    assert criterion("magnitude").score(plain(w=weights))["w"].tolist() == [[3.0, 0.5]]


def test_random_follows_the_seed_and_not_the_weights():
    first, again = (
        criterion("random").score(plain(a=torch.full((4, 4), fill), b=torch.zeros(4, 4)))
        for fill in (0.0, 1.0)
    )
    assert torch.equal(first["a"], again["a"])
    assert not torch.equal(first["a"], first["b"])
    other = plain(a=torch.zeros(4, 4))
    other = Context(other.model, other.mask, seed=6)
    assert not torch.equal(first["a"], criterion("random").score(other)["a"])
    # What committed masks rest on.
    generator = torch.Generator().manual_seed(derive_seed(5, "random", "a"))
    assert torch.equal(first["a"], torch.rand(4, 4, generator=generator))


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_every_criterion_scores_every_weight(name, convolutional, context):
    given = context(convolutional, (2, 6, 6), dense=0.7)
    scores = criterion(name).score(given)
    assert {n: s.shape for n, s in scores.items()} == {n: m.shape for n, m in given.mask.items()}
    assert all(bool(score.isfinite().all()) for score in scores.values())
    assert not any(score.requires_grad for score in scores.values())
    for layer in ("first.weight", "second.weight", "last.weight"):
        assert scores[layer][given.mask[layer]].unique().numel() > 5
    if CRITERIA[name].needs_data:
        # A weight that nothing runs through, and those that the mask holds at zero.
        assert not scores["idle.weight"].any()
        assert all(not scores[n][~layer].any() for n, layer in given.mask.items())


@pytest.mark.parametrize("name", sorted(CRITERIA))
@pytest.mark.parametrize("training", [True, False])
def test_a_criterion_changes_nothing_and_draws_nothing(name, training, dropping, context):
    given = context(dropping.train(training), (2, 6, 6), dense=0.7)
    given.model.last.weight.grad = torch.ones_like(given.model.last.weight)
    before, modes = (
        copy.deepcopy(given.model.state_dict()),
        [m.training for m in dropping.modules()],
    )
    inputs, targets, state = given.inputs.clone(), given.targets.clone(), torch.get_rng_state()
    with torch.no_grad():
        scores = criterion(name).score(given)
    assert all(torch.equal(value, before[key]) for key, value in given.model.state_dict().items())
    assert [module.training for module in dropping.modules()] == modes
    assert all(p.grad is None for n, p in dropping.named_parameters() if n != "last.weight")
    assert torch.equal(dropping.last.weight.grad, torch.ones_like(dropping.last.weight))
    assert not any(module._forward_hooks for module in dropping.modules())
    assert torch.equal(given.inputs, inputs)
    assert torch.equal(given.targets, targets)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)  # Nothing of the global state comes in.
    again = criterion(name).score(given)
    assert all(torch.equal(again[key], value) for key, value in scores.items())


def test_what_dropout_draws_follows_the_seed(dropping, context):
    given = context(dropping, (2, 6, 6))
    other = Context(given.model, given.mask, given.inputs, given.targets, seed=1)
    for name in ("snip", "grasp"):
        one, two = criterion(name).score(given), criterion(name).score(other)
        assert not torch.equal(one["last.weight"], two["last.weight"])
    one, two = criterion("synflow").score(given), criterion("synflow").score(other)
    assert torch.equal(one["last.weight"], two["last.weight"])


@pytest.mark.parametrize("name", RUN_THE_NETWORK)
def test_frozen_and_single_precision_weights_are_scored_too(name, perceptron, context):
    given = context(perceptron, (5,))
    whole = criterion(name).score(given)
    narrow = copy.deepcopy(perceptron).float()
    narrow[0].weight.requires_grad_(False)
    shared = {"mask": given.mask, "inputs": given.inputs, "targets": given.targets}
    scores = criterion(name).score(Context(narrow, **shared))
    for key, value in whole.items():
        error = (scores[key] - value).abs().max()
        assert error < 1e-5 * value.abs().max()


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.last = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.last(self.table(inputs).mean(1))


@pytest.mark.parametrize("name", RUN_THE_NETWORK)
def test_inputs_may_be_integers(name):
    model = Words()
    mask = complete_mask(model, ("table.weight", "last.weight"))
    inputs, targets = torch.tensor([[1, 2], [3, 1]]), torch.tensor([0, 2])
    scores = criterion(name).score(Context(model, mask, inputs, targets))
    assert scores["table.weight"][1].any()
    # A word that no example has; synflow, which sees no example, has all of them.
    assert bool(scores["table.weight"][8].any()) == (name == "synflow")


@pytest.mark.parametrize("name", RUN_THE_NETWORK)
def test_a_criterion_without_its_examples_is_refused(name, perceptron, context):
    given = context(perceptron, (5,))
    with pytest.raises(SettingError, match=f"'{name}' runs the network: give it inputs"):
        criterion(name).score(Context(given.model, given.mask))
    with pytest.raises(SettingError, match="give it inputs"):
        criterion(name).score(Context(given.model, given.mask, given.inputs[:0], given.targets[:0]))
    if name != "synflow":
        with pytest.raises(SettingError, match="12 inputs and 0 targets"):
            criterion(name).score(Context(given.model, given.mask, given.inputs))


@pytest.mark.parametrize("name", sorted(set(CRITERIA) - {"random"}))
def test_a_mask_of_another_model_is_refused(name, perceptron, context):
    given = context(perceptron, (5,))
    wrong = Mask({"0.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(MaskError, match=r"\(2, 2\)"):
        criterion(name).score(Context(given.model, wrong, given.inputs, given.targets))


def test_an_unknown_criterion_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean magnitude"):
        criterion("magnitud")

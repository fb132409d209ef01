"""SNIP and GraSP on convolutions, attention, sequences and shared weights, by other derivatives."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from bogp.criteria import CRITERIA, Context, criterion, grasp, snip
from bogp.criteria.grasp import TEMPERATURE
from bogp.errors import SettingError
from bogp.masks import Mask, choose_layers


class Depthwise(nn.Module):
    """A convolution, a depthwise one with batch statistics, one in one dimension."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 2)
        self.norm = nn.BatchNorm2d(3)
        self.each = nn.Conv2d(3, 3, 2, groups=3)
        self.line = nn.Conv1d(3, 2, 2, groups=1)
        self.last = nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.each(self.norm(self.first(inputs)).relu())
        return self.last(self.line(hidden.flatten(2)).relu().flatten(1))


class Attending(nn.Module):
    """Attention as torch has it, packed or with keys and values of another width."""

    def __init__(self, packed):
        super().__init__()
        sizes = {} if packed else {"kdim": 3, "vdim": 3}
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, **sizes)
        self.packed = packed
        self.last = nn.Linear(4, 3)

    def forward(self, inputs):
        other = inputs if self.packed else inputs[..., :3]
        mixed, _ = self.attention(inputs, other, other, need_weights=False)
        return self.last(mixed.mean(1))


class Language(nn.Module):
    """Tokens in, logits of the next at each position; two layers share a weight."""

    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(5, 4)
        self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
        self.once, self.again = nn.Linear(4, 4), nn.Linear(4, 4)
        self.again.weight = self.once.weight
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 5, bias=False)

    def forward(self, tokens):
        hidden = self.token(tokens)
        parts = (part(hidden)[:, None] for part in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)[:, 0]
        hidden = self.norm(hidden + mixed)
        return self.head(self.again(nn.functional.gelu(self.once(hidden))))


MODELS = {
    "depthwise": (Depthwise, (1, 4, 4)),
    "packed": (lambda: Attending(packed=True), (3, 4)),
    "separate": (lambda: Attending(packed=False), (3, 4)),
    "language": (Language, None),
}


def make(name, dense=0.8, seed=0):
    """A context of a model in double precision with a random mask and seven examples."""
    factory, shape = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = factory().double()
        parameters = dict(model.named_parameters())
        names = choose_layers(model, "all")
        mask = Mask({layer: torch.rand(parameters[layer].shape) < dense for layer in names})
        if shape is None:
            inputs, targets = torch.randint(5, (7, 3)), torch.randint(5, (7, 3))
        else:
            inputs = torch.randn(7, *shape, dtype=torch.float64)
            targets = torch.randint(3, (7,))
    return Context(model, mask, inputs, targets, seed)


def loss(given, weights, temperature=1.0):
    """The mean over all targets, one by one, of a network with other weights."""
    buffers = {name: buffer.clone() for name, buffer in given.model.named_buffers()}
    logits = functional_call(given.model.train(), weights | buffers, (given.inputs,)) / temperature
    logs = logits.log_softmax(-1).gather(-1, given.targets[..., None])
    return -logs.sum() / given.targets.numel()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_snip_is_the_derivative_by_a_gate_on_each_weight(name):
    given = make(name)
    parameters = dict(given.model.named_parameters())
    gates = {layer: kept.double().requires_grad_() for layer, kept in given.mask.items()}
    gated = {layer: parameters[layer].detach() * gate for layer, gate in gates.items()}
    slopes = torch.autograd.grad(loss(given, gated), list(gates.values()))
    scores = snip(given)
    for (layer, kept), slope in zip(given.mask.items(), slopes, strict=True):
        torch.testing.assert_close(scores[layer], slope.abs() * kept)
        assert (scores[layer][kept] > 0).float().mean() > 0.3


@pytest.mark.parametrize("name", sorted(MODELS))
def test_grasp_is_the_whole_hessian_times_the_gradient(name):
    given = make(name)
    parameters = dict(given.model.named_parameters())
    sizes = [kept.numel() for kept in given.mask.values()]
    masked = {n: parameters[n].detach() * kept for n, kept in given.mask.items()}
    point = torch.cat([weight.flatten() for weight in masked.values()])
    inside = torch.cat([kept.flatten() for kept in given.mask.values()]).double()

    def at(flat):
        parts = zip(given.mask.items(), flat.split(sizes), strict=True)
        weights = {layer: part.view(kept.shape) for (layer, kept), part in parts}
        return loss(given, weights, TEMPERATURE)

    with sdpa_kernel(SDPBackend.MATH):
        start = point.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(at(start), start)
        wanted = point * (hessian(at, point) @ (gradient * inside))
    scores = torch.cat([score.flatten() for score in grasp(given).values()])
    assert list(grasp(given)) == list(given.mask)
    torch.testing.assert_close(scores, wanted, rtol=1e-7, atol=1e-7 * float(wanted.abs().max()))
    assert (wanted != 0).sum() > 0.4 * len(wanted)


@pytest.mark.parametrize("criterion_name", ["snip", "grasp"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_what_is_frozen_is_scored_as_it_is_unfrozen(name, criterion_name):
    given = make(name)
    whole = criterion(criterion_name).score(given)
    frozen = copy.deepcopy(given.model).requires_grad_(False)
    shared = (given.mask, given.inputs, given.targets)
    scores = criterion(criterion_name).score(Context(frozen, *shared))
    assert all(torch.equal(score, whole[layer]) for layer, score in scores.items())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_left_as_it_was(name):
    given = make(name)
    before = {key: value.clone() for key, value in given.model.state_dict().items()}
    given.model.eval()
    for each in sorted(CRITERIA):
        scores = criterion(each).score(given)
        assert all(bool(score.isfinite().all()) for score in scores.values())
        assert all(score[given.mask[layer]].any() for layer, score in scores.items())
    assert all(torch.equal(v, before[k]) for k, v in given.model.state_dict().items())
    assert not any(module.training for module in given.model.modules())


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_logits_that_do_not_fit_the_targets_are_one_sentence(name):
    given = make("language")
    with pytest.raises(SettingError, match=rf"'{name}' needs a row .* \(7, 3, 5\) for targets of"):
        criterion(name).score(Context(given.model, given.mask, given.inputs, given.targets[:, 0]))

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole = given.model

        def forward(self, tokens):
            return self.whole(tokens), None

    mask = Mask({f"whole.{layer}": kept for layer, kept in given.mask.items()})
    with pytest.raises(SettingError, match="the model gives tuple"):
        criterion(name).score(Context(Pair(), mask, given.inputs, given.targets))


def test_a_module_without_a_second_derivative_is_one_sentence():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(5, 2)

        def forward(self, inputs):
            return self.last(torch.cdist(self.first(inputs), torch.ones(5, 4)))

    model = Model()
    parameters = dict(model.named_parameters())
    mask = Mask({n: torch.ones_like(parameters[n]).bool() for n in choose_layers(model, "all")})
    given = Context(model, mask, torch.randn(5, 3), torch.zeros(5, dtype=torch.long))
    assert snip(given)["first.weight"].any()
    with pytest.raises(SettingError, match="'grasp' needs second derivatives, and a module"):
        grasp(given)


def test_scores_of_a_network_of_constant_gradient_are_zero():
    # The loss of one class is constant: no first derivative depends on a weight.
    model = nn.Linear(3, 1)
    mask = Mask({"weight": torch.ones(1, 3, dtype=torch.bool)})
    given = Context(model, mask, torch.randn(5, 3), torch.zeros(5, dtype=torch.long))
    for name in ("grasp", "snip"):
        assert not criterion(name).score(given)["weight"].any()

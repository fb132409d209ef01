"""Pruned weights stay zero, whatever the optimiser does: momentum, weight decay, closures."""

import copy
import pickle

import pytest
import torch
from torch import nn, optim

import bogp
from bogp.sparsify import Hold

STEPS = 12

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "sgd nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, 0.01, weight_decay=0.01),
    "adam fused": lambda p: optim.Adam(p, 0.01, weight_decay=0.01, fused=True),
    "adam amsgrad": lambda p: optim.Adam(p, 0.01, amsgrad=True, foreach=True),
    "adam without eps": lambda p: optim.Adam(p, 0.01, eps=0.0),
    "adamw": lambda p: optim.AdamW(p, 0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.9, centered=True, weight_decay=0.01),
    "adagrad": lambda p: optim.Adagrad(p, 0.01, weight_decay=0.01),
    "adadelta": lambda p: optim.Adadelta(p, 1.0, weight_decay=0.01),
    "adamax": lambda p: optim.Adamax(p, 0.01, weight_decay=0.01),
    "nadam": lambda p: optim.NAdam(p, 0.01, weight_decay=0.01),
    "radam": lambda p: optim.RAdam(p, 0.01, weight_decay=0.01),
    "asgd": lambda p: optim.ASGD(p, 0.01, t0=2, weight_decay=0.01),
    "rprop": lambda p: optim.Rprop(p, 0.01),
    "adafactor": lambda p: optim.Adafactor(p, 0.01, weight_decay=0.01),
    "lbfgs": lambda p: optim.LBFGS(p, 0.1, max_iter=3),
    "muon": lambda p: optim.Muon([each for each in p if each.ndim == 2], 0.01),
}

NOT_EMPTY = {"adamax": "exp_inf", "rprop": "step_size"}
"""Optimiser → what of its memory is above zero for a gradient of zero."""


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def batch(seed, size=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 6, generator=generator), torch.arange(size) % 3


def loss_of(model, seed):
    inputs, targets = batch(seed)
    return nn.functional.cross_entropy(model(inputs), targets)


def take_step(model, optimizer, seed, *, closure=False):
    def evaluated():
        optimizer.zero_grad()
        loss = loss_of(model, seed)
        loss.backward()
        return loss

    if closure or isinstance(optimizer, optim.LBFGS):
        optimizer.step(evaluated)
    else:
        evaluated()
        optimizer.step()


def pruned_memory(optimizer, model, mask, kind):
    """What the optimiser remembers of pruned weights."""
    return [
        value[~mask[name]]
        for name, parameter in model.named_parameters()
        if name in mask
        for key, value in optimizer.state[parameter].items()
        if torch.is_tensor(value) and value.shape == parameter.shape and key != NOT_EMPTY.get(kind)
    ]


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_momentum_and_weight_decay_revive_no_weight(kind, closure):
    model = network()
    optimizer = OPTIMIZERS[kind](list(model.parameters()))
    for seed in range(3):
        take_step(model, optimizer, seed, closure=closure)  # dense: momentum builds up
    moves = bogp.Moves(every=3, end=0.99)
    method = bogp.Method("magnitude", "global", moves=moves)
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.6, method=method, steps=STEPS)
    before = model[0].weight.clone()
    for seed in range(STEPS):
        take_step(model, optimizer, seed, closure=closure)
        for name, kept in sparsifier.mask.items():
            assert not model.get_parameter(name)[~kept].any()
        for memory in pruned_memory(optimizer, model, sparsifier.mask, kind):
            assert not memory.any()
    mask = sparsifier.finish()
    assert mask.kept == round(0.4 * (6 * 8 + 8 * 3))
    assert (model[0].weight != before)[mask["0.weight"]].all()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["sgd", "adam", "adam fused", "adamw", "rmsprop"])
def test_the_kept_weights_train_as_if_the_gradients_had_been_masked_by_hand(kind):
    """The reference multiplies gradients and weights by the mask around plain steps."""
    held, plain = network(), network()
    mask = bogp.Mask({"0.weight": torch.rand(8, 6, generator=torch.manual_seed(1)) < 0.5})
    optimizers = [OPTIMIZERS[kind](list(model.parameters())) for model in (held, plain)]
    Hold(optimizers[0], {"0.weight": held[0].weight}, mask)
    mask.apply(plain)
    for seed in range(STEPS):
        take_step(held, optimizers[0], seed)
        optimizers[1].zero_grad()
        loss_of(plain, seed).backward()
        plain[0].weight.grad *= mask["0.weight"]
        optimizers[1].step()
        mask.apply(plain)
    for found, expected in zip(held.parameters(), plain.parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", ["sgd", "adam fused", "adagrad"])
def test_what_comes_back_begins_at_zero_with_an_empty_memory(kind):
    model = network()
    optimizer = OPTIMIZERS[kind](list(model.parameters()))
    method = bogp.Method(
        "random", moves=bogp.Moves(every=2, end=0.9, schedule="one_shot", regrow=0.5)
    )
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.5, method=method, steps=STEPS)
    returned = 0
    for seed in range(STEPS):
        before = sparsifier.mask
        take_step(model, optimizer, seed)
        for name, kept in sparsifier.mask.items():
            back = kept & ~before[name]
            parameter = model.get_parameter(name)
            memory = [v for v in optimizer.state[parameter].values() if v.shape == back.shape]
            assert memory
            assert not any(value[back].any() for value in (parameter, *memory))
            returned += int(back.sum())
    assert returned > 20


def test_infinite_and_missing_gradients_of_pruned_weights_do_no_harm():
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    mask = bogp.Mask({"0.weight": torch.eye(8, 6).bool(), "2.weight": torch.eye(3, 8).bool()})
    Hold(optimizer, {name: model.get_parameter(name) for name in mask}, mask)
    loss_of(model, 0).backward()
    model[0].weight.grad[~mask["0.weight"]] = torch.inf
    model[2].weight.grad = None
    optimizer.step()
    assert torch.equal(model[0].weight != 0, mask["0.weight"])
    # Not even a sign is left: the bits of 0.0 and -0.0 differ.
    assert not model[2].weight[~mask["2.weight"]].signbit().any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_parameters_of_any_width_are_held(dtype):
    model = network().to(dtype)
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    mask = bogp.Mask({"0.weight": torch.eye(8, 6).bool()})
    Hold(optimizer, {"0.weight": model[0].weight}, mask)
    for _ in range(3):
        model(torch.ones(4, 6, dtype=dtype)).square().sum().backward()
        optimizer.step()
    assert torch.equal(model[0].weight != 0, mask["0.weight"])


def test_a_tensor_that_lies_otherwise_in_memory_is_held():
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = optim.SGD(conv.parameters(), 0.1, momentum=0.9)
    mask = bogp.Mask({"weight": torch.rand(4, 3, 3, 3, generator=torch.manual_seed(0)) < 0.3})
    Hold(optimizer, {"weight": conv.weight}, mask)
    conv(torch.ones(1, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    assert torch.equal(conv.weight != 0, mask["weight"])


def test_lbfgs_goes_along_no_direction_of_a_pruned_weight():
    """Inside its step it evaluates the loss several times: each time pruned weights are zero."""
    model = network()
    optimizer = optim.LBFGS(model.parameters(), 0.1, max_iter=4)
    moves = bogp.Moves(every=2, end=0.99)
    method = bogp.Method("magnitude", "global", moves=moves)
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.6, method=method, steps=8)
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        for name, kept in sparsifier.mask.items():
            assert not model.get_parameter(name)[~kept].any()
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        return loss

    for _ in range(8):
        optimizer.step(closure=closure)
    assert evaluations > 20
    assert sparsifier.finish().kept == 29


def test_an_averaged_copy_is_pruned_by_the_mask_and_cannot_revive_weights():
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    averaged = optim.swa_utils.AveragedModel(model)
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.5, steps=STEPS)
    for seed in range(STEPS):
        take_step(model, optimizer, seed)
        averaged.update_parameters(model)
    mask = sparsifier.mask
    assert averaged.module[0].weight[~mask["0.weight"]].any()  # it remembers earlier masks
    expected = averaged.module[0].weight.detach().clone()
    mask.apply(averaged.module)
    assert torch.equal(averaged.module[0].weight != 0, (expected != 0) & mask["0.weight"])
    for swap in (lambda p, q: p.data.copy_(q), lambda p, q: p.detach().copy_(q)):
        for parameter, other in zip(model.parameters(), network(3).parameters(), strict=True):
            swap(parameter, other)
        take_step(model, optimizer, 0)
        assert not any(model.get_parameter(n)[~kept].any() for n, kept in mask.items())
    sparsifier.finish()


def test_the_model_stays_clean_while_it_is_held():
    model = network()
    names = list(model.state_dict())
    optimizer = optim.Adam(model.parameters())
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.5, method="magnitude")
    take_step(model, optimizer, 0)
    assert list(model.state_dict()) == names
    assert [type(module) for module in model] == [nn.Linear, nn.ReLU, nn.Linear]
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module._backward_pre_hooks
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin[0].weight, model[0].weight)
        take_step(twin, optim.SGD(twin.parameters(), 0.1), 0)
        assert twin[0].weight[~sparsifier.mask["0.weight"]].any()  # a copy is free
    assert not model[0].weight[~sparsifier.mask["0.weight"]].any()

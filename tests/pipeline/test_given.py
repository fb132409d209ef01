import copy

import pytest
import torch
from torch import nn

from bogp.data import load_dataset
from bogp.errors import SettingError
from bogp.pipeline.given import GivenModel, network_factory, shared_model
from bogp.training import initialise, mlp


def make() -> nn.Module:
    return mlp([64, 4, 10])


def test_a_model_is_copied_and_never_changed() -> None:
    model = make()
    before = copy.deepcopy(model.state_dict())
    with shared_model(model) as given:
        first = given.factory()()
        with torch.no_grad():
            next(first.parameters()).zero_()
        second = given.factory()()
        assert all(torch.equal(value, before[name]) for name, value in second.state_dict().items())
        with torch.no_grad():
            next(model.parameters()).fill_(7.0)
        third = given.factory()()
        assert all(torch.equal(value, before[name]) for name, value in third.state_dict().items())
    assert not given.fresh


def test_a_function_makes_other_weights_of_each_seed() -> None:
    with shared_model(make) as given:
        assert given.fresh
        one, same, other = (initialise(given.factory(), seed) for seed in (0, 0, 1))
    weights = [next(model.parameters()) for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_fingerprint_is_that_of_modules_weights_and_what_is_frozen() -> None:
    model = initialise(make, 0)
    frozen = copy.deepcopy(model)
    next(frozen.parameters()).requires_grad_(False)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1.0
    prints = []
    for source in (model, frozen, moved, nn.Sequential(model), make):
        with shared_model(source) as given:
            prints.append(given.fingerprint)
    assert len(set(prints)) == len(prints)
    with shared_model(copy.deepcopy(model)) as given:
        assert given.fingerprint == prints[0]


def test_another_process_makes_it_from_its_bytes() -> None:
    model = initialise(make, 3)
    with shared_model(model, packed=True) as given:
        pass
    again = given.factory()()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    with shared_model(model) as alone:
        pass
    with pytest.raises(SettingError, match=r"held by another process alone: give package"):
        alone.factory()


def test_what_is_no_model_is_refused() -> None:
    class Local(nn.Linear):
        pass

    def fails() -> nn.Module:
        raise ValueError("no weights here")

    for source, packed, words in (
        (Local(2, 2), True, "Local cannot be sent to worker processes .*one worker"),
        (3, False, "the model is a int: give a torch.nn.Module"),
        (fails, False, r"failed \(ValueError: no weights here\)"),
        (dict, False, "returned a dict: return a torch.nn.Module"),
    ):
        with pytest.raises(SettingError, match=words), shared_model(source, packed=packed):  # type: ignore[arg-type]
            pass


def test_names_are_made_for_the_dataset() -> None:
    digits = load_dataset("digits")
    assert network_factory("mlp:5", digits)()(digits.test_inputs[:3]).shape == (3, 10)
    with pytest.raises(SettingError, match="held by another process alone"):
        network_factory(GivenModel("Net", "0" * 64, fresh=False), digits)

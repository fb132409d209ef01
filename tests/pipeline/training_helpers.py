"""What several files of tests train, and what they compare."""

import dataclasses

import torch
from torch import nn

import bogp
from bogp.data import Split
from bogp.pipeline import Candidate, known_candidate, prune_and_train, prune_and_train_population
from bogp.pipeline.first_mask import initial_seed
from bogp.pipeline.scoring import method_examples
from bogp.settings.search import Execution, ScreenSettings, SearchSettings
from bogp.sparsify import GRAPH, scored_mask
from bogp.training import mlp

EXECUTION = {"trainer", *(field.name for field in dataclasses.fields(Execution))}


def search(database, data, **given):
    """Search by settings and ways to carry them out, all by keyword; one study has one name."""
    how = {"name": "bogp"} | {name: given.pop(name) for name in EXECUTION & set(given)}
    return bogp.search(database, data, SearchSettings(**given), **how)


def screen(database, data, **given):
    """Screen by settings and ways to carry them out, all by keyword; one study has one name."""
    how = {"name": "bogp"} | {name: given.pop(name) for name in EXECUTION & set(given)}
    return bogp.screen(database, data, ScreenSettings(**given), **how)


def next_mask(model, mask, method, kept, seed, number, parts=None):
    """The mask of one pruning round, scored on examples of the data."""
    examples = method_examples(model, parts, method, seed)
    return scored_mask(model, mask, method, kept, seed, number, examples)


def timeless(trials):
    """Everything of trials but the time that they took."""
    return [
        (t.arm, t.number, t.point, t.value, t.second, t.stopped, {**t.record, "seconds": 0})
        for t in trials
    ]


def baseline(name, factory, parts, recipe, *, layers="hidden", sparsity=None, seed=0):
    """Train a known method alone, its mask drawn by ``seed`` too."""
    chosen = arguments(known_candidate(name, sparsity, seed))
    return prune_and_train(factory, parts, recipe, layers=layers, seed=seed, **chosen)


def arguments(candidate):
    """Return a candidate as arguments of prune_and_train, which is given the network itself."""
    assert candidate.model is None
    return {name: value for name, value in vars(candidate).items() if name != "model"}


def baseline_population(name, factory, parts, recipe, *, seeds, sparsity=None, **options):
    """Train a known method on several seeds at once."""
    candidates = [known_candidate(name, sparsity, seed) for seed in seeds]
    options = {"layers": "hidden", "keep": True} | options
    return prune_and_train_population(factory, parts, recipe, candidates, seeds=seeds, **options)


def candidates(supports, sparsity, mask_seeds, method=GRAPH):
    """One candidate a support; the method is that of all."""
    pairs = zip(supports, mask_seeds, strict=True)
    return [Candidate(support, method, sparsity, seed) for support, seed in pairs]


def double_mlp():
    """A perceptron of the toy problem, in double precision."""
    return mlp([20, 16, 4]).double()


class Bomb(nn.Module):
    """A network whose training overflows if its weights are of a seed's own."""

    def __init__(self, seed):
        super().__init__()
        self.layers = double_mlp()
        if torch.initial_seed() == initial_seed(seed):
            with torch.no_grad():
                self.layers[1].weight.mul_(1e200)
                self.layers[3].weight.mul_(1e200)

    def forward(self, inputs):
        return self.layers(inputs)


def epochs(results):
    """Epochs of all candidates together."""
    return sum(one.epochs for one in results)


def comparable(results):
    """Results without the time that they took, which no two runs share; weights as bits."""
    return [
        dataclasses.replace(
            one,
            seconds=0.0,
            weights=one.weights
            and {name: value.numpy().tobytes() for name, value in one.weights.items()},
        )
        for one in results
    ]


def in_double(parts):
    """The same data in double precision, in which sums in another order agree to 1e-10."""
    names = ("train_inputs", "select_inputs", "report_inputs")
    return dataclasses.replace(parts, **{name: getattr(parts, name).double() for name in names})


def split_of(inputs, targets):
    """A split whose three parts are the same."""
    return Split(inputs, targets, inputs, targets, inputs, targets, protocol="holdout")


def assert_weights_close(result, model, atol=1e-10):
    """Check that the weights of a result are those of a network, up to rounding."""
    state = model.state_dict()
    assert result.weights.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(result.weights[name], value, rtol=0, atol=atol)

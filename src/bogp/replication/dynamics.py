"""Masks that move while they train: the jobs that compare them with every other way to be sparse.

All rows of a table train for the same number of epochs: methods of several trainings divide them.
One seed is one network: weights, mini-batches, mask, graph and the order of shuffled pixels are
derived from it. The validation split (protocol ``holdout``) chooses, the test set reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bogp.masks import Granularity, choose_layers
from bogp.pipeline import narrower_for_sparsity
from bogp.replication.jobs import Job
from bogp.replication.models import SMALL
from bogp.replication.one_training import training_job
from bogp.replication.setup import Entry, Inputs, Setup
from bogp.sparsify import NARROWER, Method, Moves, pruning_method
from bogp.sparsity import kept_count
from bogp.training import Recipe, initialise, model_factory, narrower

SPARSITIES = (0.8, 0.9, 0.95, 0.98)

PERCEPTRON = Entry(
    "MLP 784-512-512-10",
    "mlp:512,512",
    "mnist",
    Recipe(learning_rate=2e-3, batch_size=128, epochs=4, schedule="one_cycle"),
)
ENTRIES = (
    PERCEPTRON,
    Entry("ResNet-8", "resnet-8", "digits", SMALL),
    Entry("ViT", "vit", "digits", SMALL),
)
"""The perceptron, whose data shuffled pixels and supports are about, and two of the zoo."""

EXAMPLES = 30_000
"""The training images of the perceptron: 940 steps in 4 epochs."""

EVERY = 20
"""Steps from one move of a mask to the next, RigL's among them, whose own 100 would be 7 moves."""

LONGER = 3
"""How many times the recipe's epochs the longer training has."""

WIDTHS = (79, 110, 140, 200)
"""Widths of the narrower perceptrons of equal widths: 0.10, 0.15, 0.2 and 0.3 of the weights."""

DENSE, CHANNELS, WITHIN = "dense", "gradual channels", "gradual inside a graph"
ALIKE = ", every layer alike"
"""Ends the names of rows in which each layer keeps the same density, instead of one ranking."""

BLOCKS = {f"gradual blocks {width}{scope}": width for scope in ("", ALIKE) for width in (8, 16, 32)}
EQUAL_ARITHMETIC = "narrower, equal multiply-adds"
UNIFORM = f"gradual{ALIKE}"
"""Of the zoo alone, where ranking the weights of all layers together can empty a layer."""


@dataclass(frozen=True)
class Kind:
    """A kind of graph that bounds where a mask may move: its name, its family and parameters."""

    label: str
    family: str
    parameters: Mapping[str, float]


KINDS = {
    kind.label: kind
    for kind in (
        Kind("ring", "ring_lattice", {}),
        Kind("WS 0.1", "ws_flex", {"p": 0.1}),
        Kind("WS 0.3", "ws_flex", {"p": 0.3}),
        Kind("WS 0.6", "ws_flex", {"p": 0.6}),
        Kind("ER", "uniform", {}),
        Kind("BA", "barabasi_albert", {}),
        Kind("regular", "random_regular", {}),
        Kind("modular", "stochastic_block", {}),
    )
}

LOCAL = ("ring", "WS 0.1", "WS 0.3")
"""The kinds of which more densities are trained, and which the controls have at two sparsities."""

ZOO_KINDS = ("ring", "WS 0.3", "ER")

Place = tuple[str, float, float]
"""The kind of a support, its density, and the sparsity of the mask inside it."""


def dynamics_setup(setup: Setup, quick: bool) -> Setup:
    """Return a replication's set-up with the networks and sparsities of this comparison."""
    if not quick:
        return replace(
            setup, entries=ENTRIES, sparsities=SPARSITIES, database_sparsities=SPARSITIES
        )
    small = Recipe(learning_rate=3e-3, batch_size=128, epochs=4, schedule="one_cycle")
    entries = (
        Entry("MLP 64-64-64-10", "mlp:64,64", "digits", small),
        Entry("ViT", "vit", "digits", small),
    )
    return replace(
        setup,
        seeds=1,
        entries=entries,
        sparsities=(0.9,),
        database_sparsities=SPARSITIES,
    )


def gradual(scope: str = "global", **granularity: Any) -> Method:
    """Return gradual magnitude pruning, of weights, blocks or channels."""
    moves = Moves(every=EVERY)
    return Method("magnitude", scope, moves=moves, granularity=Granularity(**granularity))


def treatments(epochs: int) -> dict[str, Method]:
    """Return the methods that are compared at equal epochs, by the names of their rows."""
    rigl = pruning_method("rigl")
    assert rigl.moves is not None
    most = max(count for count in range(2, 6) if epochs % count == 0)
    return {
        "gradual": gradual(),
        **{
            name: gradual(
                "uniform" if name.endswith(ALIKE) else "global", kind="block", block=width
            )
            for name, width in BLOCKS.items()
        },
        CHANNELS: gradual("uniform", kind="channel"),
        UNIFORM: gradual("uniform"),
        "SNIP": pruning_method("snip"),
        "random": pruning_method("random"),
        "random, ERK": pruning_method("erk"),
        "SynFlow": pruning_method("synflow"),
        "SET": pruning_method("set"),
        "RigL": replace(rigl, moves=replace(rigl.moves, every=EVERY)),
        "magnitude, several rounds": Method("magnitude", "global", rounds=most),
        "lottery ticket": Method(
            "magnitude", "global", rounds=most - 1, rewind=True, pretrain=True
        ),
    }


def dynamics_jobs(setup: Setup, inputs: Inputs) -> list[Job]:
    """Return the jobs of the comparison, those that the claims rest on first."""
    found = (
        job
        for ask in (_goals, _widths, _longer, _rows, _supports, _controls, _zoo)
        for cell in ask(setup, inputs)
        for job in (cell(seed=seed) for seed in range(setup.seeds))
    )
    return list({job.key: job for job in found}.values())


Cell = partial[Job]
"""What gives the job of a seed."""


def _goals(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    high = [sparsity for sparsity in setup.sparsities if sparsity > min(SPARSITIES)]
    names = ("gradual", *BLOCKS, "SNIP")
    entry = setup.entries[0]
    yield _dense(inputs, entry)
    for sparsity in high:
        yield from _methods(inputs, entry, sparsity, names)
        yield _narrower(inputs, entry, sparsity)
        yield from _within(inputs, entry, [p for p in _places([sparsity]) if p[0] in LOCAL])


def _widths(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    """Give gradual channels beside the dense networks of the widths that they end with."""
    entry = setup.entries[0]
    for sparsity, network in equal_widths(entry, inputs).items():
        yield from _methods(inputs, entry, sparsity, [CHANNELS])
        shared = {"layers": "all", "sparsity": sparsity, "network": network}
        yield _cell(inputs, entry, name=NARROWER, **shared)


def equal_widths(entry: Entry, inputs: Inputs) -> dict[float, str]:
    """Return, for the sparsity of channels that gives it, the perceptron of equal widths."""
    data, most = inputs.datasets[entry.data], int(entry.model.rsplit(",", 1)[1])

    def weights(width: int) -> int:
        return width * (data.features + width + data.classes)

    widths = WIDTHS if entry is PERCEPTRON else (most // 4,)
    return {1.0 - weights(h) / weights(most): f"mlp:{h},{h}" for h in widths}


def _longer(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    entry = setup.entries[0]
    epochs = LONGER * entry.recipe.epochs
    yield _dense(inputs, entry, epochs=epochs)
    for sparsity in (s for s in setup.sparsities if s in (0.9, 0.95)):
        yield from _methods(inputs, entry, sparsity, ["gradual"], epochs=epochs)
        places = [(*each, sparsity) for each in longer_supports()]
        yield from _within(inputs, entry, places, epochs=epochs)


def longer_supports() -> list[tuple[str, float]]:
    """Return kind and density of the supports of the longer training."""
    return [("ring", 0.25), ("ring", 0.4), ("WS 0.1", 0.25)]


def _rows(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    entry = setup.entries[0]
    names = [name for name in treatments(entry.recipe.epochs) if name != UNIFORM]
    for sparsity in setup.sparsities:
        yield from _methods(inputs, entry, sparsity, names)
        yield _narrower(inputs, entry, sparsity)
        yield _narrower(inputs, entry, sparsity, arithmetic=True)


def _supports(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    yield from _within(inputs, setup.entries[0], _places(setup.sparsities))


def _places(sparsities: Sequence[float]) -> list[Place]:
    """Return the supports of the perceptron: kind, density, sparsity."""
    found: list[Place] = []
    for s in sparsities:
        found += [(kind, 0.25, s) for kind in (KINDS if s > 0.8 else LOCAL)]
        if s > 0.8:
            found += [(kind, 0.4, s) for kind in LOCAL]
        if s in (0.9, 0.95):
            found += [(kind, d, s) for kind in ("ring", "WS 0.3") for d in (0.12, 0.5)]
    return found


def _controls(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    entry = setup.entries[0]
    for sparsity in (s for s in setup.sparsities if s in (0.95, 0.9)):
        yield from _methods(inputs, entry, sparsity, ["gradual"], shuffled=True)
        kinds = KINDS if sparsity == 0.95 else ("ring",)
        places: list[Place] = [(kind, 0.25, sparsity) for kind in kinds]
        places.append(("ring", 0.4, sparsity))
        yield from _within(inputs, entry, places, shuffled=True)


def _zoo(setup: Setup, inputs: Inputs) -> Iterator[Cell]:
    for entry in setup.entries[1:]:
        yield _dense(inputs, entry)
        for sparsity in setup.sparsities:
            names = [n for n in treatments(entry.recipe.epochs) if n not in list(BLOCKS)[1:]]
            yield from _methods(inputs, entry, sparsity, names)
            yield _narrower(inputs, entry, sparsity)
            yield from _within(inputs, entry, [(kind, 0.25, sparsity) for kind in ZOO_KINDS])


def _methods(
    inputs: Inputs,
    entry: Entry,
    sparsity: float,
    names: Sequence[str],
    **settings: Any,
) -> Iterator[Cell]:
    known = treatments(settings.get("epochs") or entry.recipe.epochs)
    for name in names:
        layers = layers_of(entry, name)
        shared = {"name": name, "method": known[name], "layers": layers, "sparsity": sparsity}
        yield _cell(inputs, entry, **shared, **settings)


def layers_of(entry: Entry, name: str = "") -> str:
    """Return which layers a row prunes: a perceptron's hidden ones, but its channels need all."""
    perceptron = entry.model.startswith("mlp")
    return "hidden" if perceptron and name != CHANNELS else "all"


def _within(
    inputs: Inputs, entry: Entry, places: Sequence[Place], **settings: Any
) -> Iterator[Cell]:
    """Give gradual magnitude pruning inside supports."""
    for kind, density, sparsity in places:
        support = support_of(entry, kind, density)
        shared = {"layers": layers_of(entry), "sparsity": sparsity, "support": support}
        yield _cell(inputs, entry, name=WITHIN, method=gradual(), **shared, **settings)


def support_of(entry: Entry, kind: str, density: float) -> dict[str, Any]:
    """Return a support as the records have it."""
    return {
        "kind": kind,
        "family": KINDS[kind].family,
        "parameters": dict(KINDS[kind].parameters),
        "nodes": 64 if entry is PERCEPTRON else 16,  # the zoo's narrowest layers have 16
        "density": density,
    }


def _dense(inputs: Inputs, entry: Entry, **settings: Any) -> Cell:
    return _cell(inputs, entry, name=DENSE, layers=layers_of(entry), **settings)


def _narrower(inputs: Inputs, entry: Entry, sparsity: float, arithmetic: bool = False) -> Cell:
    """Give the narrower network of equal weights, or of equal multiply-adds."""
    data, layers = inputs.datasets[entry.data], layers_of(entry)
    if arithmetic:
        # A perceptron uses each weight once an example, those of its last layer too.
        dense = initialise(model_factory(entry.model, data.shape, data.classes), 0)
        every, pruned = (
            sum(dense.get_parameter(name).numel() for name in choose_layers(dense, which))
            for which in ("all", layers)
        )
        needed = every - pruned + kept_count(pruned, sparsity)
        found = narrower(entry.model, data.train_inputs, data.classes, multiply_adds=needed)
    else:
        found = narrower_for_sparsity(entry.model, data, layers, sparsity)
    name = EQUAL_ARITHMETIC if arithmetic else NARROWER
    return _cell(inputs, entry, name=name, layers=layers, sparsity=sparsity, network=found.spec)


def _cell(inputs: Inputs, entry: Entry, **settings: Any) -> Cell:
    mnist = entry.data == PERCEPTRON.data
    return partial(training_job, inputs, entry, examples=EXAMPLES if mnist else None, **settings)

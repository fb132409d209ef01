"""The settings of a search and of a screening, each declared once.

Nothing here needs torch: the names that a setting may have are looked up when there is one to
check.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from bogp.errors import SettingError
from bogp.settings import Option, Several, checked_by, declared, named_in, settings
from bogp.sparsity import check_sparsity
from bogp.types import Progress

POOL = "Engine pool"
PAPER = "Engines paper and random"

Sparsity = Annotated[float, AfterValidator(check_sparsity)]
OnTrial = Callable[[Any], None]
"""Called with each :class:`bogp.study.FinishedTrial`."""

Criteria = Annotated[
    Several[Annotated[Any, checked_by("bogp.criteria:criterion", keep=True)]],
    Field(
        description="What picks the kept weights inside a graph, of those that `bogp list "
        "criteria` names; a search chooses among all that are given, by default all there are."
    ),
    Option(("--criterion",), metavar="NAME"),
]
Rounds = Annotated[
    Several[Annotated[int, Field(ge=1)]],
    Field(
        min_length=1,
        description="Numbers of pruning rounds that a search chooses among; each round prunes, "
        "then trains for a whole recipe.",
    ),
    Option(("--rounds",)),
]
GraphPer = Annotated[
    Literal["model", "stage", "layer"],
    Field(
        description="Which layers have one graph in common: those of the model, of a stage, or of "
        "one layer alone. A candidate's graphs are of one kind, and its properties are those of "
        "the graph of the group with the most weights."
    ),
]
Nodes = Annotated[
    int | None,
    Field(
        ge=2,
        description="Nodes of the graphs; by default what the layers that hold most weights can "
        "carry, up to 64.",
    ),
]
Rungs = Annotated[
    Annotated[
        Several[Annotated[int, Field(ge=0)]],
        AfterValidator(lambda found: () if found == (0,) else found),
    ]
    | None,
    Field(
        description="Epochs after which only the better part of a population goes on; 0 for "
        "never. By default one rung after a third of the recipe's epochs."
    ),
    Option(("--rung",), POOL),
]
Survivors = Annotated[
    float, Field(gt=0, lt=1, description="Share of a population that goes on at a rung.")
]
Trials = Annotated[
    int,
    Field(
        ge=1,
        description="Trainings of the search, those already in the study counted; random search "
        "gets as many. A finished study goes on where more are asked for.",
    ),
    Option(("--trials", "-n")),
]
FinalSeeds = Annotated[
    int, Field(ge=0, description="Fresh seeds on which the winner is trained and measured.")
]


@settings
class TrainingSettings:
    """What every training of a search shares."""

    model: Annotated[
        Any,
        Field(
            description="A name (`bogp list models`): mlp:128 is one hidden layer of 128; or "
            "package.module:function, which makes a model of yours."
        ),
    ] = "mlp:128"
    layers: Annotated[
        str | Several[str],
        Field(
            description="Which weights are pruned: all, hidden (all but the last layer's), or "
            "names of parameters."
        ),
    ] = "all"
    recipe: Annotated[
        Any,
        checked_by("bogp.training:recipe"),
        Field(
            description="Training of each pruning round. calibrated reaches the dense accuracy of "
            "the paper's table 1 in 3 epochs; written is the paper's text, 50 epochs of the whole "
            "training set at once; or a .toml file, or a bogp.Recipe."
        ),
    ] = "calibrated"
    protocol: Annotated[
        str,
        named_in("protocol", "bogp.data:PROTOCOLS"),
        Field(
            description="holdout selects on a part of the training set and opens the test set "
            "once, for the winner; paper selects and reports on the test set, as the paper did."
        ),
    ] = "holdout"
    device: Annotated[
        str,
        checked_by("bogp.data:usable_device"),
        Field(
            description="Where torch trains: cpu, cuda, mps. It changes results by rounding; the "
            "compiled kernels are the CPU's alone."
        ),
    ] = "cpu"
    seed: Annotated[int, Field(description="Master seed: the same seed gives the same result.")] = 0


@settings
class SearchSettings(TrainingSettings):
    """Every choice of a search that can change its result, and how long it goes on."""

    engine: Annotated[
        Literal["pool", "paper", "random"],
        Field(
            description="pool chooses among graphs, support densities and criteria by a Gaussian "
            "process; paper is the paper's optimisation of properties; random draws graphs."
        ),
        Option(("--engine", "-e")),
    ] = "pool"
    sparsity: Annotated[
        Sparsity | None,
        Field(description="Maximise the accuracy at this sparsity."),
        Option(("--sparsity", "-s")),
    ] = None
    alpha: Annotated[
        float | None,
        Field(
            allow_inf_nan=False,
            description="Instead of a sparsity: maximise accuracy + alpha * sparsity (the paper's "
            "f2).",
        ),
        Option(("--alpha", "-a")),
    ] = None
    trials: Trials = 24
    final_seeds: FinalSeeds = 3
    properties: Annotated[
        Several[str],
        Field(
            description="Properties to search by. By default engine pool sees those of the "
            "database that differ at a fixed number of edges, and the others the paper's five."
        ),
        Option(("--property", "-p"), metavar="NAME"),
    ] = ()
    pareto: Annotated[
        bool,
        Field(
            description="Instead of a sparsity: find the whole front of accuracy against sparsity."
        ),
        Option(("--pareto",), POOL),
    ] = False
    sparsities: Annotated[
        Several[Sparsity],
        Field(
            description="Sparsities of the masks with alpha or pareto; by default those of the "
            "database."
        ),
        Option(("--at",), POOL),
    ] = ()
    criteria: Annotated[Criteria, Option(("--criterion",), POOL, "NAME")] = ()
    rounds: Annotated[Rounds, Option(("--rounds",), POOL)] = (1,)
    pool: Annotated[
        int,
        Field(ge=1, description="About how many candidates the search chooses from."),
        Option((), POOL),
    ] = 5000
    batch: Annotated[
        int,
        Field(
            ge=1,
            description="Trials asked at one time. The result depends on it, and not on the "
            "number of workers.",
        ),
        Option((), POOL),
    ] = 16
    population: Annotated[
        int,
        Field(ge=1, description="Trials trained together, at most; rungs compare them."),
        Option((), POOL),
    ] = 16
    replicate_share: Annotated[
        float,
        Field(
            ge=0, lt=1, description="Share of a batch that trains leading candidates on a new seed."
        ),
        Option((), POOL),
    ] = 0.25
    rungs: Rungs = None
    survivors: Annotated[Survivors, Option((), POOL)] = 0.5
    acquisition: Annotated[
        str,
        named_in("acquisition", "bogp.engines:POOL_ACQUISITIONS"),
        Field(description="How the next candidates are chosen: `bogp list acquisitions`."),
        Option((), POOL),
    ] = "qlognei"
    random_search: Annotated[
        bool,
        Field(description="Give random search as much training, so that its winner stands beside."),
        Option((), POOL),
    ] = True
    asynchronous: Annotated[
        bool,
        Field(
            description="Ask for a population as soon as a worker is free, and not for a batch "
            "when the last one has ended. Workers are kept busy, and the result depends on which "
            "of them is faster."
        ),
        Option((), POOL),
    ] = False
    graph_per: Annotated[GraphPer, Option((), POOL)] = "model"
    nodes: Annotated[Nodes, Option((), POOL)] = None
    first_batch: Annotated[
        Literal["mixed", "known"],
        Field(
            description="mixed begins with known methods as three quarters of the first batch; "
            "known with one of each criterion, ranked over all layers together."
        ),
        Option((), POOL),
    ] = "mixed"
    metric: Annotated[
        str,
        named_in("metric", "bogp.database:METRICS"),
        Field(description="What the nearest graph is: cosine, l1 or l2."),
        Option((), PAPER),
    ] = "cosine"
    scale: Annotated[
        str,
        named_in("scale", "bogp.database:SCALES"),
        Field(description="Whether raw or standardised property vectors are compared."),
        Option((), PAPER),
    ] = "raw"
    fetch: Annotated[
        str,
        Field(
            description="nearest trains the nearest graph of the database; synthesize first "
            "changes it by edge swaps towards the proposed properties."
        ),
        Option((), PAPER),
    ] = "nearest"
    kappa: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Weight of the uncertainty in the upper confidence bound.",
        ),
        Option((), PAPER),
    ] = 5.0

    def __post_init__(self) -> None:
        goals = (self.sparsity is not None) + (self.alpha is not None) + self.pareto
        if goals != 1:
            raise SettingError(
                "give one of a sparsity (maximise accuracy there), an alpha (maximise accuracy + "
                f"alpha * sparsity) and pareto (the whole trade-off): {goals} are given"
            )
        if self.sparsities and self.sparsity is not None:
            raise SettingError(
                "sparsities go with alpha or pareto: a sparsity alone is the only one"
            )
        self._check_engine()
        if self.pareto and self.acquisition in ("ucb", "thompson"):
            raise SettingError(
                f"acquisition {self.acquisition!r} looks for one winner: with pareto leave it out, "
                "which takes the expected improvement of the hypervolume, or give random"
            )
        _check_rungs(self.rung_epochs, self.recipe.epochs)

    def _check_engine(self) -> None:
        """Refuse a setting that the engine would not look at."""
        for name in self.foreign:
            if getattr(self, name) != getattr(type(self), name):
                raise SettingError(
                    f"{name} = {getattr(self, name)!r}: engine {self.engine!r} has no such "
                    "setting: leave it out"
                )

    @property
    def foreign(self) -> tuple[str, ...]:
        """Names of the settings that the engine does not look at."""
        panel = PAPER if self.engine == "pool" else POOL
        return tuple(one.name for one in declared(type(self)) if one.option.panel == panel)

    @property
    def rung_epochs(self) -> tuple[int, ...]:
        """The rungs, those of None worked out."""
        if self.rungs is not None:
            return self.rungs
        epochs: int = self.recipe.epochs
        return (max(1, epochs // 3),) if epochs > 1 and self.engine == "pool" else ()

    @property
    def asked_together(self) -> int:
        """Trials that are asked at one time."""
        return min(self.batch, self.population) if self.asynchronous else self.batch


@settings
class ScreenSettings(TrainingSettings):
    """Every choice of a screening that can change its result."""

    sparsity: Annotated[
        Sparsity,
        Field(description="Sparsity of the graphs that are screened."),
        Option(("--sparsity", "-s")),
    ]
    graphs: Annotated[
        int | None,
        Field(ge=1, description="Graphs to train, drawn at random; None takes them all."),
        Option(("--graphs", "-g")),
    ] = 64
    population: Annotated[
        int, Field(ge=1, description="Graphs trained together and compared with each other.")
    ] = 16
    rungs: Annotated[
        Several[Annotated[int, Field(ge=1)]],
        AfterValidator(lambda found: tuple(sorted(set(found)))),
        Field(
            description="Epochs after which only the best of a population go on; without any, "
            "every graph is trained to its end."
        ),
        Option(("--rung",)),
    ] = ()
    survivors: Survivors = 0.5

    def __post_init__(self) -> None:
        _check_rungs(self.rungs, self.recipe.epochs)


@settings
class Execution:
    """How a search is carried out: nothing of it changes a result."""

    study: Annotated[
        str | os.PathLike[str] | None,
        Field(
            description="Where the study is kept, so that a killed search goes on: a file, or the "
            "URL of an Optuna storage. None keeps it in memory."
        ),
        Option(metavar="FILE|URL"),
    ] = None
    name: Annotated[
        str | None,
        Field(
            description="Name of the study: a storage may hold several. None names it by the key "
            "of its settings, so that other settings find another study."
        ),
    ] = None
    workers: Annotated[
        int,
        Field(
            ge=1,
            description="Processes that train; 1 trains in this one, on all its cores. Results do "
            "not depend on it.",
        ),
        Option(("--workers", "-w")),
    ] = 1
    executor: Annotated[
        Executor | None,
        Field(description="Train there instead: any concurrent.futures.Executor, a Dask client's."),
        Option(hidden=True),
    ] = None
    retries: Annotated[
        int,
        Field(ge=0, description="How often a trial is tried again after a kill or a lost worker."),
    ] = 2
    progress: Annotated[
        Progress | None,
        Field(description="Called with (trainings done, trainings in all)."),
        Option(hidden=True),
    ] = None
    on_trial: Annotated[
        OnTrial | None, Field(description="Called with each trial as it ends."), Option(hidden=True)
    ] = None


def _check_rungs(rungs: tuple[int, ...], epochs: int) -> None:
    if list(rungs) != sorted(set(rungs)) or 0 in rungs:
        raise SettingError(f"rungs {rungs} are not ascending epochs: give (1, 2) say")
    if rungs and rungs[-1] >= epochs:
        raise SettingError(
            f"a rung after {rungs[-1]} of {epochs} epochs stops nothing early: "
            "give rungs before the recipe's end, or none"
        )

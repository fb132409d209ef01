"""The settings of :func:`bogp.prune`, each declared once."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bogp.errors import SettingError
from bogp.settings import Option, Several, checked_by, settings
from bogp.settings.method import REMOVED, MethodSettings
from bogp.settings.search import (
    Criteria,
    FinalSeeds,
    GraphPer,
    Nodes,
    Rounds,
    SearchSettings,
    Sparsity,
    Trials,
)

Patterns = Several[str] | None


@settings
class PruneSettings(MethodSettings):
    """Every choice of :func:`bogp.prune`."""

    sparsity: Annotated[Sparsity, REMOVED, Option(("--sparsity", "-s"))] = 0.9
    trials: Trials = SearchSettings.trials
    recipe: Annotated[
        Any,
        checked_by("bogp.training:recipe"),
        Field(
            description="Training of each pruning round: a name (`bogp list recipes`), a .toml "
            "file or a bogp.Recipe. By default about 1,500 steps of Adam with a one-cycle rate."
        ),
    ] = None
    layers: Annotated[
        str | Several[str],
        Field(
            description="Which weights to prune: all, hidden (all but the last layer's), or names "
            "of parameters; what follows chooses among these."
        ),
    ] = SearchSettings.layers
    types: Annotated[
        Patterns,
        Field(description="Kinds of layers to prune: linear, conv2d, attention ..."),
        Option(("--type",)),
    ] = None
    include: Annotated[
        Patterns, Field(description="Shell patterns of names to prune, 'blocks.*' say.")
    ] = None
    exclude: Annotated[Patterns, Field(description="Shell patterns of names to leave alone.")] = (
        None
    )
    skip_first: Annotated[
        bool, Field(description="Leave the model's first layer alone."), Option(("--skip-first",))
    ] = False
    skip_last: Annotated[
        bool, Field(description="Leave the model's last layer alone."), Option(("--skip-last",))
    ] = False
    graph_per: GraphPer = SearchSettings.graph_per
    nodes: Nodes = SearchSettings.nodes
    criteria: Criteria = SearchSettings.criteria
    rounds: Rounds = SearchSettings.rounds
    final_seeds: Annotated[
        FinalSeeds,
        Field(
            ge=1,
            description="Fresh seeds on which the winner and what stands beside it are trained.",
        ),
    ] = SearchSettings.final_seeds
    controls: Annotated[
        bool,
        Field(
            description="Train random search and the controls too: evidence that it is the wiring "
            "and the criterion, and more than twice the training."
        ),
    ] = True
    device: Annotated[str, Field(description="Where torch trains: cpu, cuda, mps.")] = (
        SearchSettings.device
    )
    seed: Annotated[
        int,
        Field(
            description="Master seed of everything that is drawn, but for what is held out and put "
            "by, which is the same for all seeds."
        ),
    ] = SearchSettings.seed

    def __post_init__(self) -> None:
        if self.method is None:
            self.check_without("a search")
            return
        for name in ("trials", "criteria", "rounds", "graph_per", "nodes"):
            value = getattr(self, name)
            if value != getattr(type(self), name):
                raise SettingError(
                    f"{name} = {value!r} is of a search, and a method is given, which is none: "
                    "leave out one of the two (a bogp.Method has rounds, scope and schedule of its "
                    "own)"
                )

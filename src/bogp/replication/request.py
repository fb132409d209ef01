"""What ``bogp reproduce`` can be asked for; this module imports nothing that trains."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

from pydantic import Field

from bogp.settings import Option, Several, checked_by, named_in, settings

METHODS, MODELS, DYNAMICS = "methods", "models", "dynamics"
"""What the comparisons are called."""

WITH_OWN_DATA = (MODELS, DYNAMICS)
"""Those that have networks, data and recipes of their own."""


@settings
class ReproduceSettings:
    """What is to be reproduced, and where."""

    what: Annotated[
        str,
        named_in("part", "bogp.replication.replications:REPLICATIONS"),
        Field(description="A table or figure of the paper, all of it, or a comparison."),
    ] = "all"
    out: Annotated[
        str | os.PathLike[str], Field(description="Folder of records, tables and figures.")
    ] = "replication"
    data: Annotated[str, Field(description="The dataset; models and dynamics have their own.")] = (
        "mnist"
    )
    seeds: Annotated[int, Field(ge=1, description="Repetitions of everything.")] = 5
    quick: Annotated[
        bool,
        Field(description="A few minutes, small: a check, not evidence."),
        Option(("--quick",)),
    ] = False
    recipe: Annotated[
        str,
        checked_by("bogp.training:recipe", keep=True),
        Field(description="Training of each pruning round: `bogp list recipes`."),
    ] = "calibrated"
    sparsities: Annotated[
        Several[float],
        Field(description="Columns of table 1, methods or dynamics; by default all of them."),
        Option(("--sparsity", "-s")),
    ] = ()
    layers: Annotated[
        Several[str],
        Field(description="Readings of table 1 or methods, hidden or all; by default both."),
    ] = ()
    trials: Annotated[
        int | None,
        Field(ge=1, description="Of each search of methods (by default 64) or models (16)."),
        Option(("--trials", "-n")),
    ] = None
    workers: Annotated[
        int,
        Field(ge=1, description="Processes; results do not depend on it."),
        Option(("--workers", "-w")),
    ] = 2

    @property
    def command(self) -> str:
        """The command that makes all of it again."""
        words = ["bogp", "reproduce", self.what, "--seeds", str(self.seeds)]
        words += [] if self.what in WITH_OWN_DATA else ["--recipe", self.recipe]
        words += ["--quick"] if self.quick else []
        words += [word for s in self.sparsities for word in ("--sparsity", f"{s:g}")]
        words += [word for reading in self.layers for word in ("--layers", reading)]
        words += [] if self.trials is None else ["--trials", str(self.trials)]
        words += [] if self.data == "mnist" else ["--data", self.data]
        return shlex.join([*words, "--out", str(self.out)])

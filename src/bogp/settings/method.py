"""The settings of one method: what it keeps together, where, and when its mask moves."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bogp.errors import SettingError
from bogp.settings import Option, checked_by, declared, settings
from bogp.settings.search import Sparsity

MASK = "The mask of one method"

REMOVED = Field(description="Share of the weights of the chosen layers to remove.")


@settings
class MethodSettings:
    """Which method prunes, to what sparsity, and what it does otherwise than its name says."""

    sparsity: Annotated[Sparsity | None, REMOVED, Option(("--sparsity", "-s"))] = None
    method: Annotated[
        Any,
        checked_by("bogp.sparsify:pruning_method"),
        Field(
            description="Prune by one method instead of a search: a name (`bogp list methods`) or "
            "a bogp.Method."
        ),
        Option(("--method", "-m")),
    ] = None
    granularity: Annotated[
        Any,
        Field(
            description="What is kept or pruned together: weight, block (all weights between two "
            "groups of channels) or channel, or a bogp.Granularity. By default the method's own, "
            "which is weight of all that have a name."
        ),
        Option((), MASK),
    ] = None
    block: Annotated[
        int | None,
        Field(ge=1, description="Channels of a group, of blocks; by default 32."),
        Option((), MASK),
    ] = None
    support: Annotated[
        Any,
        checked_by("bogp.sparsify:find_support"),
        Field(
            description="Where weights may be kept: a graph for all layers that are wide enough, "
            "ring_lattice:nodes=64,density=0.25 say (a name of `bogp list families` and its "
            "parameters), which each seed draws anew; a file with a mask; or one for a layer "
            "alone, first=... or LAYER=..., given several times. In Python a graph, a mask or a "
            "mapping of layers too."
        ),
        Option(metavar="TEXT", panel=MASK, kind=list[str]),
    ] = None
    begin: Annotated[
        Any,
        Field(
            description="When a mask that moves begins to: a step (100) or a share of all steps "
            "(0.1). By default the method's own."
        ),
        Option((), MASK, "TIME"),
    ] = None
    end: Annotated[
        Any,
        Field(description="When it has moved for the last time: a step or a share of all steps."),
        Option((), MASK, "TIME"),
    ] = None
    every: Annotated[
        int | None, Field(ge=1, description="Steps from one move to the next."), Option((), MASK)
    ] = None

    @property
    def changes(self) -> dict[str, Any]:
        """What is given of how the method differs from what its name says, but for the support."""
        names = ("granularity", "block", "begin", "end", "every")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def check_without(self, what: str) -> None:
        """Raise SettingError if there is more than a sparsity, where nothing prunes by a method.

        ``what`` is said of it, ``"a search"`` say.
        """
        for one in declared(MethodSettings):
            if one.option.panel == MASK and (value := getattr(self, one.name)) is not None:
                shown = "support" if one.name == "support" else f"{one.name} = {value!r}"
                raise SettingError(
                    f"{shown} is of a method that prunes, and {what} is none: give a method too, "
                    "gradual say, or leave it out"
                )

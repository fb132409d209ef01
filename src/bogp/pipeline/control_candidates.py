"""The controls of a winner as candidates: each takes one thing away from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bogp.controls import CONTROLS, Change, Drawn, Winner, differing_share
from bogp.criteria import criterion
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline.candidate import Candidate
from bogp.pipeline.first_mask import initial_seed
from bogp.pipeline.sharing import one_graph
from bogp.sparsify import GRAPH, Method, drawn_support, inverted, support_mask
from bogp.training import ModelFactory, initialise

Seeded = tuple[Candidate, int]


@dataclass(frozen=True)
class ControlMaker:
    """Makes the controls of a winner, and says what each has changed.

    Attributes:
        factory: makes the network.
        fixed_weights: whether each seed begins from the same weights, those of a network that was
            given.
    """

    factory: ModelFactory
    fixed_weights: bool = False

    def make(
        self, winner: Candidate, mask: Mask, seed: int
    ) -> tuple[dict[str, Seeded], dict[str, str]]:
        """Return the controls, each with its seed, and those that do not apply with the reason.

        Args:
            winner: how its mask is made.
            mask: its mask.
            seed: seed of its initial weights.
        """
        support = drawn_support(winner.support, tuple(mask), winner.mask_seed)
        known = Winner(
            mask=mask,
            support=support,
            available=support_mask(support, initialise(self.factory, 0), tuple(mask)),
            graph=one_graph(support),
            criterion=criterion(winner.method.criterion).name,
            fixed_weights=self.fixed_weights,
            not_inverted=_why_not_inverted(winner.method),
        )
        made: dict[str, Seeded] = {}
        left_out: dict[str, str] = {}
        for name, control in CONTROLS.items():
            if (reason := control.why_not(known)) is not None:
                left_out[name] = reason
                continue
            drawn = control.draw(known, derive_seed(seed, "control"))
            other = derive_seed(seed, "other weights")
            changed = _changed(winner, drawn, mask.sparsity)
            made[name] = changed, other if drawn.other_weights else seed
        return made, left_out

    def change(
        self, name: str, winner: Seeded, control: Seeded, before: Mask, after: Mask
    ) -> Change:
        """Return what a control did to the winner's mask, graph and initial weights."""
        graphs, differing = None, 0.0
        first, second = (
            one_graph(drawn_support(each.support, tuple(before), each.mask_seed))
            for each in (winner[0], control[0])
        )
        if first is not None and second is not None:
            graphs = first, second
        if control[1] != winner[1]:
            own, other = (
                initialise(self.factory, initial_seed(each[1])).state_dict()
                for each in (winner, control)
            )
            differing = differing_share(before, own, other)
        return CONTROLS[name].change(before, after, graphs=graphs, weights_changed=differing)


def _why_not_inverted(method: Method) -> str | None:
    """Return why a method that ranks inverted scores would say nothing, or None."""
    if method.moves is not None and method.moves.regrows:
        return "what the mask drops and grows decides it, and not the scores that it begins with"
    if method.granularity.kind == "channel":
        return "channels are ranked by the squares of their scores, which are the same inverted"
    return None


def _changed(winner: Candidate, drawn: Drawn, sparsity: float) -> Candidate:
    """Return the winner with what a control takes away from it."""
    method = inverted(winner.method) if drawn.inverted else winner.method
    if drawn.whole:
        # A mask that is given is trained as often as the winner's, and stays.
        method = replace(
            method,
            criterion=GRAPH.criterion,
            scope=GRAPH.scope,
            moves=None,
            granularity=GRAPH.granularity,
        )
    kept = sparsity if drawn.whole else winner.sparsity
    return replace(winner, support=drawn.support, method=method, sparsity=kept)

"""A mover: what one network's mask is when training begins, and what it becomes at each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from bogp.cores import torch_threads
from bogp.criteria import Context, Scores, criterion
from bogp.errors import SparsityError
from bogp.keys import derive_seed
from bogp.masks import Mask, Units, WeightUnits, choose_layers
from bogp.sparsify.methods import GRAPH, Method, pruning_method
from bogp.sparsify.moves import Given, Moves
from bogp.sparsify.plan import Plan, Update, make_plan
from bogp.sparsify.scoring import Examples, check_scores, scored_mask
from bogp.sparsify.supports import Support, drawn_support, support_mask
from bogp.sparsify.units import make_units


@final
@dataclass(frozen=True, eq=False)
class Mover:
    """Gives a network its mask, and moves it by a plan.

    It keeps no state: what a mask becomes depends on the step, the mask, the weights and the
    gradients at hand, so that a training that is resumed goes on as it would have.

    Attributes:
        method: the criterion, scope, moves and granularity.
        support: the mask before the first update; no mask keeps a weight outside it.
        plan: when the mask changes, and to what.
        units: what is kept or pruned together.
        seed: decides all that is random about the mask.
        examples: what criteria that run the network score on.
    """

    method: Method
    support: Mask
    plan: Plan
    units: Units
    seed: int = 0
    examples: Examples = (None, None)

    @property
    def last(self) -> int:
        """The step of the last update."""
        return max(self.plan, default=0)

    def wants_gradients(self, step: int) -> bool:
        """Return whether an update after ``step`` steps looks at their last one's gradients."""
        update = self.plan.get(step)
        if self.method.moves is None or update is None or not self._grows(step, update):
            return False
        moves = self.method.moves
        return any(criterion(given).needs_gradients for given in (moves.drop, moves.grow))

    def _grows(self, step: int, update: Update) -> bool:
        """Return whether the update may grow weights: to regrow, or as the density rises.

        Whole units may be fewer weights than are wanted: that alone grows none.
        """
        before = [earlier.kept for place, earlier in self.plan.items() if place < step]
        return update.regrow > 0.0 or update.kept > min(before, default=self.support.kept)

    def moved(
        self,
        step: int,
        model: nn.Module,
        mask: Mask,
        gradients: Mapping[str, Tensor] | None = None,
    ) -> Mask:
        """Return the mask after ``step`` steps of the optimiser; the same one where none is due.

        Args:
            step: how many steps have been taken.
            model: the network with the weights at hand; it is not changed.
            mask: the mask until now.
            gradients: of the step just taken, pruned weights' too, where they are wanted.

        Raises:
            SparsityError, MaskError, SettingError: see :func:`bogp.sparsify.scored_mask`.
        """
        update = self.plan.get(step)
        if update is None:
            return mask
        mask = self._fitted(step, update, model, mask, gradients)
        if update.regrow > 0.0:
            mask = self._regrown(model, mask, update, gradients)
            # Units of unequal size seldom take the places of others exactly.
            mask = self._fitted(step, update, model, mask, gradients)
        return mask

    def _fitted(
        self,
        step: int,
        update: Update,
        model: nn.Module,
        mask: Mask,
        gradients: Mapping[str, Tensor] | None,
    ) -> Mask:
        """Return the mask with as many weights as the update wants."""
        if update.kept < mask.kept:
            return self.pruned(update.number, update.kept, model, mask)
        if update.kept == mask.kept or not self._grows(step, update):
            return mask
        scores = self._scores(moves_of(self.method).grow, "grow", update, model, mask, gradients)
        return self._with(mask, list(mask), scores, update.kept, update)

    def final(self, step: int, model: nn.Module, mask: Mask) -> Mask:
        """Return the final mask of a training that ends after ``step`` steps, early perhaps.

        Nothing is dropped to be regrown, since it could train no more; where weights are missing,
        since a schedule of one's own had fewer before its last move, any are added.

        Raises:
            SparsityError, MaskError, SettingError: see :func:`bogp.sparsify.scored_mask`.
        """
        if step >= self.last:
            return mask
        update, method = replace(self.plan[self.last], regrow=0.0), self.method
        if method.moves is not None:
            method = replace(method, moves=replace(method.moves, grow="random"))
        return replace(self, method=method)._fitted(self.last, update, model, mask, None)

    def pruned(self, number: int, kept: int, model: nn.Module, mask: Mask) -> Mask:
        """Return the mask of ``kept`` weights inside ``mask`` that the method's criterion chooses.

        Args:
            number: of the pruning round, or of the update, from 1.
            kept: how many weights to keep; of blocks and channels the nearest number.
            model: the network with the weights at hand.
            mask: the mask until now.

        Raises:
            SparsityError, MaskError, SettingError: see :func:`bogp.sparsify.scored_mask`.
        """
        return scored_mask(
            model, mask, self.method, kept, self.seed, number, self.examples, self.units
        )

    def _regrown(
        self,
        model: nn.Module,
        mask: Mask,
        update: Update,
        gradients: Mapping[str, Tensor] | None,
    ) -> Mask:
        """Return the mask with a share of each layer's kept weights dropped, and others grown.

        What is dropped may be grown again, as in the papers, and then stays what it was. Layers
        that share one wiring are one layer here.
        """
        moves = moves_of(self.method)
        dropping = self._scores(moves.drop, "drop", update, model, mask, gradients)
        growing = self._scores(moves.grow, "grow", update, model, mask, gradients)
        together = [list(mask)] if self.method.granularity.shared else [[name] for name in mask]
        for names in together:
            kept = sum(int(mask[name].sum()) for name in names)
            least = self.units.least({name: mask[name] for name in names})
            stay = max(least, kept - round(update.regrow * kept))
            remaining = self._choose({n: dropping[n] for n in names}, mask, stay, update, "drop")
            left = Mask({**mask, **remaining})
            mask = self._with(left, names, growing, kept, update)
        return mask

    def _with(
        self, mask: Mask, names: Sequence[str], scores: Scores, kept: int, update: Update
    ) -> Mask:
        """Return the mask with more weights in the layers ``names``, ``kept`` in all of them.

        What the mask keeps has a score above all others, so that whole units, too, are chosen once.
        """
        best = {name: torch.where(mask[name], torch.inf, scores[name]) for name in names}
        allowed = {name: self.support[name] for name in names}
        kept = min(kept, sum(int(layer.sum()) for layer in allowed.values()))
        return Mask({**mask, **self._choose(best, allowed, kept, update, "grow")})

    def _choose(
        self, scores: Scores, support: Mapping[str, Tensor], count: int, update: Update, what: str
    ) -> Mask:
        seed = derive_seed(self.seed, what, update.number, *scores)
        allowed = {name: support[name] for name in scores}
        return self.units.choose(scores, count, scope="global", support=allowed, seed=seed)

    def _scores(
        self,
        given: Given,
        what: str,
        update: Update,
        model: nn.Module,
        mask: Mask,
        gradients: Mapping[str, Tensor] | None,
    ) -> Scores:
        """Return the scores by which an update drops or grows, on the CPU."""
        seed = derive_seed(self.seed, f"{what} scores", update.number)
        found = criterion(given)
        with torch_threads(1):
            scores = found.score(Context(model, mask, *self.examples, seed, gradients))
        check_scores(scores, mask, found.name)
        return {name: values.cpu() for name, values in scores.items()}


def moves_of(method: Method) -> Moves:
    """Return the moves of a method that has some."""
    assert method.moves is not None
    return method.moves


def fixed(mask: Mask, units: Units | None = None) -> Mover:
    """Return the mover of a mask that is given and stays what it is, of weights or of ``units``."""
    return Mover(GRAPH, mask, {}, units or WeightUnits())


def make_mover(
    model: nn.Module,
    method: Method | str,
    sparsity: float,
    *,
    steps: int | None = None,
    layers: str | Sequence[str] = "all",
    support: Support = None,
    seed: int = 0,
    examples: Examples = (None, None),
) -> Mover:
    """Return the mover of a method on a model.

    Args:
        model: the network; its weights do not matter.
        method: how the mask is chosen and how it moves, or its name.
        sparsity: share of the prunable weights to remove in the end.
        steps: steps of the optimiser in the whole training.
        layers: ``"all"``, ``"hidden"`` or names of weights (see :func:`bogp.choose_layers`).
        support: bounds the mask (:func:`bogp.sparsify.find_support`).
        seed: decides all that is random about the mask.
        examples: inputs (N, *shape) and targets that criteria score on, where they need some.

    Raises:
        UnknownNameError, SettingError: a method that bogp does not know, or steps that do not fit.
        SparsityError: a sparsity out of range, or more weights to keep than the support has.
        MaskError, GraphError: nothing to prune, or a support that does not fit the model.
    """
    chosen = pruning_method(method)
    names = choose_layers(model, layers)
    units = make_units(chosen.granularity, model, names, examples[0])
    bound = support_mask(drawn_support(support, names, seed), model, names)
    bound = Mask({name: layer.cpu() for name, layer in bound.items()})  # as scores are
    plan = make_plan(chosen, bound, sparsity, steps)
    wanted = plan[max(plan)].kept
    if wanted > bound.kept:
        raise SparsityError(
            f"the support has {bound.kept} of the {bound.total} weights, a density of "
            f"{bound.density:.4g}, and sparsity {sparsity:g} keeps {wanted}: take a denser support "
            f"or a sparsity of at least {math.ceil(1e4 * bound.sparsity) / 1e4:g}"
        )
    return Mover(chosen, bound, plan, units, seed, examples)

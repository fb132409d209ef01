"""The gradient criterion: the weights that the loss would move most, pruned ones too."""

from __future__ import annotations

from bogp.criteria.context import Context, Criterion, Scores
from bogp.errors import SettingError


def gradient(context: Context) -> Scores:
    """Return |∂L/∂w| of every weight, by the gradients of the step at hand.

    RigL grows where it is largest (Evci et al. 2020, arXiv 1911.11134, section 3, eq. 1).

    Raises:
        SettingError: there are no gradients, as there are none outside of training.
    """
    if context.gradients is None:
        raise SettingError(
            "criterion 'gradient' goes by the gradients of a training step: take it as what a mask "
            "grows by while it trains (bogp.Moves), or 'snip' before training"
        )
    return {name: context.gradients[name].detach().abs() for name in context.mask}


GRADIENT = Criterion(
    "gradient",
    gradient,
    needs_gradients=True,
    help="the absolute gradient of the training step at hand, |∂L/∂w|",
    source="Evci et al. 2020, arXiv 1911.11134",
)

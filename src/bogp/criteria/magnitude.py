"""The magnitude criterion: large weights matter most."""

from __future__ import annotations

from bogp.criteria.context import Context, Criterion, Scores
from bogp.masks import check_fits


def magnitude(context: Context) -> Scores:
    """Return |w| of every weight (Han et al. 2015, arXiv 1506.02626).

    Raises:
        MaskError: the mask does not fit the model.
    """
    check_fits(context.model, context.mask)
    parameters = dict(context.model.named_parameters())
    return {name: parameters[name].detach().abs() for name in context.mask}


MAGNITUDE = Criterion(
    "magnitude",
    magnitude,
    help="the absolute weight, |w|",
    source="Han et al. 2015, arXiv 1506.02626",
)

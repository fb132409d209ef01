"""Statistics: intervals, variance, power, the winner's curse, correlation, coverage."""

from bogp.analysis.correlation import (
    RankCorrelation,
    correlation_matrix,
    json_matrix,
    partial_rank_correlation,
    rank_correlation,
)
from bogp.analysis.empirical_bayes import Shrunken, shrunken
from bogp.analysis.extrapolation import predict_final
from bogp.analysis.intervals import (
    Interval,
    PairedTest,
    bootstrap_interval,
    mean_interval,
    paired_interval,
    paired_test,
)
from bogp.analysis.isotonic import Monotonicity, monotonicity
from bogp.analysis.power import (
    detectable_difference,
    seeds_to_tell_apart,
    t_test_power,
    tell_apart_sentence,
)
from bogp.analysis.property_coverage import (
    Collinear,
    Coverage,
    CoverageComparison,
    PropertyCoverage,
    compare_coverage,
    coverage,
    distinct,
)
from bogp.analysis.uncorrelated import (
    Pair,
    UncorrelatedSubset,
    strongest_pairs,
    uncorrelated_subset,
)
from bogp.analysis.variance import (
    VarianceComponents,
    reliability,
    seeds_needed,
    variance_components,
)
from bogp.analysis.winners_curse import WINNER_METHODS, Winner, winner_interval

__all__ = [
    "WINNER_METHODS",
    "Collinear",
    "Coverage",
    "CoverageComparison",
    "Interval",
    "Monotonicity",
    "Pair",
    "PairedTest",
    "PropertyCoverage",
    "RankCorrelation",
    "Shrunken",
    "UncorrelatedSubset",
    "VarianceComponents",
    "Winner",
    "bootstrap_interval",
    "compare_coverage",
    "correlation_matrix",
    "coverage",
    "detectable_difference",
    "distinct",
    "json_matrix",
    "mean_interval",
    "monotonicity",
    "paired_interval",
    "paired_test",
    "partial_rank_correlation",
    "predict_final",
    "rank_correlation",
    "reliability",
    "seeds_needed",
    "seeds_to_tell_apart",
    "shrunken",
    "strongest_pairs",
    "t_test_power",
    "tell_apart_sentence",
    "uncorrelated_subset",
    "variance_components",
    "winner_interval",
]

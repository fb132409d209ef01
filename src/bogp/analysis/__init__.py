"""Statistics: intervals, variance, power, the winner's curse, correlation, coverage."""

from bogp.analysis.correlation import (
    RankCorrelation,
    correlation_matrix,
    json_matrix,
    matrix_from_json,
    partial_rank_correlation,
    rank_correlation,
)
from bogp.analysis.coverage import (
    Collinear,
    Comparison,
    Coverage,
    PropertyCoverage,
    compare,
    coverage,
    distinct,
)
from bogp.analysis.early import predict_final
from bogp.analysis.intervals import (
    Interval,
    PairedTest,
    bootstrap_interval,
    mean_interval,
    paired_interval,
    paired_test,
)
from bogp.analysis.power import (
    detectable_difference,
    seeds_to_tell_apart,
    t_test_power,
    tell_apart_sentence,
)
from bogp.analysis.replicates import (
    COMPONENT_METHODS,
    ReplicateComponents,
    replicate_components,
)
from bogp.analysis.shape import Monotonicity, monotonicity
from bogp.analysis.shrinkage import Shrunken, shrunken
from bogp.analysis.subset import Pair, UncorrelatedSubset, strongest_pairs, uncorrelated_subset
from bogp.analysis.variance import (
    VarianceComponents,
    reliability,
    seeds_needed,
    variance_components,
)
from bogp.analysis.winner import WINNER_METHODS, Winner, winner_interval

__all__ = [
    "COMPONENT_METHODS",
    "WINNER_METHODS",
    "Collinear",
    "Comparison",
    "Coverage",
    "Interval",
    "Monotonicity",
    "Pair",
    "PairedTest",
    "PropertyCoverage",
    "RankCorrelation",
    "ReplicateComponents",
    "Shrunken",
    "UncorrelatedSubset",
    "VarianceComponents",
    "Winner",
    "bootstrap_interval",
    "compare",
    "correlation_matrix",
    "coverage",
    "detectable_difference",
    "distinct",
    "json_matrix",
    "matrix_from_json",
    "mean_interval",
    "monotonicity",
    "paired_interval",
    "paired_test",
    "partial_rank_correlation",
    "predict_final",
    "rank_correlation",
    "reliability",
    "replicate_components",
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

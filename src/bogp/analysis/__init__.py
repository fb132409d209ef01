"""Statistics: intervals, variance components, correlation, monotonicity, coverage."""

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
from bogp.analysis.intervals import (
    Interval,
    PairedTest,
    bootstrap_interval,
    mean_interval,
    paired_interval,
    paired_test,
)
from bogp.analysis.shape import Monotonicity, monotonicity
from bogp.analysis.subset import Pair, UncorrelatedSubset, strongest_pairs, uncorrelated_subset
from bogp.analysis.variance import (
    VarianceComponents,
    reliability,
    seeds_needed,
    variance_components,
)

__all__ = [
    "Collinear",
    "Comparison",
    "Coverage",
    "Interval",
    "Monotonicity",
    "Pair",
    "PairedTest",
    "PropertyCoverage",
    "RankCorrelation",
    "UncorrelatedSubset",
    "VarianceComponents",
    "bootstrap_interval",
    "compare",
    "correlation_matrix",
    "coverage",
    "distinct",
    "json_matrix",
    "matrix_from_json",
    "mean_interval",
    "monotonicity",
    "paired_interval",
    "paired_test",
    "partial_rank_correlation",
    "rank_correlation",
    "reliability",
    "seeds_needed",
    "strongest_pairs",
    "uncorrelated_subset",
    "variance_components",
]

"""Tables, figures and offline HTML pages from plain data.

The pages of a search, of a pruned model and of an analysis stand in modules of their own, which are
not imported here: :mod:`~bogp.report.search_page`, :mod:`~bogp.report.prune_page` and
:mod:`~bogp.report.analysis_page` import all that trains.
"""

from bogp.report.accuracy_figures import TradeoffPoint, accuracy_by_sparsity, tradeoff
from bogp.report.coverage_figure import coverage_figure
from bogp.report.graph_figures import graph_and_mask, graph_portrait
from bogp.report.interval_figure import interval_figure
from bogp.report.page import (
    Section,
    render_markdown,
    render_report,
    save_pictures,
    versions,
    write_report,
)
from bogp.report.pictures import (
    Picture,
    figure_format,
    figure_png,
    figure_svg,
    save_figure,
    write_figure,
)
from bogp.report.property_figures import correlation_heatmap, property_scatter
from bogp.report.style import plural
from bogp.report.trial_figures import (
    course_figure,
    front_figure,
    hypervolume_figure,
    search_trace,
    support_figure,
)
from bogp.report.verdicts import SIGNS, Verdict, verdict_table
from bogp.tables import (
    Cell,
    Column,
    Format,
    Table,
    decimals,
    format_cell,
    format_interval,
    scaled,
)

__all__ = [
    "SIGNS",
    "Cell",
    "Column",
    "Format",
    "Picture",
    "Section",
    "Table",
    "TradeoffPoint",
    "Verdict",
    "accuracy_by_sparsity",
    "correlation_heatmap",
    "course_figure",
    "coverage_figure",
    "decimals",
    "figure_format",
    "figure_png",
    "figure_svg",
    "format_cell",
    "format_interval",
    "front_figure",
    "graph_and_mask",
    "graph_portrait",
    "hypervolume_figure",
    "interval_figure",
    "plural",
    "property_scatter",
    "render_markdown",
    "render_report",
    "save_figure",
    "save_pictures",
    "scaled",
    "search_trace",
    "support_figure",
    "tradeoff",
    "verdict_table",
    "versions",
    "write_figure",
    "write_report",
]

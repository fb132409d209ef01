"""Tables, figures and one offline HTML file from the records of an experiment."""

from bogp.report.coverage import coverage_figure
from bogp.report.curves import TradeoffPoint, accuracy_by_sparsity, search_trace, tradeoff
from bogp.report.figures import correlation_heatmap, property_scatter
from bogp.report.graphs import graph_and_mask, graph_portrait
from bogp.report.html import Section, render_report, write_report
from bogp.report.style import (
    Picture,
    figure_format,
    figure_png,
    figure_svg,
    picture,
    plural,
    save_figure,
    write_figure,
)
from bogp.report.tables import (
    Cell,
    Column,
    Format,
    Table,
    decimals,
    format_cell,
    format_interval,
    scaled,
)
from bogp.report.verdicts import SIGNS, Verdict, verdict_table

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
    "coverage_figure",
    "decimals",
    "figure_format",
    "figure_png",
    "figure_svg",
    "format_cell",
    "format_interval",
    "graph_and_mask",
    "graph_portrait",
    "picture",
    "plural",
    "property_scatter",
    "render_report",
    "save_figure",
    "scaled",
    "search_trace",
    "tradeoff",
    "verdict_table",
    "write_figure",
    "write_report",
]

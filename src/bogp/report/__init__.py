"""Tables, figures and one offline HTML file from the records of an experiment."""

from bogp.report.curves import TradeoffPoint, accuracy_by_sparsity, search_trace, tradeoff
from bogp.report.figures import correlation_heatmap, graph_and_mask, property_scatter
from bogp.report.html import Section, render_report, write_report
from bogp.report.style import Picture, figure_png, figure_svg, picture, plural, save_figure
from bogp.report.tables import Cell, Table, format_cell, format_interval
from bogp.report.verdicts import SIGNS, Verdict, verdict_table

__all__ = [
    "SIGNS",
    "Cell",
    "Picture",
    "Section",
    "Table",
    "TradeoffPoint",
    "Verdict",
    "accuracy_by_sparsity",
    "correlation_heatmap",
    "figure_png",
    "figure_svg",
    "format_cell",
    "format_interval",
    "graph_and_mask",
    "picture",
    "plural",
    "property_scatter",
    "render_report",
    "save_figure",
    "search_trace",
    "tradeoff",
    "verdict_table",
    "write_report",
]

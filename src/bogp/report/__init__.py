"""Tables, figures and offline HTML pages from plain data.

The pages of a search, of a pruned model and of an analysis stand in modules of their own, which are
not imported here: :mod:`~bogp.report.search_page`, :mod:`~bogp.report.prune_page` and
:mod:`~bogp.report.analysis_page` import all that trains.
"""

from bogp.report.accuracy_figures import PAPER_TABLE2 as PAPER_TABLE2
from bogp.report.accuracy_figures import TradeoffPoint as TradeoffPoint
from bogp.report.accuracy_figures import accuracy_by_sparsity as accuracy_by_sparsity
from bogp.report.accuracy_figures import tradeoff as tradeoff
from bogp.report.coverage_figure import coverage_figure as coverage_figure
from bogp.report.graph_figures import graph_and_mask as graph_and_mask
from bogp.report.graph_figures import graph_portrait as graph_portrait
from bogp.report.interval_figure import interval_figure as interval_figure
from bogp.report.page import Section as Section
from bogp.report.page import render_markdown as render_markdown
from bogp.report.page import render_report as render_report
from bogp.report.page import save_pictures as save_pictures
from bogp.report.page import versions as versions
from bogp.report.page import write_report as write_report
from bogp.report.pictures import Picture as Picture
from bogp.report.pictures import figure_format as figure_format
from bogp.report.pictures import figure_png as figure_png
from bogp.report.pictures import figure_svg as figure_svg
from bogp.report.pictures import save_figure as save_figure
from bogp.report.pictures import write_figure as write_figure
from bogp.report.plane_figure import PlacedGraph as PlacedGraph
from bogp.report.plane_figure import graph_plane as graph_plane
from bogp.report.property_figures import correlation_heatmap as correlation_heatmap
from bogp.report.property_figures import property_scatter as property_scatter
from bogp.report.style import plural as plural
from bogp.report.trial_figures import course_figure as course_figure
from bogp.report.trial_figures import front_figure as front_figure
from bogp.report.trial_figures import hypervolume_figure as hypervolume_figure
from bogp.report.trial_figures import search_trace as search_trace
from bogp.report.trial_figures import support_figure as support_figure
from bogp.report.verdicts import Holds as Holds
from bogp.report.verdicts import Verdict as Verdict
from bogp.report.verdicts import verdict_table as verdict_table
from bogp.tables import Cell as Cell
from bogp.tables import Column as Column
from bogp.tables import Table as Table
from bogp.tables import decimals as decimals
from bogp.tables import format_cell as format_cell
from bogp.tables import format_interval as format_interval
from bogp.tables import scaled as scaled

"""A finished study as tables, figures and a page."""

from bogp.studies.page import search_figures as search_figures
from bogp.studies.page import search_sections as search_sections
from bogp.studies.page import write_search_report as write_search_report

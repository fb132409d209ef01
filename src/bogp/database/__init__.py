"""The graph database and the nearest property vector (algorithms 1 and 2 of the paper)."""

from bogp.database.check import check_database as check_database
from bogp.database.neighbours import METRICS as METRICS
from bogp.database.neighbours import SCALES as SCALES
from bogp.database.neighbours import nearest as nearest
from bogp.database.plan import ALL_PROPERTIES as ALL_PROPERTIES
from bogp.database.plan import FAMILIES as FAMILIES
from bogp.database.plan import Plan as Plan
from bogp.database.records import GraphRecord as GraphRecord
from bogp.database.records import Neighbour as Neighbour
from bogp.database.records import Range as Range
from bogp.database.store import GraphDatabase as GraphDatabase
from bogp.database.tables import export_table as export_table
from bogp.database.tables import import_table as import_table
from bogp.settings.database import PAPER_SPARSITIES as PAPER_SPARSITIES

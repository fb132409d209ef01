"""How a mask is chosen, where it may be, and how it moves while a network trains."""

from bogp.sparsify.drawn_graph import DrawnGraph as DrawnGraph
from bogp.sparsify.hold import Hold as Hold
from bogp.sparsify.methods import BASELINES as BASELINES
from bogp.sparsify.methods import GRAPH as GRAPH
from bogp.sparsify.methods import METHODS as METHODS
from bogp.sparsify.methods import NARROWER as NARROWER
from bogp.sparsify.methods import Method as Method
from bogp.sparsify.methods import inverted as inverted
from bogp.sparsify.methods import pruning_method as pruning_method
from bogp.sparsify.mover import Mover as Mover
from bogp.sparsify.mover import fixed as fixed
from bogp.sparsify.mover import make_mover as make_mover
from bogp.sparsify.moves import Moves as Moves
from bogp.sparsify.plan import Plan as Plan
from bogp.sparsify.plan import Update as Update
from bogp.sparsify.plan import make_plan as make_plan
from bogp.sparsify.scoring import Examples as Examples
from bogp.sparsify.scoring import kept_counts as kept_counts
from bogp.sparsify.scoring import scored_mask as scored_mask
from bogp.sparsify.sparsifier import Sparsifier as Sparsifier
from bogp.sparsify.supports import Support as Support
from bogp.sparsify.supports import drawn_support as drawn_support
from bogp.sparsify.supports import find_support as find_support
from bogp.sparsify.supports import support_mask as support_mask
from bogp.sparsify.supports import support_record as support_record

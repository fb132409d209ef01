"""Controls: the winner with one thing taken away, and the check that it really is.

Each control keeps some of what could explain a winner and destroys the rest. One that trains as
well as the winner shows that what it destroys did not matter. The functions here are pure, on
masks, graphs and scores; training what they return is the caller's.
"""

from bogp.controls.control import Bound as Bound
from bogp.controls.control import Change as Change
from bogp.controls.control import Control as Control
from bogp.controls.control import Drawn as Drawn
from bogp.controls.control import LayerBound as LayerBound
from bogp.controls.control import Winner as Winner
from bogp.controls.control import differing_share as differing_share
from bogp.controls.draws import invert as invert
from bogp.controls.table import CONTROLS as CONTROLS

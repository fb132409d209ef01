"""The replication: the paper's tables, figures and claims, the comparisons, and the demo.

It is a client of the library, and takes public names only.
"""

from bogp.replication.replications import REPLICATIONS as REPLICATIONS
from bogp.replication.replications import Request as Request
from bogp.replication.replications import reproduce as reproduce
from bogp.replication.replications import run_demo as run_demo

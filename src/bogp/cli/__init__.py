"""The command line: one file per subcommand, one way to fail.

A subcommand imports what it runs inside its function: torch and its company take seconds, and
neither ``--help`` nor a mistyped option needs them.
"""

from bogp.cli.app import app as app
from bogp.cli.app import main as main

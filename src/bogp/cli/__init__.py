"""The command line: one file per subcommand, one way to fail."""

from bogp.cli.app import app as app
from bogp.cli.app import main as main

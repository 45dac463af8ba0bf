"""The command line."""

from quire.cli.main import main as main

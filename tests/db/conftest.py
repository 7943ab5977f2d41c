"""A database of the front end, and a world of jobs on it."""

from drizzle_tools import drizzle_sql
from worlds import node, settings, world

__all__ = ["drizzle_sql", "node", "settings", "world"]

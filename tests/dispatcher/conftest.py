"""A dispatcher under test."""

from worlds import node, settings, small_runs, world

__all__ = ["node", "settings", "small_runs", "world"]

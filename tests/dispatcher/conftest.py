"""A dispatcher under test."""

from worlds import node, settings, world

__all__ = ["node", "settings", "world"]

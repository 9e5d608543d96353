"""Reads what Google Takeout writes about videos watched: HTML and JSON, in any language."""

"""Runs side by side: their files, their differences, charts and the report."""

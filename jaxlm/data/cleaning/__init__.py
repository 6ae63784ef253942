"""Cleaning: each step a function of a text, and the line that applies them and counts."""

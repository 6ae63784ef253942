"""Damage to a text that leaves what it says."""

from __future__ import annotations

import random


def misread(line: str) -> str:
    """UTF-8 read as Windows-1252; the line itself if it has a byte that Windows-1252 has not."""
    try:
        return line.encode().decode("cp1252")
    except UnicodeDecodeError:
        return line


def untidy(random: random.Random, text: str) -> str:
    """Control and invisible characters, runs of spaces, spaces and returns at ends of lines."""
    spaces = (" ", " ", " ", "  ", "\u00a0", " \u200b", " \x00", " \t", " \ufeff")
    text = "".join(random.choice(spaces) if c == " " else c for c in text)
    return text.replace("\n", random.choice(("\r\n", " \n", "\t \r\n")))

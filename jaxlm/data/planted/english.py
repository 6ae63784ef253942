"""English-like text that holds nothing but what is planted in it.

Sentences are composed from lists of words; every word is lower-case letters, so that no sentence
can hold an address or a number, and all ways to count words agree. Two texts share next to no runs
of five words.
"""

from __future__ import annotations

import random

_NOUNS = (
    "gardener", "teacher", "sailor", "painter", "farmer", "doctor", "carpenter", "miller",
    "traveller", "neighbour", "student", "baker", "captain", "clerk", "shepherd", "musician",
    "engineer", "librarian", "driver", "judge", "widow", "cousin", "visitor", "merchant", "tailor",
    "lantern", "bridge", "letter", "engine", "basket", "river", "orchard", "window", "market",
    "harvest", "garden", "story", "journey", "village", "ladder", "blanket", "kettle", "machine",
    "painting", "telescope", "carriage", "recipe", "notebook", "fountain", "staircase", "curtain",
    "hammer", "mirror", "compass", "candle", "melody", "pattern", "question", "picture", "promise",
    "building", "forest", "island", "meadow", "mountain", "station", "workshop", "library",
    "kitchen", "harbour", "chapel", "theatre", "museum", "factory", "cottage", "castle", "valley",
    "horse", "sparrow", "rabbit", "donkey", "salmon", "beetle", "spider", "falcon", "badger",
)  # fmt: skip
_ADJECTIVES = (
    "quiet", "heavy", "golden", "narrow", "ancient", "patient", "broken", "curious", "gentle",
    "wooden", "distant", "cheerful", "hidden", "careful", "silver", "hollow", "famous", "weary",
    "bright", "modest", "frozen", "crooked", "generous", "dusty", "splendid", "humble", "tired",
    "foreign", "elegant", "sturdy", "peculiar", "restless", "faded", "proud", "clever", "delicate",
    "enormous", "familiar", "loyal", "lonely", "painted", "polished", "rough", "scarlet",
    "sleepy", "solemn", "stubborn", "sudden", "tender", "useful", "warm", "young", "little",
    "forgotten", "expensive", "ordinary", "remarkable", "brilliant", "shallow", "empty",
)  # fmt: skip
_VERBS = (
    "carried", "followed", "repaired", "noticed", "remembered", "painted", "crossed", "described",
    "discovered", "admired", "borrowed", "cleaned", "counted", "covered", "defended", "delivered",
    "examined", "explained", "finished", "forgave", "guarded", "improved", "invited", "measured",
    "mentioned", "moved", "observed", "opened", "ordered", "praised", "prepared", "protected",
    "raised", "reached", "received", "recognised", "refused", "rescued", "returned", "saved",
    "searched", "served", "shared", "sold", "studied", "surprised", "taught", "touched", "trusted",
    "visited", "washed", "watched", "welcomed", "wanted", "bought", "built", "found", "drew",
    "heard", "kept", "loved", "lost", "missed", "needed", "photographed", "replaced", "sketched",
)  # fmt: skip
_PLACES = (
    "mill", "church", "railway", "shore", "chestnut tree", "hall", "coast", "hill", "wall", "yard",
    "road", "gate", "bakery", "square", "school", "pond", "lake", "barn", "inn", "tower", "well",
)  # fmt: skip
_PREPOSITIONS = ("near", "behind", "beside", "inside", "along", "outside", "over", "by", "around")
_TIMES = (
    "in spring", "at midnight", "before sunset", "last year", "by accident", "every week",
    "without warning", "after supper", "on foot", "in secret", "for hours", "at first", "at last",
    "in autumn", "with care", "for nothing", "yesterday", "at dawn", "in summer", "once more",
)  # fmt: skip
_THOUGHTS = (
    "people say that", "nobody believed that", "it seems that", "we heard that", "she knew that",
    "he wrote that", "they hoped that", "the report says that", "I think that",
)  # fmt: skip
_LINKS = ("and", "but", "while", "because", "although", "until", "when", "after", "before")
# No run of eight words is without two that are chosen among many: evaluation passages are found
# by such runs, and two documents should share them only when that was planted.


def sentence(random: random.Random) -> str:
    """One sentence of about ten to thirty words."""
    words = _clause(random)
    if random.random() < 0.2:
        words = f"{random.choice(_THOUGHTS)} {words}"
    if random.random() < 0.5:
        words = f"{words} {random.choice(_LINKS)} {_clause(random)}"
    return f"{words[0].upper()}{words[1:]}."


def sentences(random: random.Random, count: int) -> list[str]:
    """Several sentences."""
    return [sentence(random) for _ in range(count)]


def paragraphs(random: random.Random, lines: list[str]) -> str:
    """The sentences `lines` as paragraphs of two to five, apart by empty lines."""
    found, start = [], 0
    while start < len(lines):
        size = random.randint(2, 5)
        if len(lines) - start - size == 1:  # no sentence alone: some are in many documents
            size += 1
        found.append(" ".join(lines[start : start + size]))
        start += size
    return "\n\n".join(found) + "\n"


def text(random: random.Random, low: int = 9, high: int = 18) -> str:
    """Paragraphs of `low` to `high` sentences in all."""
    return paragraphs(random, sentences(random, random.randint(low, high)))


def word(random: random.Random) -> str:
    """One noun, adjective or verb."""
    return random.choice(random.choice((_NOUNS, _ADJECTIVES, _VERBS)))


def _clause(random: random.Random) -> str:
    parts = [_thing(random), random.choice(_VERBS), _thing(random)]
    if random.random() < 0.25:
        parts.append(f"of {_thing(random)}")
    if random.random() < 0.5:
        place = f"{random.choice(_ADJECTIVES)} {random.choice(_PLACES)}"
        parts.append(f"{random.choice(_PREPOSITIONS)} the {place}")
    if random.random() < 0.4:
        parts.append(random.choice(_TIMES))
    return " ".join(parts)


def _thing(random: random.Random) -> str:
    noun = random.choice(_NOUNS)
    described = f"{random.choice(_ADJECTIVES)} {noun}" if random.random() < 0.7 else noun
    article = random.choice(("the", "the", "the", "a", "this", "that", "his", "her", "their"))
    if article == "a" and described[0] in "aeiou":
        article = "an"
    return f"{article} {described}"

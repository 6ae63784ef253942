"""Telephone numbers in running text: international ones, and national ones that are recognisable.

There is no checksum, so what counts is how a number is written: a plus sign and a country's code
(ITU-T E.164), the three groups of North America, a leading 0 and separators as in most of Europe,
or a word before it ("phone", "fax") that says what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MOST_DIGITS = 15  # E.164
_WINDOW = 32  # characters of a number as it is written, at most
_BEFORE = 40
_CHUNK = re.compile(r"[0-9][0-9 ().\-/\u00a0]{5,}")
# Not inside a word, a decimal number, a path or a query.
_START = re.compile(r"(?<![\w.+\-/#=&%@$€£])(?:\(?\+|\(?)[0-9](?=[0-9)]|[ .\-/\u00a0]\(?[0-9])")
# Digits or a hexadecimal byte before it, or digits behind it: a row of numbers.
_ROW_BEFORE = re.compile(r"(?:[0-9)][ .\-/\u00a0]|\b(?:[0-9][a-fA-F]|[a-fA-F][0-9]) )$")
_ROW_AFTER = re.compile(r"[ \u00a0]{1,2}[0-9]")
# ITU-T E.164, the assigned country codes.
_COUNTRY_CODE = re.compile(
    r"1|7|2(?:[07]|1[1-368]|[2-46]\d|5[0-8]|9[01789])|3(?:[0-469]|5\d|7[0-8]|8[0-35-79])"
    r"|4(?:[013-9]|2[0-3])|5(?:[1-8]|0\d|9\d)|6(?:[0-6]|7[02-9]|8[0-35-9]|9[0-2])"
    r"|8(?:[1246]|0[08]|5[02356]|7[08]|8[0-368])|9(?:[0-58]|6\d|7[0-79]|9[2-68])"
)
_INTERNATIONAL = re.compile(r"\(?\+[1-9]\d{0,14}\)?(?:[ .\-/\u00a0]{0,2}\(?\d{1,12}\)?){1,7}")
_NATIONAL = (
    # North America: three, three and four digits.
    re.compile(r"(?:1[ .\-])?(?:\([2-9]\d\d\)[ \-]?\d{3}[ .\-]|[2-9]\d\d([.\-])\d{3}\1)\d{4}"),
    # North America, numbers free of charge.
    re.compile(r"1[ \-]8\d\d[ \-]\d{3}[ \-]\d{4}"),
    # A leading zero and one digit that is none, then the subscriber's number.
    re.compile(
        r"(?:\(0[1-9]\d{0,4}\) ?|0[1-9]\d{1,4}[ \-/])\d{2,8}(?:[ \-]\d{2,5}){0,4}"
        r"|0[1-9](?:([ .\-])\d\d)(?:\1\d\d){3}"
    ),
)
_FEWEST_NATIONAL = 9
_ANNOUNCED = re.compile(r"\(?\d[\d ().\-/\u00a0]{5,18}\d")
_FEWEST_ANNOUNCED = 7
_ANNOUNCEMENT = re.compile(
    r"(?:\b(?:(?:tele)?phone|tel|call|fax|telefax|mobile|cell(?: ?phone)?|telefon|handy|mobil"
    r"|t[ée]l[ée]phone|t[ée]l|m[óo]vil|tel[ée]fono|sms|whatsapp)\b\.?"
    r"(?: (?:number|no\.?|nr\.?|is|us|at|me|him|her|on))*|☎) ?[:#=]? ?$",
    re.IGNORECASE,
)
# Dates, postal codes and insurance numbers of the United States, IPv4 addresses, decimal numbers.
_OTHER = re.compile(
    r"\d{1,2}[./\- ]\d{1,2}[./\- ](?:19|20)\d\d|(?:19|20)\d\d([./\- ])[01]?\d\1[0-3]?\d"
    r"|\d{5}-\d{4}$|\d{3}[ \-]\d\d[ \-]\d{4}$|\+?\d{1,3}(?:\.\d{1,3}){3}$|\+?\d+\.\d+$"
)


def find_phone_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each telephone number, in order and without overlaps."""
    done = 0
    for chunk in _CHUNK.finditer(text):
        for match in _START.finditer(text, max(done, chunk.start() - 2), chunk.end()):
            start = match.start()
            if start < done:
                continue
            find = _international if "+" in match.group() else _national
            end = find(text, start)
            if text[start] == "(":
                open_brackets = text.count("(", start, end) - text.count(")", start, end)
                if not end or open_brackets or text[end - 1] == ")":  # it encloses the number
                    start += 1
                    end = find(text, start)
            if end:
                yield start, end
                done = end


def _international(text: str, start: int) -> int:
    match = _INTERNATIONAL.match(text, start, start + _WINDOW)
    if match is None:
        return 0
    number = match.group()
    while sum(map(str.isdecimal, number)) > _MOST_DIGITS:  # what follows is another number
        shorter = re.sub(r"[ .\-/\u00a0]+\(?\d+\)?$", "", number)
        if shorter == number:
            return 0
        number = shorter
    if number.count(")") > number.count("("):
        number = number[:-1]
    digits = "".join(filter(str.isdecimal, number.replace("(0)", "")))
    end = start + len(number)
    if len(digits) < 8 or _OTHER.match(number) or not _COUNTRY_CODE.match(digits):
        return 0
    return end if _stands_alone(text, end) else 0


def _national(text: str, start: int) -> int:
    if _ROW_BEFORE.search(text[max(0, start - 4) : start]):
        return 0
    for pattern in _NATIONAL:
        match = pattern.match(text, start, start + _WINDOW)
        if match and _is_number(match.group(), _FEWEST_NATIONAL):
            end = match.end()
            if _stands_alone(text, end) and not _ROW_AFTER.match(text, end):
                return end
    match = _ANNOUNCED.match(text, start, start + _WINDOW)
    if match and _ANNOUNCEMENT.search(text[max(0, start - _BEFORE) : start]):
        end = match.end()
        if _is_number(match.group(), _FEWEST_ANNOUNCED) and _stands_alone(text, end):
            return end
    return 0


def _is_number(number: str, fewest: int) -> bool:
    count = sum(map(str.isdecimal, number))
    return fewest <= count <= _MOST_DIGITS and not _OTHER.match(number)


def _stands_alone(text: str, end: int) -> bool:
    """Whether what follows does not make the number a part of something longer."""
    following = text[end : end + 2]
    if following[:1].isalnum() or following[:1] in ("_", "%"):
        return False
    return not (following[:1] in (".", "-", "/", ",", ":") and following[1:].isdecimal())

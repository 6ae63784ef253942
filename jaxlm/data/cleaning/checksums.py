"""Numbers that can be told from others by their own rules: bank cards, accounts, insurance."""

from __future__ import annotations

IBAN_LENGTHS: dict[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
    "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an account number by country (SWIFT's registry of ISO 13616)."""

# First and last prefix (of as many digits) and lengths: ISO/IEC 7812 and the issuers' own notices.
_ISSUERS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)), (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)), (37, 37, (15,)),  # American Express
    (6011, 6011, (16, 17, 18, 19)), (644, 649, (16, 17, 18, 19)),  # Discover
    (65, 65, (16, 17, 18, 19)),
    (300, 305, (14, 16)), (3095, 3095, (14, 16)), (36, 36, (14, 16)), (38, 39, (14, 16)),  # Diners
    (3528, 3589, (16, 17, 18, 19)),  # JCB
    (62, 62, (16, 17, 18, 19)), (81, 81, (16,)),  # UnionPay
    (2200, 2204, (16,)),  # Mir
    (5018, 5018, (13, 14, 15, 16)), (5020, 5020, (13, 14, 15, 16)),  # Maestro
    (5038, 5038, (13, 14, 15, 16)), (5893, 5893, (13, 14, 15, 16)), (6304, 6304, (13, 15, 16)),
    (6759, 6759, (16, 18, 19)), (6761, 6763, (13, 14, 15, 16)),
)  # fmt: skip
_SSN_ADVERTISED = ("078051120", "219099999")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn_is_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1 (Luhn's)."""
    numbers = list(map(int, digits))
    return (sum(numbers[-1::-2]) + sum(_DOUBLED[n] for n in numbers[-2::-2])) % 10 == 0


def card_is_valid(digits: str) -> bool:
    """Whether `digits` are a payment card: an issuer's prefix and length, and Luhn's digit."""
    issued = any(
        len(digits) in lengths and low <= int(digits[: len(str(low))]) <= high
        for low, high, lengths in _ISSUERS
    )
    return issued and luhn_is_valid(digits)


def iban_is_valid(account: str) -> bool:
    """Whether `account` (capitals and digits only) is an IBAN: length, and 97 of ISO 7064."""
    if len(account) != IBAN_LENGTHS.get(account[:2]) or not account[2:4].isdecimal():
        return False
    moved = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def ssn_is_valid(digits: str) -> bool:
    """Whether nine digits can be a social security number of the United States.

    Area 000, 666 and 900-999, group 00 and serial 0000 are never issued, and two numbers were
    printed in advertisements (Social Security Administration, "SSN randomization").
    """
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in ("000", "666")
        and area < "900"
        and group != "00"
        and serial != "0000"
        and digits not in _SSN_ADVERTISED
    )

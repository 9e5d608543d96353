"""Time zones as Takeout abbreviates them.

Takeout writes the zone of the moment of export on every row, also on rows of the other half of the year: an
abbreviation is therefore one fixed offset for the whole file, and no rule of summer time is applied to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Zone:
    """What the clock of a file's moments is, the rule by which that was decided, in words, and how sure it is."""

    tz: tzinfo
    rule: str
    confidence: float = 1.0


_MINUTES: Mapping[str, int] = MappingProxyType(
    {
        name: minutes
        for minutes, names in {
            0: "UTC GMT WET Z",
            60: "CET MEZ WEST WAT",
            120: "CEST MESZ EET CAT SAST OEZ",
            180: "EEST MSK EAT OESZ TRT IDT",
            210: "IRST",
            240: "SAMT GST AZT GET MUT",
            270: "AFT IRDT",
            300: "PKT YEKT UZT TMT MVT",
            345: "NPT",
            360: "OMST BDT ALMT",
            390: "MMT",
            420: "ICT WIB NOVT KRAT",
            480: "SGT HKT AWST WITA PHT PHST MYT IRKT ULAT",
            540: "JST KST WIT YAKT",
            570: "ACST",
            600: "AEST VLAT CHST",
            630: "ACDT LHST",
            660: "AEDT MAGT SBT",
            720: "NZST FJT PETT",
            780: "NZDT",
            -60: "CVT EGT",
            -120: "FNT",
            -180: "BRT ART CLST UYT ADT",
            -150: "NDT",
            -210: "NST",
            -240: "EDT CLT BOT VET PYT",
            -300: "EST CDT COT PET ECT",
            -360: "MDT GALT",
            -420: "MST PDT",
            -480: "PST AKDT",
            -540: "AKST HDT",
            -600: "HST",
            -660: "SST",
        }.items()
        for name in names.split()
    }
)

_AMBIGUOUS: Mapping[str, tuple[tuple[str, int], ...]] = MappingProxyType(
    {
        "CST": (("zh", 480), ("", -360)),
        "IST": (("he", 120), ("en_IE", 60), ("", 330)),
        "BST": (("bn", 360), ("", 60)),
        "AST": (("ar", 180), ("", -240)),
        "AMT": (("hy", 240), ("", -240)),
        "ECT": (("", -300),),
    }
)
"""Abbreviations that several countries use: the first whose language is the file's counts."""

_NUMERIC = re.compile(r"(?:GMT|UTC|UT)?\s?([+\-\u2212])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)


def zone_of(name: str | None, locales: tuple[str, ...], wanted: str | None) -> Zone:
    """The zone of a file whose moments carry `name`. Raises InputError if it is unknown and none is `wanted`.

    `wanted` is an IANA name or an offset that the caller gave, and counts before all else.
    """
    if wanted is not None:
        return Zone(_wanted(wanted), f"as the option tz says: {wanted}")
    if not name:
        return Zone(UTC, "UTC, as the file names no zone")
    plain = name.strip().upper()
    if plain in _AMBIGUOUS:
        locale, minutes = _meant(_AMBIGUOUS[plain], locales)
        why = f"for the language {locale}" if locale else "the commonest meaning; the option tz decides otherwise"
        return Zone(_fixed(minutes), f"{plain} taken as {_words(minutes)}, {why}", 0.8 if locale else 0.6)
    if plain in _MINUTES:
        return Zone(_fixed(_MINUTES[plain]), f"{plain} is {_words(_MINUTES[plain])} on every row, as at the export")
    if found := _NUMERIC.fullmatch(plain):
        sign, hours, minutes_text = found.groups()
        minutes = (int(hours) * 60 + int(minutes_text or 0)) * (1 if sign == "+" else -1)
        if abs(minutes) <= 14 * 60:
            return Zone(_fixed(minutes), f"{_words(minutes)}, as every row says")
    raise InputError(
        "unknown_time_zone",
        f"The times of this file are in the zone {name[:40]!r}, which is not known here.",
        suggestion="Name the zone with the option tz, such as tz=Europe/Berlin or tz=+02:00.",
    )


def _meant(meanings: tuple[tuple[str, int], ...], locales: tuple[str, ...]) -> tuple[str, int]:
    return next(
        (language, minutes)
        for language, minutes in meanings
        if not language or any(locale == language or locale.split("_")[0] == language for locale in locales)
    )


def _wanted(text: str) -> tzinfo:
    if found := _NUMERIC.fullmatch(text.strip()):
        sign, hours, minutes = found.groups()
        return _fixed((int(hours) * 60 + int(minutes or 0)) * (1 if sign == "+" else -1))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            "unknown_time_zone",
            f"{text[:60]!r} names no time zone.",
            suggestion="For example Europe/Berlin, or +02:00.",
        ) from None


def _fixed(minutes: int) -> tzinfo:
    return timezone(timedelta(minutes=minutes))


def _words(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

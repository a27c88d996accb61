"""Verbalisation of times and dates."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import cardinal, ordinal, plural, year

_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTHS = {name[:3]: name for name in _NAMES} | {name: name for name in _NAMES} | {"Sept": "September"}
_WEEKDAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_month = "|".join(sorted(_MONTHS, key=len, reverse=True))
_weekday = "|".join(sorted(_WEEKDAYS, key=len, reverse=True))
_meridiem = r"(?P<meridiem>[AaPp])(?:\.\s?[Mm]\.?|[Mm]\b)"

_TIME = re.compile(rf"(?<![\w:.,])(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?:\s?{_meridiem})?(?![\d:])(?!\.\d)")
_HOUR = re.compile(rf"(?<![\w:.,])(\d{{1,2}})(?:\.(\d{{2}}))?\s?{_meridiem}(?!\w)")
_RANGE = re.compile(
    r"(?<![\w:.,-])(\d{1,2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\.?)?)\s?[-–]\s?(?=\d{1,2}(?::\d{2}|\s?[AaPp]\.?[Mm]\b))"
)
_SPAN = re.compile(rf"\b({_weekday}|{_month})\.?\s?[-–]\s?({_weekday}|{_month})\b\.?")
_RATIO = re.compile(r"(?<![\w:.,])(\d+):(\d+)(?![\d:])")
_ISO = re.compile(r"(?<![\w-])(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?![\w/-])(?:T(?=\d{2}:))?")
_SLASHES = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])")
_DOTS = re.compile(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\w]|\.\d)")
_MONTH_DAY = re.compile(
    rf"\b({_month})\b(?:\.(?=,? ?\w))? (\d{{1,2}})(?:st|nd|rd|th)?\b(?![\d:%,.]\d)(?:(,?) (\d{{4}})\b)?"
)
_DAY_MONTH = re.compile(
    rf"(?<![\w.,])([Tt]he )?(\d{{1,2}})(st|nd|rd|th)? (of )?({_month})\b(?:\.(?=,? ?\w))?(?:(,?) (\d{{4}})\b)?"
)
_MONTH = re.compile(rf"\b({_month})\.(?=,? \d|,)")
_MONTH_YEAR = re.compile(rf"\b({_month})\b(?:\.(?=,? ?\w))?(,?) (\d{{4}})\b")
_WEEKDAY = re.compile(rf"\b({_weekday})\.(?=,? (?:{_month}|\d)|,)")
_WEEKDAY_DATE = re.compile(rf"\b({_weekday})\b(?=,? (?:\d{{1,2}}(?:st|nd|rd|th)? (?:{_month})|(?:{_month})\.? \d)\b)")
_DECADE = re.compile(r"(?<![\w.,])(?:(\d\d)(\d)0|['’](\d)0)(?:['’]?s)\b")
_SHORT_YEAR = re.compile(r"(?<![\w'])'(\d\d)\b(?!['\"])")


def verbalize_times(text: str) -> str:
    """Verbalise times and ratios: "5:30 pm" to "five thirty p.m.", "3:1" to "three to one"."""
    text = _RANGE.sub(r"\1 to ", text)
    if ":" in text:
        text = _RATIO.sub(_ratio, _TIME.sub(_time, text))
    return _HOUR.sub(_hour, text)


def verbalize_dates(text: str) -> str:
    """Verbalise dates: "3/4/1999" to "March fourth, nineteen ninety nine", "the 1990s" to "the nineteen nineties"."""
    text = _ISO.sub(lambda m: _date(m[1], m[3], m[4]) or m[0], text)
    text = _SLASHES.sub(_slashes, text)
    text = _DOTS.sub(lambda m: _date(m[3], m[2], m[1]) or m[0], text)
    text = _WEEKDAY_DATE.sub(lambda m: _WEEKDAYS[m[1]], _WEEKDAY.sub(lambda m: _WEEKDAYS[m[1]], text))
    text = _DAY_MONTH.sub(_day_month, text)
    text = _MONTH_DAY.sub(_month_day, text)
    text = _MONTH_YEAR.sub(lambda m: f"{_MONTHS[m[1]]}{m[2]} {year(m[3])}", text)
    text = _MONTH.sub(lambda m: _MONTHS[m[1]], text)
    text = _DECADE.sub(_decade, text)
    return _SHORT_YEAR.sub(lambda m: _two_digits(m[1]), text)


def expand_ranges(text: str) -> str:
    """Expand ranges of days and months: "Mon-Fri" to "Monday to Friday", "Jan.–Mar." to "January to March"."""
    names = _WEEKDAYS | _MONTHS
    return _SPAN.sub(lambda m: f"{names[m[1]]} to {names[m[2]]}", text) if "-" in text or "–" in text else text


def _time(match: re.Match[str]) -> str:
    hour, minute, second, meridiem = match[1], match[2], match[3], match["meridiem"]
    if int(hour) > 24 or int(minute) > 59 or (second and int(second) > 59):
        return match[0]
    words = cardinal(str(int(hour)))
    if minute == "00":
        words += "" if meridiem or second else " o'clock" if int(hour) else " hundred"
    else:
        words += f" {_two_digits(minute)}"
    if second:
        seconds = str(int(second))
        words += f" and {cardinal(seconds)} second{'' if seconds == '1' else 's'}"
    return words + (f" {meridiem.lower()}.m." if meridiem else "")


def _hour(match: re.Match[str]) -> str:
    hour, minute = match[1], match[2]
    if int(hour) > 24 or (minute and int(minute) > 59):
        return match[0]
    between = f"{_two_digits(minute)} " if minute and minute != "00" else ""
    return f"{cardinal(str(int(hour)))} {between}{match['meridiem'].lower()}.m."


def _ratio(match: re.Match[str]) -> str:
    return f"{cardinal(match[1])} to {cardinal(match[2])}"


def _date(year_written: str | None, month: str, day: str) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    after = f", {year(year_written)}" if year_written else ""
    return f"{_NAMES[int(month) - 1]} {ordinal(day)}{after}"


def day_of_month(month: str, day: str) -> str | None:
    """Return "October thirty first" for "10", "31"; None if the month or day does not exist."""
    return _date(None, month, day)


def _slashes(match: re.Match[str]) -> str:
    first, second, written = match.groups()
    if len(written) == 2:
        written = f"{'19' if int(written) > 30 else '20'}{written}"
    month, day = (first, second) if int(first) <= 12 else (second, first)
    return _date(written, month, day) or match[0]


def _month_day(match: re.Match[str]) -> str:
    month, day, comma, written = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    after = f"{comma} {year(written)}" if written else ""
    return f"{_MONTHS[month]} {ordinal(day)}{after}"


def _day_month(match: re.Match[str]) -> str:
    article, day, suffix, of, month, comma, written = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    after = f"{comma} {year(written)}" if written else ""
    if suffix and not of:
        return f"{article or ''}{ordinal(day)} {_MONTHS[month]}{after}"
    return f"{article or 'the '}{ordinal(day)} of {_MONTHS[month]}{after}"


def _decade(match: re.Match[str]) -> str:
    century, decade, short = match.groups()
    if short is not None:
        return plural(cardinal(f"{short}0")) if short != "0" else "two thousands"
    if decade == "0":
        return plural(year(f"{century}00")) if int(century) % 10 else plural(cardinal(f"{century}00"))
    return f"{cardinal(str(int(century)))} {plural(cardinal(f'{decade}0'))}"


def _two_digits(written: str) -> str:
    return f"oh {cardinal(written[1])}" if written[0] == "0" else cardinal(written)

"""Verbalisation of currency amounts, with the sign before or after the number."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import NUMBER, cardinal, decimal, is_one

# Singular and plural of the unit and of its hundredth. The hundredth is empty if the currency does not use one.
_UNITS: dict[str, tuple[str, str, str, str]] = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₺": ("lira", "lira", "", ""),
    "₴": ("hryvnia", "hryvnias", "", ""),
    "₪": ("shekel", "shekels", "", ""),
    "₫": ("dong", "dong", "", ""),
    "₱": ("peso", "pesos", "centavo", "centavos"),
    "₦": ("naira", "naira", "", ""),
    "฿": ("baht", "baht", "", ""),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "CA$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "AU$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars", "cent", "cents"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"),
    "R$": ("real", "reais", "centavo", "centavos"),
    "CHF": ("Swiss franc", "Swiss francs", "", ""),
    "SEK": ("Swedish krona", "Swedish kronor", "", ""),
    "NOK": ("Norwegian krone", "Norwegian kroner", "", ""),
    "DKK": ("Danish krone", "Danish kroner", "", ""),
    "PLN": ("zloty", "zlotys", "", ""),
    "CNY": ("yuan", "yuan", "", ""),
    "RMB": ("yuan", "yuan", "", ""),
}
_ALIASES = {
    "USD": "US$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "Rs": "₹", "Rs.": "₹", "KRW": "₩", "RUB": "₽",
    "CAD": "C$", "AUD": "A$", "NZD": "NZ$", "HKD": "HK$", "BRL": "R$",
}  # fmt: skip
_LARGE = {
    "k": "thousand", "m": "million", "mn": "million", "mio": "million",
    "b": "billion", "bn": "billion", "t": "trillion", "tn": "trillion",
}  # fmt: skip
_SIGNS = "".join(sign for sign in _UNITS if len(sign) == 1) + "¢"
_sign = "|".join(re.escape(sign) for sign in sorted({**_UNITS, **_ALIASES}, key=len, reverse=True))
_large = r"(?:\s?(?P<large>hundred|thousand|million|billion|trillion)\b|(?P<short>[kKmMbBtT]|bn|mn|tn|mio|Bn|Mn)\b)?"
_amount = rf"(?P<amount>{NUMBER}|\.\d+)(?P<comma>,\d\d(?!\d))?"
_BEFORE = re.compile(
    rf"(?<![A-Za-z\d])(?P<minus>-)?(?P<sign>{_sign})\s?(?P<minus2>-)?{_amount}{_large}(?P<plus>\+)?(?!\w)"
)
_AFTER = re.compile(rf"(?<![\w.,])(?P<minus>-)?{_amount}{_large}\s?(?P<sign>{_sign})(?![\w.]*\d)(?!\w)")
_RANGE = re.compile(rf"(?<![A-Za-z\d])(?P<sign>{_sign})\s?({NUMBER})\s?[-–—]\s?(?P=sign)?({NUMBER})(?=\W|$|[kKmMbB]\b)")
_BETWEEN = re.compile(rf"(?<=[\dkKmMbBn])\s?[-–—]\s?(?=(?:{_sign})\s?\d)")
_CENTS = re.compile(rf"(?<![\w.,])({NUMBER})\s?¢")
_NOUN = re.compile(
    r" (?:bill|note|coin|question|deal|prize|fine|fee|ticket|tip|bet|budget|loan|gift|discount|bonus"
    r"|investment|contract|reward)\b"
)
_PER = re.compile(r"(dollars?|pounds?|euros?|cents?|yen)/(?=[a-z])")
_HYPHEN = re.compile(r"(dollar|pound|euro)s-(?=[a-z])")
_ANY = re.compile(rf"[{re.escape(_SIGNS)}]|{'|'.join(re.escape(s) for s in (*_UNITS, *_ALIASES) if len(s) > 1)}")


def verbalize_currency(text: str) -> str:
    """Verbalise amounts: "$15.50" to "fifteen dollars and fifty cents", "$5M" to "five million dollars"."""
    if not _ANY.search(text):
        return text
    text = _RANGE.sub(lambda m: f"{decimal(m[2])} to {m['sign']}{m[3]}", text)
    text = _BETWEEN.sub(" to ", text)
    text = _AFTER.sub(_verbalize, _BEFORE.sub(_verbalize, text))
    text = _CENTS.sub(lambda m: f"{decimal(m[1])} {'cent' if is_one(m[1]) else 'cents'}", text)
    return _HYPHEN.sub(r"\1 ", _PER.sub(r"\1 per ", text))


def _verbalize(match: re.Match[str]) -> str:
    sign, amount, comma = match["sign"], match["amount"], match["comma"]
    singular, plural, cent, cents = _UNITS[_ALIASES.get(sign, sign)]
    groups = match.groupdict()
    minus = "minus " if match["minus"] or groups.get("minus2") else ""
    plus = " plus" if groups.get("plus") else ""
    large = match["large"] or _LARGE.get((match["short"] or "").lower())
    if _NOUN.match(match.string, match.end()):
        plural = singular
    if large:
        return f"{minus}{decimal(amount)} {large} {plural}{plus}"
    integer, point, fraction = amount.partition(".")
    if comma and not point:
        integer, point, fraction = amount, ".", comma[1:]
    if not (point and cent and len(fraction) == 2):
        return f"{minus}{decimal(amount)} {singular if is_one(amount) else plural}{plus}"
    words = []
    if int(integer.replace(",", "") or 0) or fraction == "00":
        words.append(f"{cardinal(integer)} {singular if is_one(integer) else plural}")
    if fraction != "00":
        words.append(f"{cardinal(str(int(fraction)))} {cent if fraction == '01' else cents}")
    return minus + " and ".join(words) + plus

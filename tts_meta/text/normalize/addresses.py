"""Verbalisation of URLs, e-mail addresses, file names, hashtags and mentions, part by part."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import spell_digits

# Country domains that are also English words are not in this list; they are domains only after `www.` or `https://`.
_DOMAINS = (
    "com|org|net|edu|gov|mil|int|info|biz|name|app|dev|io|ai|co|uk|de|fr|eu|ch|nl|ca|au|nz"
    "|jp|cn|ru|es|se|pl|br|tv|ly|fm|gg|xyz"
)
_FILES = (
    "pdf|txt|doc|docx|xls|xlsx|ppt|pptx|csv|tsv|json|xml|yaml|yml|toml|html|htm|css|js|ts|py|rs|cpp|java|sh|md|zip|gz|tar"
    "|exe|jpg|jpeg|png|gif|svg|mp3|mp4|wav|flac|ogg|avi|mov|epub|log|ini|cfg"
)
_path = r"(?:[/?#][^\s<>\"“”]*)?"
_WEB = re.compile(
    rf"(?<![\w@.])(?:(?:https?|ftp)://[^\s<>\"“”]+|www\.[^\s<>\"“”]+|(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}(?:{_DOMAINS})"
    rf"(?![\w-]|\.\w|@)(?::\d+)?{_path})"
)
_MAIL = re.compile(r"(?<![\w@.+-])(?:mailto:)?[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_FILE = re.compile(rf"(?<![\w@./])(?:[\w-]{{1,100}}[./]){{1,12}}(?:{_FILES})\b(?![./]\w)", re.IGNORECASE)
_HASHTAG = re.compile(r"(?<![\w&#])#(?=\w*[^\W\d_])(\w+)")
_MENTION = re.compile(r"(?<![\w@])@(\w[\w.]*\w|\w)")
_TRAILING = ".,;:!?)]}'\"…*_"
_SCHEME = re.compile(r"^(?:https?|ftp)://|^mailto:")
_PART = re.compile(r"\d+|[^\W\d_]+|\S")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|_+")
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "%": "percent", "#": "hash", "~": "tilde", "+": "plus",
}  # fmt: skip
_WORDS = frozenset(
    [
        "com",
        "org",
        "net",
        "info",
        "gov",
        "biz",
        "zip",
        "exe",
        "doc",
        "json",
        "xml",
        "java",
        "log",
        "mov",
        "app",
        "dev",
        "wav",
    ]
)
"""Suffixes that are read as words. Other short suffixes are spelled."""
_VOWEL = re.compile(r"[aeiouyAEIOUYà-ÿ]")


def verbalize_addresses(text: str) -> str:
    """Verbalise addresses: "www.x.org" to "WWW dot X. dot org", "a_b@x.de" to "A. underscore B. at X. dot DE"."""
    if "@" in text:
        text = _MAIL.sub(_address, text)
    if "." in text or "://" in text:
        text = _FILE.sub(_address, _WEB.sub(_address, text))
    if "#" in text:
        text = _HASHTAG.sub(lambda m: f"hashtag {_CAMEL.sub(' ', m[1]).strip()}", text)
    if "@" in text:
        text = _MENTION.sub(lambda m: f"at {_CAMEL.sub(' ', m[1].replace('.', ' dot ')).strip()}", text)
    return text


def _address(match: re.Match[str]) -> str:
    address = match[0].rstrip(_TRAILING)
    if address.count("(") > address.count(")") and match[0][len(address) :].startswith(")"):
        address += ")"
    after = match[0][len(address) :]
    address = _SCHEME.sub("", address).rstrip("/")
    parts = _PART.findall(address)
    spoken = (_part(part, index > 0 and parts[index - 1] == ".") for index, part in enumerate(parts))
    return " ".join(word for word in spoken if word) + after


def _part(part: str, after_dot: bool) -> str:
    if part.isdecimal():
        return spell_digits(part)
    if not part[0].isalpha():
        return _SIGNS.get(part, "")
    lower = part.lower()
    if len(part) == 1:
        return f"{part.upper()}."
    if lower in _WORDS:
        return lower
    is_short_suffix = after_dot and len(part) <= 2
    is_spelled = (
        is_short_suffix or not _VOWEL.search(part) or (after_dot and re.fullmatch(_FILES, lower) and len(part) <= 4)
    )
    return part.upper() if is_spelled and len(part) <= 6 else part

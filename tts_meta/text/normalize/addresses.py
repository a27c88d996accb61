"""Web and mail addresses, file names, hashtags and mentions, read part by part."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import spell_digits

# Country domains that are English words are read as domains only after `www.` or before a path.
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
_AFTER = ".,;:!?)]}'\"…*_"
_SCHEME = re.compile(r"^(?:https?|ftp)://|^mailto:")
_PIECE = re.compile(r"\d+|[^\W\d_]+|\S")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|_+")
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "%": "percent", "#": "hash", "~": "tilde", "+": "plus",
}  # fmt: skip
_WORDS = {
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
}
_VOWEL = re.compile(r"[aeiouyAEIOUYà-ÿ]")


def verbalize_addresses(text: str) -> str:
    """ "www.example.org" is "WWW dot example dot org", "a_b@x.de" "A. underscore B. at X. dot DE"."""
    if "@" in text:
        text = _MAIL.sub(_spoken, text)
    if "." in text or "://" in text:
        text = _FILE.sub(_spoken, _WEB.sub(_spoken, text))
    if "#" in text:
        text = _HASHTAG.sub(lambda m: f"hashtag {_CAMEL.sub(' ', m[1]).strip()}", text)
    if "@" in text:
        text = _MENTION.sub(lambda m: f"at {_CAMEL.sub(' ', m[1].replace('.', ' dot ')).strip()}", text)
    return text


def _spoken(found: re.Match[str]) -> str:
    address = found[0].rstrip(_AFTER)
    if address.count("(") > address.count(")") and found[0][len(address) :].startswith(")"):
        address += ")"
    after = found[0][len(address) :]
    address = _SCHEME.sub("", address).rstrip("/")
    pieces = _PIECE.findall(address)
    spoken = (_piece(piece, number > 0 and pieces[number - 1] == ".") for number, piece in enumerate(pieces))
    return " ".join(word for word in spoken if word) + after


def _piece(piece: str, after_dot: bool) -> str:
    if piece.isdecimal():
        return spell_digits(piece)
    if not piece[0].isalpha():
        return _SIGNS.get(piece, "")
    lower = piece.lower()
    if len(piece) == 1:
        return f"{piece.upper()}."
    if lower in _WORDS:
        return lower
    short_suffix = after_dot and len(piece) <= 2
    spelled = (
        short_suffix or not _VOWEL.search(piece) or (after_dot and re.fullmatch(_FILES, lower) and len(piece) <= 4)
    )
    return piece.upper() if spelled and len(piece) <= 6 else piece

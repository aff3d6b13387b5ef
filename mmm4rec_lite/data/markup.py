"""Texts of web pages as plain text."""

import html
import re

from mmm4rec_lite.utils.optional import extra

LONGEST_TEXT = 2_000  # characters; UniSRec's preparing empties texts of this length, here they are cut
TAG, ENTITY = r"</?[a-zA-Z][^<>]*>", r"&#?\w+;"


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Plain text: entities resolved, tags and scripts left out, white space single, at most so many characters."""
    text = html.unescape(text[: 10 * longest])
    if re.search(TAG, text):  # not for "<5 mm" or "a < b"
        with extra("data"):
            from bs4 import BeautifulSoup
        text = BeautifulSoup(text, "html.parser").get_text(" ")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:longest]

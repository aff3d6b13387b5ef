"""Prose for the tests of style: what a reader reads, without code, formulas, links and references."""

import re

import nbformat

SKIPPED = (
    (re.compile(r"```.*?```", re.DOTALL), " "),
    (re.compile(r"\$\$.*?\$\$", re.DOTALL), " "),
    (re.compile(r"\$[^$\n]+\$"), "M"),
    (re.compile(r"`[^`\n]*`"), "CODE"),
    (re.compile(r"\]\([^)]*\)"), "]"),
    (re.compile(r"<[^>]+>|https?://\S+"), " "),
    (re.compile(r"\*\"[^\"]*\"\*"), "QUOTED"),  # the paper's own sentences
)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.|\||#) ?)")
END = re.compile(r"(?<=[.?!:;])[\"*)\]]*\s+(?=[A-Z*\"(`\[])")


def markdown(path):
    """The text of a document, or of a notebook's prose."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


def plain(text):
    """Text without what is no prose."""
    text = text.partition("## References")[0]
    for pattern, instead in SKIPPED:
        text = pattern.sub(instead, text)
    return text


def sentences(text):
    """The sentences of a text, tables left out."""
    for block in BLOCK.split(plain(text)):
        if not block.strip().startswith("|"):
            yield from (one.strip() for one in END.split(block.replace("\n", " ")) if one.strip())

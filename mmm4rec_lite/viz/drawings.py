"""Drawings as SVG for light and dark pages: boxes, arrows, cells, labels; text blue, image orange, as in figures.

In labels ``_x`` is a subscript and ``^x`` a superscript, of several letters in braces: ``a_t``, ``D^{v}``. Lengths are
SVG units; a drawing scales to the width that it is shown in.
"""

import copy
import re
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

Point = tuple[float, float]
MARKS = re.compile(r"([_^](?:\{[^}]*\}|.))")
LIGHT = dict(ink="#1f2933", paper="#ffffff", muted="#52606d", plain="#7b8794 #f1f4f7", text="#0173b2 #dcebf5")
LIGHT |= dict(image="#b36b00 #fdeed3", time="#02785a #d5f0e7", fused="#7a3e9d #eddff5")
DARK = dict(ink="#e6e9ed", paper="#14181d", muted="#a9b3bd", plain="#8592a0 #262d35", text="#56b4e9 #12344a")
DARK |= dict(image="#f0ab3c #4a330a", time="#4fd1ab #0d3d30", fused="#cfa6ea #3b2350")
KINDS = "plain", "image", "text", "time", "fused"


class Box(NamedTuple):
    """A rectangle that was drawn; arrows begin and end at its edges."""

    x: float
    y: float
    width: float
    height: float

    def top(self, share: float = 0.5) -> Point:
        """The point on the upper edge, ``share`` of the width from the left."""
        return self.x + share * self.width, self.y

    def bottom(self, share: float = 0.5) -> Point:
        """The same on the lower edge."""
        return self.x + share * self.width, self.y + self.height

    def left(self, share: float = 0.5) -> Point:
        """The point on the left edge, ``share`` of the height from above."""
        return self.x, self.y + share * self.height

    def right(self, share: float = 0.5) -> Point:
        """The same on the right edge."""
        return self.x + self.width, self.y + share * self.height


class Drawing:
    """A drawing that notebooks show and files keep.

    Parameters
    ----------
    name : of its file
    title : above it
    words : alternative text, what it shows for those who do not see it
    width, height : of the canvas
    """

    def __init__(self, name: str, title: str, words: str, width: float, height: float):
        self.name, self.title, self.words, self.width, self.height = name, title, words, width, height
        self.begins = 0.0  # the height that it is shown from
        self.parts: list[str] = []
        self.labels: list[tuple[str, Box]] = []  # every label with the place that it takes
        self.text(width / 2, 28, title, size=18, bold=True)

    def text(
        self, x: float, y: float, label: str, kind: str = "ink", size: float = 15, anchor: str = "middle", **look: bool
    ) -> None:
        """Lines of a label, the first one's middle at ``y``; ``look``: bold, or code (a fixed-width font, no marks)."""
        for i, line in enumerate(label.split("\n")):
            bold, code = look.get("bold", False), look.get("code", False)
            middle, length = y + 1.25 * size * i, _length(line, size, code) * (1.08 if bold else 1)
            start = x - dict(start=0, middle=length / 2, end=length)[anchor]
            self.labels.append((line, Box(start, middle - size / 2, length, size)))
            style = ("bold " if bold else "") + ("code " if code else "") + f"ink-{kind}"
            place = f'x="{x:g}" y="{middle + 0.35 * size:g}" font-size="{size:g}" text-anchor="{anchor}"'
            self.parts.append(f'<text {place} class="{style}">{escape(line) if code else _marked(line, size)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, label: str = "", kind: str = "plain", **look: Any
    ) -> Box:
        """A box with a label in its middle; ``look``: dashed, faint (no fill), shade (0 to 1), size, bold, code."""
        shade, dashes = look.pop("shade", None), ' stroke-dasharray="5 4"' if look.pop("dashed", False) else ""
        fill = 'fill="none"' if look.pop("faint", False) else f'class="fill-{kind}"'
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"'
        self.parts.append(f'<rect {place} {fill}/><rect {place} fill="none" class="line-{kind}"{dashes}/>')
        if shade is not None:
            self.parts.append(f'<rect {place} class="solid-{kind}" opacity="{0.6 * shade:.3f}"/>')
        size = look.get("size", 15)
        if label:
            self.text(x + width / 2, y + height / 2 - 0.625 * size * label.count("\n"), label, **look)
        return Box(x, y, width, height)

    def arrow(self, *points: Point, kind: str = "plain", dashed: bool = False, head: bool = True) -> None:
        """A line through the points, with its head at the last one."""
        (x0, y0), (x, y) = points[-2:]
        size = max(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5, 1e-9)
        dx, dy = (x - x0) / size, (y - y0) / size
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        ends = [*points[:-1], (x - 6 * dx, y - 6 * dy) if head else (x, y)]
        way = " ".join(f"{a:.1f},{b:.1f}" for a, b in ends)
        self.parts.append(f'<polyline points="{way}" fill="none" class="line-{kind}"{dashes}/>')
        if head:
            tip = (x, y), (x - 9 * dx + 4.5 * dy, y - 9 * dy - 4.5 * dx), (x - 9 * dx - 4.5 * dy, y - 9 * dy + 4.5 * dx)
            self.parts.append(f'<path d="M{" L".join(f"{a:.1f} {b:.1f}" for a, b in tip)} Z" class="solid-{kind}"/>')

    def shape(self, form: str, x: float, y: float, colour: str) -> None:
        """A thing for sale around (x, y): round, oval, tall or boxy, in a colour of its own."""
        rx, ry = dict(round=(14, 14), oval=(18, 10), tall=(8, 16)).get(form, (14, 14))
        drawn = f'<ellipse cx="{x:g}" cy="{y:g}" rx="{rx}" ry="{ry}" fill="{colour}"/>'
        square = f'<rect x="{x - rx:g}" y="{y - ry:g}" width="{2 * rx}" height="{2 * ry}" fill="{colour}"/>'
        self.parts.append(square if form == "boxy" else drawn)

    def legend(self, y: float, names: dict[str, str], x: float = 24) -> None:
        """What the colours mean, in a row."""
        for kind, name in names.items():
            self.box(x, y - 7, 14, 14, kind=kind)
            self.text(x + 20, y, name, "muted", 13, "start")
            x += 44 + _length(name, 13)

    def part(self, begins: float, ends: float) -> "Drawing":
        """What lies between two heights, for a slide."""
        cut = copy.copy(self)
        cut.begins, cut.height = begins, ends - begins
        return cut

    def svg(self) -> str:
        """The whole file."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        view = f'viewBox="0 {self.begins:g} {self.width:g} {self.height:g}"'
        head = f'xmlns="http://www.w3.org/2000/svg" {view} {size} class="m4r" role="img"'
        told = f"<title>{escape(self.title)}</title><desc>{escape(self.words)}</desc>"
        page = f'<rect width="{self.width:g}" height="{self.begins + self.height:g}" class="paper"/>'
        return f"<svg {head}>{told}<style>{_STYLE}</style>{page}\n" + "\n".join(self.parts) + "\n</svg>\n"

    def _repr_mimebundle_(self, include=None, exclude=None):
        told = f"{self.title}: {self.words}"
        return {"image/svg+xml": self.svg(), "text/plain": told}, {"image/svg+xml": {"alt": told}}


def _length(line, size, code=False):
    """About how wide a line is."""
    if code:
        return 0.61 * size * len(line)
    marked = sum(len(part.strip("_^{}")) for part in MARKS.findall(line))
    plain = len(re.sub("[\u0302\u0303]", "", MARKS.sub("", line)))  # a hat takes no room
    return size * (0.54 * plain + 0.4 * marked)


def _marked(line, size):
    """A label's line as tspans, its subscripts and superscripts moved."""
    spans, moved = [], 0.0
    for part in MARKS.split(line):
        mark = MARKS.fullmatch(part)
        move = (0.26 if part[0] == "_" else -0.36) * size if mark else 0.0
        small = f' font-size="{0.72 * size:.1f}"' if mark else ""
        if part:
            spans.append(
                f'<tspan dy="{move - moved:.1f}"{small}>{escape(part[1:].strip("{}") if mark else part)}</tspan>'
            )
            moved = move
    return "".join(spans)


def _colours(theme):
    kinds = {kind: theme[kind].split() for kind in KINDS}
    named = [f"--{name}:{theme[name]}" for name in ("ink", "paper", "muted")]
    return ";".join([*named, *(f"--{kind}:{line};--{kind}-fill:{fill}" for kind, (line, fill) in kinds.items())])


_KIND = ".m4r .fill-{0}{{fill:var(--{0}-fill)}}.m4r .line-{0}{{stroke:var(--{0});stroke-width:1.6}}"
_KIND += ".m4r .solid-{0}{{fill:var(--{0})}}.m4r .ink-{0}{{fill:var(--{0})}}"
_STYLE = (
    f".m4r{{{_colours(LIGHT)}}}@media (prefers-color-scheme:dark){{.m4r{{{_colours(DARK)}}}}}"
    ".m4r text{font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif}.m4r .bold{font-weight:600}"
    ".m4r .code{font-family:ui-monospace,'DejaVu Sans Mono',monospace}.m4r .paper{fill:var(--paper)}"
    ".m4r .ink-ink{fill:var(--ink)}.m4r .ink-muted{fill:var(--muted)}" + "".join(map(_KIND.format, KINDS))
)

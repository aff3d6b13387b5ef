"""The eight drawings of the series: what the model is made of, and how its parts work together.

``mmm4rec-lite drawings`` writes them to ``docs/drawings``; notebooks show them as they are.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn.functional import silu, softplus

from mmm4rec_lite.analysis.decay import left_over
from mmm4rec_lite.data.synthetic import DAY, HOUR
from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz.drawings import Drawing

MODALITIES = {"image": "image", "text": "text", "time": "time stamps", "fused": "both fused"}


def model() -> Drawing:
    """MMM4Rec as a whole (the paper's Figure 3)."""
    words = (
        "Images on the left and texts on the right each pass a frozen encoder and an adapter, then TiSSD with the same "
        "weights for both. Time gaps in the middle steer TiSSD, pass the Fourier filter and steer TiCoSSD, in which "
        "images ask and texts answer. The last step is the user vector; its product with both vectors of an item is "
        "the score."
    )
    d = Drawing("model", "MMM4Rec: from a history to scores (the paper's Figure 3)", words, 720, 930)
    history = d.box(30, 54, 660, 42, "history of one user: items i_1 ... i_L at times t_1 ... t_L")
    image, text, time = 30, 490, 265
    columns = []
    for x, kind, v in ((image, "image", "v"), (text, "text", "t")):
        encoder = d.box(x, 126, 200, 50, f"{kind} encoder Φ^{v}\nfrozen, once per item", kind, dashed=True)
        adapter = d.box(x, 206, 200, 50, f"adapter Ψ^{v} (+ table E^{v})\nX^{v}, eq. 2", kind)
        tissd = d.box(x, 306, 200, 66, "TiSSD\neq. 3 to 9", kind)
        forward = d.box(x, 420, 200, 50, f"add X^{v}, LN, FFN, LN\nP^{v}, eq. 10, 11", kind)
        d.arrow((x + 100, 96), encoder.top(), kind=kind)
        for one, other in ((encoder, adapter), (adapter, tissd), (tissd, forward)):
            d.arrow(one.bottom(), other.top(), kind=kind)
        columns.append((tissd, forward))
    (tissd_v, P_v), (tissd_t, P_t) = columns
    gaps = d.box(time, 136, 190, 50, "gaps of t, normalised\nD, eq. 5", "time")
    d.arrow(history.bottom(), gaps.top(), kind="time")
    d.arrow(gaps.bottom(), (360, 321), tissd_v.right(0.23), kind="time")
    d.arrow((360, 321), tissd_t.left(0.23), kind="time")
    d.arrow((300, 345), tissd_v.right(0.6), kind="fused", dashed=True)
    d.arrow((420, 345), tissd_t.left(0.6), kind="fused", dashed=True)
    d.text(360, 345, "the same weights", "fused", 14)
    fourier = d.box(time, 420, 190, 50, "Fourier filter\neq. 12 to 16", "time")
    d.arrow(tissd_v.bottom(0.9), (210, 396), (310, 396), fourier.top(45 / 190), kind="time")
    d.arrow(tissd_t.bottom(0.1), (510, 396), (410, 396), fourier.top(145 / 190), kind="time")
    d.text(250, 383, "D̂^v", "time", 14)
    d.text(470, 383, "D̂^t", "time", 14)
    cross = d.box(60, 532, 600, 50, "TiCoSSD: the fusion\nM, eq. 17, 18", "fused")
    d.arrow(P_v.bottom(), (130, cross.y), kind="image")
    d.arrow(fourier.bottom(), cross.top(), kind="time")
    d.arrow(P_t.bottom(), (590, cross.y), kind="text")
    d.text(140, 502, "asks: C", "image", 14, "start")
    d.text(370, 502, "steps: D̂^f", "time", 14, "start")
    d.text(580, 502, "answers: B, X, Δ", "text", 14, "end")
    add = d.box(160, 632, 400, 50, "add P^v and P^t, LN, FFN, LN\nY, eq. 19", "fused")
    d.arrow(cross.bottom(), add.top(), kind="fused")
    d.arrow(P_v.left(), (18, 445), (18, 657), add.left(), kind="image")
    d.arrow(P_t.right(), (702, 445), (702, 657), add.right(), kind="text")
    d.box(6, 276, 708, 420, faint=True, dashed=True)
    d.text(200, 289, "one layer", "muted", 14, "start")
    user = d.box(160, 732, 190, 50, "user u = y_L\nthe last step of Y", "fused")
    d.arrow((255, 682), user.top(), kind="fused")
    d.box(400, 732, 290, 50, "every item i of the catalogue:\nΨ^v(Φ^v(i)) and Ψ^t(Φ^t(i))")
    d.box(160, 832, 400, 46, "score ⟨u, i⟩ = u · Ψ^v(i) + u · Ψ^t(i), eq. 20")
    d.arrow(user.bottom(), (255, 832), kind="fused")
    d.arrow((500, 782), (500, 832))
    d.legend(908, MODALITIES)
    return d


def problems() -> Drawing:
    """The two problems that the paper sets out from (its Figure 1)."""
    words = (
        "Left: two customers buy the same red boxy lamp. One bought red things, so its picture counts; the other "
        "bought boxy things, so its text counts. Right: six purchases with a pause of two months in the middle. "
        "Attention starts by weighing all alike, a decaying state weighs the latest most, and a time-aware state "
        "weighs least what lies before the pause."
    )
    d = Drawing("problems", "Two problems of multi-modal recommendation (the paper's Figure 1)", words, 720, 430)
    d.text(20, 66, "(a) Which modality counts, and for whom?", anchor="start", bold=True)
    d.text(400, 66, "(b) Which past item counts?", anchor="start", bold=True)
    red, other = "#d1495b", ("#3d7ea6", "#5d8a4e", "#c9a227")
    cards = {
        "A": [("round", red), ("oval", red), ("tall", red), ("boxy", red)],
        "B": [("boxy", other[0]), ("boxy", other[1]), ("boxy", other[2]), ("boxy", red)],
    }
    for row, (who, shown) in enumerate(cards.items()):
        y, counts = 118 + 140 * row, "image" if who == "A" else "text"
        for i, ((shape, colour), thing) in enumerate(zip(shown, ("rug", "mug", "clock", "lamp"))):
            x = 20 + 82 * i + (14 if i == 3 else 0)
            d.box(x, y, 72, 44, kind="image" if counts == "image" else "plain")
            d.shape(shape, x + 36, y + 22, colour)
            d.box(x, y + 44, 72, 40, f"{shape}\n{thing}", "text" if counts == "text" else "plain", size=13)
        d.arrow((257, y + 42), (278, y + 42))
        told = "all are red: the picture counts" if who == "A" else "all are boxy: the text counts"
        d.text(20, y - 16, f"customer {who}: {told}", counts, 14, "start")
    d.text(20, 366, "The lamp is the same, its features too;", "muted", 14, "start")
    d.text(20, 386, "what it means depends on the history.", "muted", 14, "start")
    pause = 42
    rows = (
        ("attention, before training: all alike", "plain", [1.0] * 6),
        ("decaying state: the latest count most", "fused", [0.8 ** (5 - i) for i in range(6)]),
        (
            "time-aware state: a pause counts as well",
            "time",
            [0.8 ** (5 - i) * (0.2 if i < 3 else 1) for i in range(6)],
        ),
    )
    for row, (name, kind, weights) in enumerate(rows):
        base = 168 + 84 * row
        d.text(400, base - 66, name, kind if kind != "plain" else "ink", 14, "start")
        for i, weight in enumerate(weights):
            x = 400 + 42 * i + (pause if i > 2 else 0)
            d.box(x, base - 50 * weight, 30, 50 * weight, kind=kind, shade=0.5)
    for i in range(6):
        x = 400 + 42 * i + (pause if i > 2 else 0)
        d.box(x, 346, 30, 24, f"i_{i + 1}", size=13)
    d.text(535.5, 388, "pause: 2 months", "time", 13)
    d.legend(412, {"image": "image", "text": "text", "time": "time stamps", "fused": "state"})
    return d


def duality() -> Drawing:
    """The recurrence beside the matrix, cell by cell."""
    words = (
        "Left: four inputs enter a chain of four states; from state to state all is multiplied by a. Right: the mask, "
        "a triangle of cells; the cell in row 4, column 1 holds a4 a3 a2, the three factors on the way from input 1 "
        "to state 4. With a = 1/2 it is 1/8."
    )
    d = Drawing("duality", "One operator, two forms: recurrence and matrix", words, 720, 462)
    d.text(20, 66, "step by step: h_t = a_t h_{t-1} + x_t", anchor="start", bold=True)
    d.text(412, 66, "all at once: h = M x", anchor="start", bold=True)
    states = [d.box(20 + 94 * i, 150, 52, 46, f"h_{i + 1}", "fused") for i in range(4)]
    inputs = [d.box(20 + 94 * i, 270, 52, 46, f"x_{i + 1}") for i in range(4)]
    for i, (state, one) in enumerate(zip(states, inputs)):
        d.arrow(one.top(), state.bottom(), kind="fused" if i == 0 else "plain")
        if i:
            d.arrow(states[i - 1].right(), state.left(), kind="fused")
            d.text(states[i - 1].x + 73, 136, f"· a_{i + 1}", "fused")
            d.text(states[i - 1].x + 73, 112, "①②③"[i - 1], "fused", 17)
    d.text(20, 352, "What is left of x_1 in h_4? Follow ① ② ③:", "ink", 15, "start")
    d.text(20, 376, "a_4 a_3 a_2 x_1", "fused", 16, "start", bold=True)
    side, x, y = 66, 440, 112
    for r in range(4):
        d.text(x - 18, y + side * (r + 0.5), f"h_{r + 1}", "muted")
        d.text(x + side * (r + 0.5), y - 14, f"x_{r + 1}", "muted")
        for c in range(4):
            factors = " ".join(f"a_{k}" for k in range(r + 1, c + 1, -1))
            label = "0" if c > r else f"{factors or 1}" + (f"\n1/{2 ** (r - c)}" if c < r else "")
            way = (r, c) == (3, 0)
            d.box(x + side * c, y + side * r, side, side, label, "fused" if way else "plain", faint=c > r, size=13)
    d.text(x + 33, y + 4 * side + 16, "① ② ③", "fused", 15)
    d.text(x, y + 4 * side + 44, "row t reads, column s was written;", "muted", 14, "start")
    d.text(x, y + 4 * side + 62, "below: the number for a = 1/2", "muted", 14, "start")
    return d


def chunks() -> Drawing:
    """Chunks that hand a state over."""
    words = (
        "Left: a mask of twelve steps. Three squares on the diagonal are computed directly; the strips left of them "
        "are all that a chunk knows of earlier ones. Right: three chunks, each handing one state to the next."
    )
    d = Drawing("chunks", "Chunks: masked form within, one state between", words, 720, 430)
    side, x, y = 24, 70, 92
    d.text(x + 6 * side, y - 32, "input of step s", "muted", 14)
    for t in range(12):
        d.text(x + side * (t + 0.5), y - 12, f"{t + 1}", "muted", 12)
        d.text(x - 14, y + side * (t + 0.5), f"{t + 1}", "muted", 12)
        for s in range(t + 1):
            kind = "fused" if s // 4 == t // 4 else "time"
            d.box(x + side * s, y + side * t, side, side, kind=kind, shade=0.85 ** (t - s))
    d.text(20, y + 6 * side, "read\nat\nstep\nt", "muted", 14)
    previous = None
    for k in range(3):
        top = 84 + 112 * k
        one = d.box(
            470, top, 220, 56, f"chunk {k + 1}: steps {4 * k + 1} to {4 * k + 4}\nmasked form, all at once", "fused"
        )
        square = x + side * (4 * k + 2), y + side * (4 * k + 1.5)  # the right edge of its second row
        d.arrow(square, one.left(), kind="fused", dashed=True)
        if previous:
            d.arrow(previous.bottom(), one.top(), kind="time")
            d.text(570, top - 28, f"state h_{4 * k}", "time", 14, "end")
        previous = one
    d.legend(410, {"fused": "within a chunk: computed directly", "time": "before the chunk: through one state"}, 70)
    return d


def pencil(gaps: Sequence[float]) -> dict[str, Float[Tensor, " L"]]:
    """Eq. 5 to 7 for one head whose numbers a pencil can check, in this library's order.

    ``gaps``: seconds, the first one not looked at. A usual gap is a day, a week one unit more; alpha = 2, the two
    convolutions see the step itself alone, Delta = 1, b = -2, A = -2.
    """
    seconds = torch.tensor(gaps, dtype=torch.float64)
    D = (torch.log1p(seconds) - math.log1p(DAY)) / math.log(7)
    D[0] = 0
    D_hat = silu(silu(2 * D))
    dt = softplus(1 * D_hat - 2)
    return {"gap": seconds, "D": D, "D_hat": D_hat, "dt": dt, "kept": torch.exp(-2 * dt)}


def gap_to_mask() -> Drawing:
    """From a gap to the time signal, the step, the decay and the mask."""
    words = (
        "A table of four purchases with gaps of an hour, a week and a day. Each gap becomes a time signal D, which "
        "alpha and two convolutions turn into D-hat; softplus makes the step of it, the step the decay. The week has "
        "the largest step and the smallest decay. Beside it the mask: the week scales the whole rectangle of later "
        "rows and earlier columns."
    )
    d = Drawing("gap_to_mask", "From gap to mask: what a pause does (eq. 5 to 8)", words, 720, 488)
    found = pencil([0, HOUR, 7 * DAY, DAY])
    mask = left_over(found["gap"].tolist(), found["dt"].tolist(), -2.0)["mask"]
    names = ["gap", "signal D\neq. 5", "D̂, by α\neq. 5", "step Δ̂\neq. 6", "decay a\neq. 7"]
    rows = [["first", "1 hour", "1 week", "1 day"]]
    rows += [
        [f"{round(value, 2) + 0.0:.2f}" for value in found[name].tolist()] for name in ("D", "D_hat", "dt", "kept")
    ]
    for r, (name, row) in enumerate(zip(names, rows)):
        y = 92 + 70 * r
        d.text(20, y + 21 - 9 * name.count("\n"), name, "time", 14, "start")
        for c, label in enumerate(row):
            box = d.box(100 + 70 * c, y, 60, 42, label, "time" if c == 2 else "plain", size=14)
            if r < 4:
                d.arrow(box.bottom(), (box.x + 30, y + 70), kind="time" if c == 2 else "plain")
    for c in range(4):
        d.text(130 + 70 * c, 74, f"item {c + 1}", "muted", 13)
    side, x, y = 66, 440, 112
    d.text(x + 2 * side, 64, "mask: what is left at step t of item s", "ink", 14)
    for r in range(4):
        d.text(x + side * (r + 0.5), y - 16, f"s = {r + 1}", "muted", 13)
        d.text(x - 26, y + side * (r + 0.5), f"t = {r + 1}", "muted", 13)
        for c in range(4):
            kind = "time" if r >= 2 and c < 2 else "fused"
            label = f"{mask[r, c]:.2f}" if c <= r else "0"
            d.box(
                x + side * c, y + side * r, side, side, label, kind, shade=mask[r, c] if c <= r else None, faint=c > r
            )
    d.arrow((270, 414), (270, 440), (x + side, 440), (x + side, y + 4 * side), kind="time", dashed=True)
    d.text(x + side + 12, 426, f"{found['kept'][2]:.2f} scales all these", "time", 14, "start")
    by_hand = "by hand: D̂ = SiLU(SiLU(2 D)),  Δ̂ = softplus(1 D̂ - 2),  a = exp(-2 Δ̂)"
    d.text(20, 468, by_hand, "muted", 13, "start")
    return d


def fusion() -> Drawing:
    """TiCoSSD's flow: who asks and who answers."""
    words = (
        "The picture vector of the current step makes the query C. The text vectors of all steps make keys B and "
        "values X. Each key is matched with the query and scaled by the decay mask; it multiplies its value, and the "
        "sum is M. A gate made from both current vectors scales it."
    )
    d = Drawing("fusion", "TiCoSSD: the picture asks, the texts answer (eq. 17, 18)", words, 720, 560)
    shown = (0.12, 0.2, 0.8, 1.0)
    places = [150 + 104 * s for s in range(4)]
    left = {
        88: "pictures P^v",
        176: "query C_4",
        256: "match C_4·B_s",
        336: "mask L_{4s}",
        416: "value Δ̂_s X_s",
        496: "texts P^t",
    }
    for y, name in left.items():
        d.text(16, y, name, "image" if y < 200 else "text" if y > 400 else "time" if y == 336 else "fused", 14, "start")
    for s, x in enumerate(places):
        now = s == 3
        d.box(x, 66, 78, 44, f"p^v_{s + 1}", "image", dashed=not now, faint=not now)
        match = d.box(x, 236, 78, 40, f"C_4 · B_{s + 1}", "fused", size=14)
        mask = d.box(x, 316, 78, 40, f"× {shown[s]:.2g}", "time", shade=shown[s], size=14)
        value = d.box(x, 396, 78, 40, f"× Δ̂_{s + 1} X_{s + 1}", "text", size=14)
        text = d.box(x, 476, 78, 44, f"p^t_{s + 1}", "text")
        d.arrow(match.bottom(), mask.top(), kind="fused")
        d.arrow(mask.bottom(), value.top(), kind="time")
        d.arrow(text.top(), value.bottom(), kind="text")
        d.arrow(text.left(0.3), (x - 6, 489.2), (x - 6, 256), match.left(), kind="text")
        if s:
            d.text(x - 17, 416, "+", "text")
    query = d.box(150, 156, 390, 40, "C_4, from the current picture", "image", size=14)
    d.arrow((501, 110), (501, 156), kind="image")
    for x in places:
        d.arrow((x + 39, query.y + 40), (x + 39, 236), kind="image")
    total = d.box(586, 380, 118, 72, "sum over s:\nM_4", "fused")
    d.arrow((540, 416), total.left(), kind="fused")
    gate = d.box(586, 236, 118, 72, "gate from\np^v_4 + p^t_4", "fused", size=14)
    d.arrow(gate.bottom(), total.top(), kind="fused")
    d.arrow((540, 88), (645, 88), gate.top(), kind="image")
    d.arrow((540, 498), (712, 498), (712, 272), gate.right(), kind="text")
    d.legend(544, {"image": "image", "text": "text", "time": "time", "fused": "both"}, 16)
    return d


def stages() -> Drawing:
    """Both training stages: what competes in each, and what moves between them."""
    words = (
        "Left: pre-training on source domains. In a batch, each user's next item competes with the next items of the "
        "other users. Right: fine-tuning on the target domain, where it competes with the whole catalogue. Between "
        "them all weights move but the tables with a row per item."
    )
    d = Drawing("stages", "Two training stages, one loss (eq. 21, 22)", words, 720, 420)
    d.text(20, 66, "1. pre-training, on source domains", anchor="start", bold=True)
    d.text(430, 66, "2. fine-tuning, on the target", anchor="start", bold=True)
    for i, name in enumerate(("food", "CDs", "books", "films", "home")):
        d.box(20 + 50 * i, 86, 46, 30, name, size=12)
    d.box(430, 86, 100, 30, "instruments", size=12)
    d.text(70, 150, "the next items of the same batch", "muted", 13, "start")
    d.text(480, 150, "the whole catalogue", "muted", 13, "start")
    for r in range(4):
        d.text(44, 188 + 36 * r, f"u_{r + 1}", "muted", 14)
        d.text(460, 188 + 36 * r, f"u_{r + 1}", "muted", 14)
        for c in range(4):
            d.box(70 + 36 * c, 170 + 36 * r, 36, 36, "+" if r == c else "-", "fused" if r == c else "plain", size=16)
        for c in range(9):
            right = c == (4, 1, 7, 4)[r]
            d.box(480 + 24 * c, 170 + 36 * r, 24, 36, "+" if right else "-", "fused" if right else "plain", size=16)
    d.text(70, 336, "eq. 21: B candidates", "ink", 14, "start")
    d.text(70, 358, "popular items are wrong answers often", "muted", 13, "start")
    d.text(480, 336, "eq. 22: |I| candidates", "ink", 14, "start")
    d.text(480, 358, "each item once per row", "muted", 13, "start")
    d.arrow((232, 232), (432, 232), kind="fused")
    d.text(332, 198, "what moves: adapters,\nTiSSD, filter, TiCoSSD", "fused", 14)
    d.text(332, 258, "what stays: tables E^v, E^t\n(a row per item)", "muted", 14)
    d.legend(398, {"fused": "+ the right answer", "plain": "- a wrong answer"}, 70)
    return d


def data() -> Drawing:
    """The way of the data through the library, by the names of its functions."""
    words = (
        "Left: interactions are read, checked, split by leave-one-out and cut into batches. Right: texts and pictures "
        "are encoded once into a feature file and joined into a catalogue. The model takes both; fit trains it, "
        "model_scorer scores all items, count_ranks and metrics judge, recommend answers."
    )
    d = Drawing("data", "From files to ranks: the way through the library", words, 720, 560)
    lanes = {
        40: [
            "interactions.csv\nuser, item, time",
            "Dataset\nids, order, 5-core",
            "rows\ntraining, validation, test",
            "Batch\nitems, times [B, L]",
        ],
        400: [
            "items.csv and pictures\ntitle, category, brand",
            "Features\nby item id, frozen",
            "Catalogue\na row per item",
        ],
    }
    calls = {40: ["import_tables", "leave_one_out", "batch"], 400: ["extract", "Features.catalogue"]}
    ends = []
    for x, names in lanes.items():
        kind = "time" if x == 40 else "plain"
        boxes = [d.box(x, 60 + 84 * i, 280, 48, name, kind, size=14) for i, name in enumerate(names)]
        for one, other, call in zip(boxes, boxes[1:], calls[x]):
            d.arrow(one.bottom(), other.top(), kind=kind)
            d.text(x + 152, one.y + 66, call, "muted", 13, "start", code=True)
        ends.append(boxes[-1])
    d.box(40, 396, 640, 44, "MMM4Rec, or another Recommender: users, candidates, score", "fused")
    d.arrow(ends[0].bottom(), (180, 396), kind="time")
    d.arrow(ends[1].bottom(), (540, 396), kind="plain")
    outs = {
        40: ("trained weights\neq. 21, 22", "fit"),
        265: ("ranks\nRecall, NDCG", "model_scorer\ncount_ranks, metrics"),
        490: ("a list for a user\nwith names", "recommend"),
    }
    for x, (name, call) in outs.items():
        d.box(x, 494, 190, 48, name, size=14)
        d.arrow((x + 34, 440), (x + 34, 494), kind="fused")
        d.text(x + 46, 467 - 8 * call.count("\n"), call, "muted", 13, "start", code=True)
    return d


DRAWINGS: dict[str, Callable[[], Drawing]] = {
    one.__name__: one for one in (model, problems, duality, chunks, gap_to_mask, fusion, stages, data)
}


def write_drawings(folder: Path | str) -> list[Path]:
    """All drawings as SVG files below ``folder``; returns their paths."""
    paths = [Path(folder) / f"{name}.svg" for name in DRAWINGS]
    for path, draw in zip(paths, DRAWINGS.values()):
        with atomic(path) as temporary:
            temporary.write_text(draw().svg(), encoding="utf-8")
    return paths

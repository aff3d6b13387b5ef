"""Ranks and metrics against sorting and by hand; the baselines against counting in plain Python."""

import math
from collections import Counter

import pytest
import torch

from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluation import (
    compare,
    count_ranks,
    markov,
    metrics,
    model_scorer,
    popularity,
    rank_rows,
    sampled_candidates,
)
from mmm4rec_lite.models.config import Quirks
from mmm4rec_lite.utils.errors import InputError
from tests.support.models import drawn, made


def ties(seed=0, rows=500):
    """Scores with many ties, a function batch -> scores for the toy: a table by the batch's latest item and time."""
    table = torch.randint(0, 12, (rows, 61), generator=torch.Generator().manual_seed(seed)).float()
    table[:, 0] = -torch.inf
    return lambda one: table[(one.items.sum(1) + one.lengths) % rows]


def rank_by_sorting(scores, target, without=()):
    """The target's place in a list sorted by (score, targets last among equals)."""
    items = [i for i in range(1, len(scores)) if i == target or i not in without]
    return sorted(items, key=lambda i: (-scores[i], i == target)).index(target) + 1


@pytest.mark.parametrize("filter_seen", [False, True])
def test_counted_ranks_are_sorted_ones_with_the_whole_history_taken_out(toy_split, filter_seen):
    flat, score = toy_split.sequences, ties()
    rows = torch.cat([toy_split.test, toy_split.train[:100]])
    expected = []
    for row in rows.tolist():
        history = flat.items[flat.first[row] : row].tolist() if filter_seen else []
        scores = score(batch(flat, torch.tensor([row]), 4))[0].tolist()
        expected.append(rank_by_sorting(scores, flat.items[row].item(), history))
    assert (rows - flat.first[rows]).max() > 4  # longer than the window
    assert rank_rows(score, flat, rows, 4, filter_seen, batch_size=33).tolist() == expected


def test_both_policies_differ_and_a_repeated_target_stays_in(toy_split):
    flat = toy_split.sequences
    kept, removed = (rank_rows(ties(), flat, toy_split.test, 8, filter_seen) for filter_seen in (False, True))
    assert (removed <= kept).all() and (removed < kept).any()
    repeated = [r for r in range(len(flat.items)) if flat.items[r] in flat.items[flat.first[r] : r]]
    assert repeated and (rank_rows(ties(), flat, torch.tensor(repeated), 8, True) <= 60).all()


def test_a_tie_counts_against_the_target():
    scores = torch.tensor([[-torch.inf, 1, 3, 3, 2]])
    ranks = [count_ranks(scores, torch.tensor([target])).item() for target in (1, 2, 3, 4)]
    assert ranks == [4, 2, 2, 3]


@pytest.mark.parametrize("filter_seen, last", [(False, 60), (True, 59)])
def test_a_model_that_scores_all_items_alike_finds_nothing(toy_split, filter_seen, last):
    constant = lambda one: torch.zeros(len(one.items), 61).index_fill_(1, torch.tensor(0), -torch.inf)
    ranks = rank_rows(constant, toy_split.sequences, toy_split.test, 8, filter_seen)
    assert ranks.max() <= last and metrics(ranks, ks=(10, 20))["recall@20"] == 0
    assert filter_seen or (ranks == last).all()


def test_padding_never_ranks_unless_the_quirk_asks_for_it(toy_model, toy_split, small):
    for quirk, worse in ((False, 0), (True, 1)):
        model = toy_model(small.replace(item_bias=False, quirks=Quirks(pad_item=quirk)))
        with torch.no_grad():  # padding looks like every target
            for adapter in (model.adapter_image, model.adapter_text):
                adapter.weight.zero_()
                adapter.bias.fill_(1)
        ranks = rank_rows(model_scorer(model), toy_split.sequences, toy_split.test, 8)
        assert (ranks == 60 + worse).all()


def test_the_models_scorer_ranks_as_the_model_scores_and_in_any_batch_size(toy_model, toy_split, small):
    model = toy_model(small).train()
    flat, rows = toy_split.sequences, toy_split.test
    ranks = rank_rows(model_scorer(model), flat, rows, 8)
    one = batch(flat, rows, 8)
    assert torch.equal(ranks, count_ranks(model.eval().score(model(one.items, one.lengths, one.times)), one.targets))
    assert torch.equal(ranks, rank_rows(model_scorer(model), flat, rows, 8, batch_size=7))


def test_metrics_are_those_of_a_pencil():
    found = metrics(torch.tensor([1, 2, 3, 10, 11, 50, 51]), ks=(2, 10, 50))
    gain = {rank: 1 / math.log2(rank + 1) for rank in (1, 2, 3, 10, 11, 50)}
    expected = {
        "recall@2": 2 / 7,
        "recall@10": 4 / 7,
        "recall@50": 6 / 7,
        "ndcg@2": (gain[1] + gain[2]) / 7,
        "ndcg@10": (gain[1] + gain[2] + gain[3] + gain[10]) / 7,
        "ndcg@50": sum(gain.values()) / 7,
    }
    assert found == pytest.approx(expected, abs=1e-12) and gain[1] == 1
    assert metrics(torch.tensor([1, 1])) == {"recall@10": 1, "ndcg@10": 1, "recall@50": 1, "ndcg@50": 1}


def test_metrics_equal_dcg_over_the_ranked_list():
    scores = torch.rand(40, 31, generator=torch.Generator().manual_seed(0))
    scores[:, 0] = -torch.inf
    targets = torch.arange(40) % 30 + 1
    top = scores.topk(10).indices
    hits = (top == targets.unsqueeze(1)).double()
    dcg = (hits / torch.arange(2, 12).double().log2()).sum(1).mean()  # the ideal one is 1
    found = metrics(count_ranks(scores, targets))
    assert found["ndcg@10"] == pytest.approx(dcg.item(), abs=1e-12)
    assert found["recall@10"] == pytest.approx(hits.sum(1).mean().item(), abs=1e-12)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_refused(toy_split, value):
    broken = lambda one: torch.full((len(one.items), 61), value)
    with pytest.raises(InputError, match="^evaluate: the model's scores are not finite[^\n]*$"):
        rank_rows(broken, toy_split.sequences, toy_split.test, 8)


def test_a_diverged_model_is_refused(toy_model, toy_split, small):
    model = toy_model(small)
    model.layers[0].norm_fused.weight.data[0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        rank_rows(model_scorer(model), toy_split.sequences, toy_split.test, 8)


def test_no_rows_are_refused(toy_split):
    with pytest.raises(InputError, match="^evaluate: no rows[^\n]*$"):
        rank_rows(ties(), toy_split.sequences, toy_split.test[:0], 8)


# --- baselines ---


def test_popularity_counts_training_targets(toy_split):
    flat, train = toy_split.sequences, toy_split.train
    counts = Counter(flat.items[train].tolist())
    scores = popularity(flat, train, 60)(batch(flat, toy_split.test, 8))
    assert scores.shape == (len(toy_split.test), 61) and (scores[:, 0] == -torch.inf).all()
    assert scores[3, 1:].tolist() == [counts[item] for item in range(1, 61)]
    assert torch.equal(scores[0], scores[-1])


def test_markov_counts_what_followed_the_latest_item_then_popularity(toy_split):
    flat, train = toy_split.sequences, toy_split.train
    items, counts, follows = flat.items.tolist(), Counter(), Counter()
    for row in train.tolist():
        counts[items[row]] += 1
        follows[items[row - 1], items[row]] += 1
    scores = markov(flat, train, 60)(batch(flat, toy_split.test, 8))
    assert (scores[:, 0] == -torch.inf).all()
    for row, found in zip(toy_split.test.tolist(), scores.tolist()):
        key = lambda item: (follows[items[row - 1], item], counts[item])  # noqa: B023
        assert [math.floor(found[item]) for item in range(1, 61)] == [key(item)[0] for item in range(1, 61)]
        ranked = sorted(range(1, 61), key=lambda item: -found[item])
        assert [key(item) for item in ranked] == sorted(map(key, range(1, 61)), reverse=True)


def test_baselines_survive_having_seen_items_removed(toy_split):
    flat = toy_split.sequences
    for make in (popularity, markov):
        score = make(flat, toy_split.train, 60)
        before = score(batch(flat, toy_split.test, 8)).clone()
        rank_rows(score, flat, toy_split.test, 8, filter_seen=True)
        assert torch.equal(score(batch(flat, toy_split.test, 8)), before)


def test_compare_gives_one_line_per_system_and_policy(toy_split):
    flat, test = toy_split.sequences, toy_split.test
    scorers = {"popularity": popularity(flat, toy_split.train, 60), "markov": markov(flat, toy_split.train, 60)}
    table = compare(scorers, flat, test, 8, ks=(5,))
    assert table["system"].tolist() == ["popularity"] * 2 + ["markov"] * 2
    assert table["filter_seen"].tolist() == [False, True] * 2 and (table["rows"] == len(test)).all()
    expected = metrics(rank_rows(scorers["markov"], flat, test, 8, True), ks=(5,))
    assert table.iloc[3][["recall@5", "ndcg@5"]].to_dict() == expected


@pytest.mark.parametrize("bad, column", [("nan", 5), ("nan", None), ("inf", None), ("-inf", None)])
def test_scores_that_are_not_finite_are_refused_also_on_other_items_than_the_target(toy_split, bad, column):
    flat, rows = toy_split.sequences, toy_split.test[:3]
    targets = flat.items[rows]
    assert column not in targets.tolist()  # None: the first row's target

    def score(one):
        scores = torch.rand(len(one.items), 61)
        scores[0, targets[0] if column is None else column] = float(bad)
        return scores

    with pytest.raises(InputError, match="^evaluate: [^\n]*not finite[^\n]*$"):
        rank_rows(score, flat, rows, 8)


# --- large catalogues ---


def test_markov_equals_the_table_of_all_pairs_to_the_last_digit(toy_split):
    flat, train = toy_split.sequences, toy_split.train
    pairs, counts = torch.zeros(61, 61), torch.bincount(flat.items[train], minlength=61)
    pairs.index_put_((flat.items[train - 1], flat.items[train]), torch.ones(len(train)), accumulate=True)
    pairs += counts / (counts.sum() + 1)
    pairs[:, 0] = -torch.inf
    one = batch(flat, torch.cat([toy_split.test, train]), 8)
    latest = one.items[torch.arange(len(one.items)), one.lengths - 1]
    assert torch.equal(markov(flat, train, 60)(one), pairs[latest])
    alone = markov(flat, train[:1], 60)  # most items were never followed
    assert alone(one).floor().clamp(min=0).sum() == (latest == flat.items[train[0] - 1]).sum()


def test_counting_baselines_do_not_grow_with_the_square_of_the_catalogue(toy_split):
    one = batch(toy_split.sequences, toy_split.test[:2], 8)
    for make in (popularity, markov):  # a table of all pairs would take 4 TB
        assert make(toy_split.sequences, toy_split.train, 1_000_000)(one).shape == (2, 1_000_001)


@pytest.mark.parametrize("block, most", [(1, 1), (61 * 3, 3), (61 * 3 + 60, 3), (61 * 40, 7)])
@pytest.mark.parametrize("filter_seen", [False, True])
def test_scores_are_held_in_blocks_and_ranks_stay(toy_split, monkeypatch, filter_seen, block, most):
    flat, rows, score, seen = toy_split.sequences, toy_split.test, ties(), []
    expected = rank_rows(score, flat, rows, 8, filter_seen)
    monkeypatch.setattr("mmm4rec_lite.evaluation.BLOCK", block)
    watched = lambda one: seen.append(len(one.items)) or score(one)
    assert torch.equal(rank_rows(watched, flat, rows, 8, filter_seen, batch_size=7), expected)
    assert max(seen) == most and sum(seen) == len(rows)


@pytest.mark.parametrize("name", ["missrec", "mmsrec", "mmm4rec"])
def test_models_rank_the_same_in_blocks_whatever_their_score_is(toy_split, monkeypatch, name):
    model, flat, rows = made(name, drawn(61)), toy_split.sequences, toy_split.test
    whole = [rank_rows(model_scorer(model), flat, rows, model.window, seen) for seen in (False, True)]
    monkeypatch.setattr("mmm4rec_lite.evaluation.BLOCK", 61 * 5)
    for seen, expected in zip((False, True), whole):
        assert torch.equal(rank_rows(model_scorer(model), flat, rows, model.window, seen), expected)


def test_few_candidates_are_the_target_and_as_many_others(toy_split):
    flat, rows = toy_split.sequences, toy_split.test
    even = lambda one: torch.zeros(len(one.items), flat.item_count + 1)
    assert set(rank_rows(sampled_candidates(even, 5), flat, rows, 8).tolist()) == {6}  # ties count against the target
    liked = lambda one: even(one).scatter(1, one.targets[:, None], 1.0)
    assert set(rank_rows(sampled_candidates(liked, 5), flat, rows, 8).tolist()) == {1}

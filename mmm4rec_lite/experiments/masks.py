"""A small shop with pictures where gaps matter, and models trained on it: what notebook 03 looks at.

The demo store's rugs as in ``experiments.store`` (gap effect 1: an interest's half-life is 10 days, absences last 60,
give or take a factor of 2, other gaps 2 hours, give or take a factor of 4), features of what pictures show and texts
name, two seconds-small models that differ in time-awareness alone. No gap vector: gaps act by step sizes only.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd
import torch

from mmm4rec_lite.analysis import influence, with_gap
from mmm4rec_lite.config import Quirks
from mmm4rec_lite.data import batch, load_dataset
from mmm4rec_lite.data.store import DAY, HOUR, save_store
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.evaluate import model_scorer
from mmm4rec_lite.experiments.store import DOMAIN, MODEL, SHORTER, STORE, World, expected_gains, shown, train
from mmm4rec_lite.files import cache_dir
from mmm4rec_lite.model import MMM4Rec
from mmm4rec_lite.stages import fit_gaps

TIME = MODEL.but(gap_vector=False, d_conv=1)
NO_TIME = TIME.but(time=False)
CONVOLVED = TIME.but(d_conv=4)  # the paper's width
PUBLISHED = CONVOLVED.but(gaps="seconds", quirks=Quirks(published_init=True))
ABSENCE = 5 * DAY  # no other gap is that long, and hardly an absence shorter


@dataclass(frozen=True)
class Shop(World):
    """The world with its pictures: ``pictured`` is the dataset with a folder, made once, in the user's cache."""

    @cached_property
    def pictured(self):
        knobs = json.dumps(asdict(self.config), sort_keys=True)
        folder = cache_dir("store") / f"{DOMAIN}-{hashlib.sha256(knobs.encode()).hexdigest()[:8]}"
        if not folder.exists():
            save_store(folder, self.config, [DOMAIN])
        return load_dataset(folder)

    def trained(self, config=TIME):
        """A model of ``config``, 5 epochs from scratch (20 s on a core; kept in ``runs/``)."""
        return train(self, config, SHORTER.but(seed=self.config.seed))[0]

    def fresh(self, config=TIME):
        """The model before any training, the scale of its gaps fitted."""
        torch.manual_seed(self.config.seed)
        model = MMM4Rec(config, *shown(self.truth, self.dataset).align(self.dataset.items["item"]))
        fit_gaps(model, self.split)
        return model.eval()

    def interrupted(self, step=5, length=8):
        """The first user whose last ``length`` items, the test item aside, hold one absence: before item ``step``."""
        for user, rows in self.dataset.interactions.groupby("user", sort=False):
            gaps = rows["timestamp"].iloc[:-1].tail(length).diff().to_numpy()
            if len(gaps) == length and [i + 1 for i in range(length) if gaps[i] > ABSENCE] == [step]:
                return user
        raise KitError(f"no user of this shop has one absence, before item {step} of the last {length}")

    def influences(self, model, step=7, users=30):
        """``analysis.influence`` in the mean over ``users`` test users with one absence, before item ``step``.

        Once with their own gaps and once with 2 hours in the absence's place. Returns a frame: history,
        item (from 1), influence, se (over users).
        """
        one = batch(self.split.sequences, self.split.test, model.config.max_len)
        absent = (one.times.diff(dim=1) > ABSENCE) & (one.lengths == model.config.max_len).unsqueeze(1)
        rows = torch.where((absent.sum(1) == 1) & absent[:, step - 2])[0][:users]
        if len(rows) < 2:
            raise KitError(f"{len(rows)} users have one absence, before item {step}; at least 2 are needed")
        frames = []
        for name, times in (("the absence", one.times), ("2 hours instead", with_gap(one.times, step, 2 * HOUR))):
            given = one.items, one.lengths, times
            found = torch.stack([influence(model, *(v[i : i + 1] for v in given)) for i in rows])
            frames.append(
                pd.DataFrame(
                    {
                        "history": name,
                        "item": range(1, found.shape[1] + 1),
                        "influence": found.mean(0),
                        "se": found.std(0) / len(rows) ** 0.5,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def worth(self, models):
        """Expected NDCG@10 on the test users (as in ``experiments.store``) of models, and the best that can be had."""
        systems = {name: model_scorer(model) for name, model in models.items()}
        systems |= {"the best without gaps": self.best(gaps=False), "the best with gaps": self.best()}
        gained = {name: expected_gains(score, self, TIME.max_len) for name, score in systems.items()}
        return pd.DataFrame(
            {
                "system": list(gained),
                "expected ndcg@10": [v.mean().item() for v in gained.values()],
                "se": [(v.std() / len(v) ** 0.5).item() for v in gained.values()],
            }
        )


def shop(**knobs):
    """The shop, with other knobs of ``StoreConfig`` where given."""
    return Shop(STORE.but(**knobs))

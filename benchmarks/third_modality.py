"""What a third modality is worth, by where it is joined: python benchmarks/third_modality.py [SEEDS]

Writes benchmarks/results/third-modality.csv (`ch11_open_questions.third_modality`); runs are kept in runs/.
"""

import sys

from mmm4rec_lite.study.ch11_open_questions import third_modality
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.utils.files import atomic, workspace

frame = third_modality(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
with atomic(workspace("benchmarks", "results") / "third-modality.csv") as temporary:
    frame.to_csv(temporary, index=False)
shown = ["system", "expected_ndcg@10", "difference", "standard_error", "seed_standard_error", "closed"]
print(pooled(frame)[shown].round(4).to_string(index=False))

# ruff: noqa: F401, I001 (what is imported here is offered)
"""What goes on inside a model: read off its modules while it runs, with no switch in the model's own code."""

from mmm4rec_lite.analysis.filters import filter_gain, filter_state, frequency_map
from mmm4rec_lite.analysis.interventions import contributions, gap_response, influence, other_gaps, relative_change
from mmm4rec_lite.analysis.interventions import other_target_times, with_gap, without_convolutions, without_memory
from mmm4rec_lite.analysis.scans import capture_scans, decay_masks, effective_weights, half_lives, step_table, steps
from mmm4rec_lite.analysis.scans import weights_by_head
from mmm4rec_lite.analysis.streams import activations, alignment, receptive_field, score_parts
from mmm4rec_lite.analysis.why import Reasons, compare_runs, reasons

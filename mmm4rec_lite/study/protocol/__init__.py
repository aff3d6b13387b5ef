"""How experiments are made, kept and judged: frames that carry where and how each number was measured.

runner        sweeps: many runs of a task under one protocol
presets       the standard small experiment that the tour and the notebooks share
timing        seconds of a training step, fit to compare
experiments   the paper's figures and tables as functions of a task
results       runs and paired differences as frames, their columns, what a reader sees of them
evidence      how the cases of a claim are weighed by runs; claims: all claims of the paper
verdict       the one rule, its vocabulary and colours
report        the page of results
"""

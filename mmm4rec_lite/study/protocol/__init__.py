"""How experiments are made, kept and judged: frames that carry where and how each number was measured.

scale, presets      how large runs are; the standard small experiment that the tour and the notebooks share
runner, timing      sweeps, many runs of a task under one protocol; seconds of a training step, fit to compare
experiments         the paper's figures and tables as functions of a task
results, report     runs and paired differences as frames, what a reader sees of them; the page of results
claims, evidence    the paper's claims; how their cases are weighed by runs
verdict             the one rule, its vocabulary and colours
"""

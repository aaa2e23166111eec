"""Tradewind measured beside the programs people would otherwise take: cases, peers, measure,
report, plot, each a file; `bench/run` is the command.
"""

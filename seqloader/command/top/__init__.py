"""`seqloader top`: the enqueuers of a running process, seen from outside.

It reads words of shared memory that are there anyway: the board of each session (run/board.py) and
the table of its workers (executors/process/wire/table.py). The process that is looked at has
nothing to do for it, and notices nothing.
"""

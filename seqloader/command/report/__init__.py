"""`seqloader report`: one page of a trace, for people."""

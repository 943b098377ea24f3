"""A trace of a run: what happened when, in a file that viewers of traces read.

`file` writes events so that the file can be read at any time, whatever ends the process; `events`
says which event something becomes; `tracing` begins and ends a trace.
"""

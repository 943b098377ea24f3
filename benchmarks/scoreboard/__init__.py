"""The parts of the fault scoreboard: what is done to a loader, what came of it, how it is told.

A trial is one fault done to one peer, and three processes deep: the script starts a watcher for it
(`watcher`), the watcher starts a program (`programs/`) that iterates over the peer's loader, and
the loader starts workers. The program and the workers write down what happens to them (`journal`);
the watcher strikes (`blows`), waits, looks for what was left, and ends everything. What it saw are
`facts`; `verdict` makes an outcome of them, by rules that know no peer.
"""

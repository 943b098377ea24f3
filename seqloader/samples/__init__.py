"""From samples to batches: Sequences that are made of samples, of arrays or of other Sequences.

Workers import what the Sequence needs that they compute. So nothing is imported here, and each of
the modules stays light.
"""

from __future__ import annotations

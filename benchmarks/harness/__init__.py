"""What the benchmark scripts share: the work, the engines, fresh processes, verdicts, tables."""

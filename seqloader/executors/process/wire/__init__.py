"""What both sides of the process executor know: records, pickles and memory layouts."""

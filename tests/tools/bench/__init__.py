"""That the benchmarks run; never what they measure."""

"""Results packed as the servers of benchmarks take them."""

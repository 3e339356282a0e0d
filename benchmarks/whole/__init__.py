"""What benchmarks/networks.py measures: cases, floors, inference, training, profiles."""

"""Shows Sluse at work, and makes the synthetic studies that tests and benchmarks use."""

"""NoveltyBench (Zhang et al. 2025, arXiv 2504.05228), version 1.0: its files, classes, scores, two numbers."""

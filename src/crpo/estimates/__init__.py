"""Estimates with intervals: means over prompts and tasks."""

from __future__ import annotations

from crpo.estimates.means import Estimate, mean_over_tasks, weighted_mean

__all__ = ["Estimate", "mean_over_tasks", "weighted_mean"]

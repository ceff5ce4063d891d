"""Stages: functions of their own recipe section and the tables they read, and of nothing else."""

"""Executors: runs as local processes or Slurm jobs, through submitit."""

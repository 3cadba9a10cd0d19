"""The commands of ``bench``, one file each; only these print."""

"""The commands of ``bench``, one file each. Only commands print."""

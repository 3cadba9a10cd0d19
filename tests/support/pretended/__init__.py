"""A card that is not there, to find on a CPU what would fail on the first real one.

Its tensors say that they are on `cuda:0`, and are computed on the CPU. Devices may not mix, a
generator must be of its tensor's device, and each wait for the device is counted. Speed, memory,
streams, kernels and rounding are not pretended: only `make gpu` on a card shows those.
"""

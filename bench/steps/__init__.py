"""The steps that `bench.run` is made of: prepare, collect, judge; and what runs share."""

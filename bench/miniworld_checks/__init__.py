"""Measure the miniature world and check its gates: is it fit for a study?"""

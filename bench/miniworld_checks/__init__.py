"""The gates of the miniature world: is it fit to ask the question in?"""

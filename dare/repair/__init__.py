"""Repair of a trained net: methods that edit its weights, from its failures or its history, under one protocol.

A method (catalogue.py) takes a Problem (problem.py) and returns a Repaired. No method sees x_test: it is not a part of
a Problem.
"""

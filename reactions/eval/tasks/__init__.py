"""Evaluation sets: a file each, named as ``--task`` takes it, with an ``EvaluationSet`` in ``SET``.

``reactions.eval.registry`` finds them by their names; nothing about a set stands anywhere else.
"""

"""ACT from scratch: the study of "The Thinking Therapist" (arXiv 2509.09712) in plain PyTorch.

Axis legend of act/model, act/training and kernels: B batch, T tokens, S cached tokens, C width, H
heads, K key/value heads, D head width, V vocabulary, P pairs, N rows (the places that have a
target). act/statistics names its own where they stand: N is rated sessions there, R data sets.
"""

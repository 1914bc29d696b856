"""Hostile bytes for every decoder: `python -m tests.fuzz sse --count 1000000 --seed 1`, or `all`.

Inputs are good samples that were damaged with the structure in mind: lengths that lie, numbers at the edges, pieces
taken out, doubled and exchanged, frames with the checksum made right again. Each must be decoded, or refused with one
of the declared errors, in bounded memory and time; where there are two ways to decode, both must say the same.
`--guided` keeps inputs that reach lines which none before them has reached. What was found is kept in `corpus/`.
"""

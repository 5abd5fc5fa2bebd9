"""How convolutions are computed fast: the same numbers, in other orders of summing."""

"""Source of a torch module in the making, and what families of layers share in it."""

"""Images with known truth, made: EM-like sections, light micrographs of cells."""

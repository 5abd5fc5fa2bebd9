"""Single objects of a segmentation: telling them apart, and a table of them."""

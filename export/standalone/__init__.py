"""Networks with their stages in one graph, which takes frames and gives the picture."""

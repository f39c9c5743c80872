"""The captured program of a network, and the rewrites that every target shares."""

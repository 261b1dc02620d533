"""Training wrappers and the graph rewrite."""

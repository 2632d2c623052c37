"""Analysis: what a network costs and what it sees."""

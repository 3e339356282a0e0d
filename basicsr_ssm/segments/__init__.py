"""Long clips and large frames in pieces: which pieces, and how their results come together."""

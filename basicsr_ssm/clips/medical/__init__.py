"""Medical video data sets as their owners publish them, and the clips that MedVSR's paper makes of them."""

"""What tests have left in their folders, and whether it was measured of the same clips."""

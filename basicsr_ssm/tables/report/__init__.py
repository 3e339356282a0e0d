"""One page of HTML about tests of several models on the same clips."""

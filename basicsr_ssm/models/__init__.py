"""Models for BasicSR's loop; importing this package registers them."""

"""What all sides of the kit agree on; it imports none of them."""

"""What `gomatch up` is made of: a whole venue on one machine."""

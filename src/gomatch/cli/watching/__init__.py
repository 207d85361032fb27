"""What `gomatch watch` is made of: the stream, the book that follows from it, the screen."""

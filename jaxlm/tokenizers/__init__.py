"""Text to token ids and back, without loss; trained, saved and loaded without Python objects."""

"""Previews: what a profile would make of an image of the project, before it is used."""

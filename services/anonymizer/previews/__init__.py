"""What a profile makes of an original, shown to a person before it is used."""

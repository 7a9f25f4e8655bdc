"""What makes files of this repository, and what its machines need."""

"""What a release needs besides the code: versions that agree, its notes, and the documentation
site."""

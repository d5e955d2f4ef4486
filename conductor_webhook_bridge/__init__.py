"""What the wheel installs: in it, this folder holds all packages of the program; in a checkout,
only its launcher."""

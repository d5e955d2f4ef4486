"""Development only, not shipped: the scripted example, and a bridge to try things out."""

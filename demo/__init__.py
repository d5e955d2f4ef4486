"""Development only, not shipped: the played example, and a bridge to try things with."""

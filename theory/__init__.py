"""What is true: derivations with SymPy. No arrays here, and nothing of ours is imported."""

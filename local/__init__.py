"""The function URL on your own machine: `python -m local` serves what template.yaml deploys."""

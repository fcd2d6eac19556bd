"""The portal's pages, one module per place, and the error pages that service origins share with it."""

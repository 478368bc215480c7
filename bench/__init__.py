"""What things cost, measured side by side in one run: ratios count, absolute figures are only colour."""

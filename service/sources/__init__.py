"""Files that are fetched from elsewhere: by HTTP through a guard, or from buckets that the operator has named."""

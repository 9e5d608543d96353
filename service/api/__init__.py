"""HTTP only: what arrives is checked and handed to an action or the store, what comes back is put into JSON."""

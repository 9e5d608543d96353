"""Background duties, one a module: `run_once() -> counts`, safe in parallel and at any moment."""
